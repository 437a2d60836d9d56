"""What an exception makes of a run: a status and a text."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optbench.implementations.failures import FactorisationFailed, Stalled
from optbench.problems.own import bare
from optbench.records.record import Request, Status
from optbench.training.memory import lacks_memory

LONGEST = 400  # characters of a record's error


class Diverged(ArithmeticError):
    """A loss or an error is no longer finite."""


class TimedOut(RuntimeError):
    """The run is past its limit of wall-clock seconds."""


class Refused(RuntimeError):
    """The device cannot do what the run asks for."""


@contextmanager
def stage(request: Request, number: int) -> Iterator[None]:
    """Note the stage, from 0 on, in an error of the body; a run without stages has none."""
    try:
        yield
    except Exception as error:
        if request.stages:
            error.add_note(f"stage {number + 1}, {bare(request.stages[number].optimizer)}")
        raise


def classify(error: BaseException) -> tuple[Status, str]:
    """Give the status that an exception makes of a run, and its text with the stage.

    The text is one line; that of an unforeseen exception has its place in the code.
    """
    status, text = _classify(error)
    return status, ": ".join([*getattr(error, "__notes__", ()), text])


def in_one_line(text: str) -> str:
    """Shorten a text, such as a compiler's, to its first line and the first of an error."""
    first, *others = [
        " ".join(line.split()) for line in text.splitlines() if line.strip()
    ] or [""]
    said = next((line for line in others if "error" in line.lower()), None)
    line = f"{first} … {said}" if said else f"{first} …" if others else first
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _classify(error: BaseException) -> tuple[Status, str]:
    if lacks_memory(error):
        return "out-of-memory", _described(error)
    if isinstance(error, Diverged):
        return "diverged", in_one_line(str(error))
    if isinstance(error, Stalled):
        return "stalled", in_one_line(str(error))
    if isinstance(error, TimedOut):
        return "timed-out", in_one_line(str(error))
    if isinstance(error, FactorisationFailed | ImportError | Refused):
        return "failed", in_one_line(str(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "failed", _described(error) + "".join(
        f" ({Path(frame.filename).name}:{frame.lineno})" for frame in last
    )


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {in_one_line(str(error))}"
