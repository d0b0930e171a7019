"""`python -m garcon VERB ...`: the command `garcon`, where it is not on the PATH."""

from garcon.cli import main

if __name__ == "__main__":
    main(prog_name="garcon")
