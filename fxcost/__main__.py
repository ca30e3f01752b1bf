"""`python -m fxcost` is the command line."""

from fxcost.cli import main

if __name__ == "__main__":
    main()
