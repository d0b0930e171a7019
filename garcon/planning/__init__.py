"""The parts of a plan: fan-outs, shards, retries, windows, resuming, and the response they make.

`garcon.planner` says what a run does next, and `garcon.history` what is known of it; the modules
here are what both are made of. Law: each is a function of what it is given. No clock, no socket, no
file, and no call into the user's code (that is `garcon.deciding`).
"""
