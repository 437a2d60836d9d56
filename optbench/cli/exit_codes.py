"""How a command ends other than well: one line on stderr, and an exit code."""

import signal
from typing import NoReturn

import typer

# what a person, a system or a closing terminal ends a command with; Windows has no SIGHUP
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


class Interrupted(BaseException):
    """A signal; typer would end a KeyboardInterrupt without a word."""


def heed_signals() -> None:
    """Let each of the signals end the command; what nohup ignores stays ignored."""
    hang_up = getattr(signal, "SIGHUP", None)
    for number in SIGNALS:
        if number != hang_up or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


def interrupt(number: int, frame: object) -> NoReturn:
    """Handle a signal; the next ones are ignored, for the end of a run is short already."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def end(message: str, code: int) -> NoReturn:
    """End a command with one line on stderr.

    The code is 1 where something is wrong, 2 for a user's mistake or where nothing can be
    said, 128 and the signal's number after an interruption.
    """
    typer.echo(f"optbench: {message}", err=True)
    raise SystemExit(code)
