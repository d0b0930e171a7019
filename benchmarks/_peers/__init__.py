"""The others, each in a virtual environment of its own: `python peer_X.py KIND N`.

A driver says when it is ready, submits the work when told to (`_bodies.begin`), and stays until it
is killed. It has nothing but the standard library, the package it is named after, and `_bodies`.
"""
