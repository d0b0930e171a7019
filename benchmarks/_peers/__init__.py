"""The others, each in a virtual environment of its own: `python peer_X.py KIND N`.

A driver prints when it begins (monotonic seconds) and then submits the work. It has nothing but the
standard library, the package it is named after, and `_bodies`.
"""
