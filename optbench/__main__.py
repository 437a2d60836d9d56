"""`python -m optbench`, which is `optbench`."""

from optbench.cli.app import main

if __name__ == "__main__":
    main()
