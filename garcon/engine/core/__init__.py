"""The rules of SWF as pure functions: state + fact + now -> new state + events.

No clock, socket, file, process or randomness in here; whatever is not a rule is an argument.
"""
