"""`python -m garcon.backfill FLOW VERB ...`: the verb `backfill` of the command line."""

from garcon.cli import run_verb

if __name__ == "__main__":
    run_verb("backfill")
