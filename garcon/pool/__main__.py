"""`python -m garcon.pool FLOW ...`: the verb `pool` of the command line."""

from garcon.cli import run_verb

if __name__ == "__main__":
    run_verb("pool")
