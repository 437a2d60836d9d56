"""`python -m optbench`, which is `optbench`."""

import sys


def main() -> None:
    """Run a command; an interruption while it is imported is one line, too."""
    try:
        from optbench.cli.app import main as command
    except KeyboardInterrupt:
        print("optbench: interrupted before it began", file=sys.stderr)
        raise SystemExit(130) from None
    command()


if __name__ == "__main__":
    main()
