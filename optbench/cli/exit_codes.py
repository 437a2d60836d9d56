"""How a command ends other than well: one line on stderr, and an exit code."""

from typing import NoReturn

import typer


class Interrupted(BaseException):
    """SIGINT or SIGTERM; typer would end a KeyboardInterrupt without a word."""


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal."""
    raise Interrupted(number)


def end(message: str, code: int) -> NoReturn:
    """End a command with one line on stderr.

    The code is 1 where something is wrong, 2 for a user's mistake or where nothing can be
    said, 128 and the signal's number after an interruption.
    """
    typer.echo(f"optbench: {message}", err=True)
    raise SystemExit(code)
