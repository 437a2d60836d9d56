"""How a command ends other than well: one line on stderr, and an exit code."""

from typing import NoReturn

import typer


class Interrupted(BaseException):
    """SIGINT or SIGTERM; typer would end a KeyboardInterrupt without a word."""


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal."""
    raise Interrupted(number)


def end(message: str, code: int) -> NoReturn:
    """End a command: 1 where something is wrong, 2 where the user made a mistake."""
    typer.echo(f"optbench: {message}", err=True)
    raise SystemExit(code)
