"""The shell around the planner: the user's code, states kept between decisions, the documented API.

`garcon.decider` is the public module on top. What is pure lives in `garcon.planning`.
"""
