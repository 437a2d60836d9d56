"""What the asv classes share: the grid, steps made once per process, and what is skipped.

asv starts a process for every cell and calls `setup` before every timed call: everything
here is made once.
"""

import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from timeit import repeat
from typing import Any

from optbench import implementations, problems
from optbench.measure import grid, timed
from optbench.measure.timed import Timed, Work
from optbench.training.memory import lacks_memory

FULL = os.environ.get("OPTBENCH_ASV") == "full"  # the bigger grid
GRID = grid.read(Path(__file__).parent / "asv.toml")
SETTINGS = GRID.optimizers

FRAMEWORKS = list(implementations.FRAMEWORKS)
OPTIMIZERS = list(SETTINGS) if FULL else GRID.by_default
PROBLEMS = problems.names() if FULL else GRID.problems
# where a step is timed, and its work and accuracy are looked at
COUNTED = PROBLEMS if FULL else PROBLEMS[:1]
# of every optimizer's, in the grid that is measured by default
NARROW = {width for name in OPTIMIZERS for width in GRID.measured_widths(name)}
WIDEST = {GRID.measured_widths(name)[-1] for name in OPTIMIZERS}
WIDTHS = list(timed.WIDTHS) if FULL else sorted(NARROW)
HELD = sorted(WIDEST | set(timed.WIDTHS[2::2])) if FULL else sorted(WIDEST)  # for memory
SAMPLE = 0.02  # seconds


class Warm:
    """How asv samples a step that is warm before it is timed."""

    rounds = 1
    repeat = (3, 20, 1.0)  # samples at least, at most, seconds
    warmup_time = 0
    timeout = 600
    number: int

    def prepare(self, *cell: str) -> None:
        """Take the step of (framework, optimizer, problem, network)."""
        self.step, self.number = warm(*cell)


@cache
def warm(*cell: str) -> tuple[Timed, int]:
    """Make a step, once per process, and say how many calls make a sample."""
    step = served(lambda: Timed(work(*cell)))
    return step, calls(step)


def work(framework: str, optimizer: str, problem: str, network: str) -> Work:
    """Describe the step of a cell.

    Raises NotImplementedError where its framework or the commit's problem or optimizer is
    missing.
    """
    if problem not in problems.names():
        raise NotImplementedError(f"there is no {problem} in this commit")
    known = served(lambda: implementations.load(framework)).OPTIMIZERS
    if optimizer not in known:
        raise NotImplementedError(f"there is no {optimizer} in this commit")
    return Work(framework, optimizer, problem, network, SETTINGS[optimizer])


def asked(optimizer: str, width: int, widths: Iterable[int]) -> None:
    """Raise NotImplementedError where a width is not among an optimizer's by default."""
    if not FULL and width not in widths:
        raise NotImplementedError(
            f"{optimizer} has width {width} in OPTBENCH_ASV=full alone"
        )


def served(make: Callable[[], Any]) -> Any:
    """Call `make`.

    Raises NotImplementedError, which asv skips, where a framework or the memory is missing.
    """
    try:
        return make()
    except Exception as error:
        if isinstance(error, implementations.FrameworkMissing) or lacks_memory(error):
            raise NotImplementedError(str(error)) from error
        raise


def calls(function: Callable[[], Any]) -> int:
    """Count how many calls take about as long as a sample; a long one is asked once."""
    (once,) = repeat(function, number=1, repeat=1)
    if once > 10 * SAMPLE:
        return 1
    return max(1, round(SAMPLE / min(once, *repeat(function, number=1, repeat=2))))


def outcomes(
    measure: Callable[..., Any], cells: Iterable[tuple[Any, ...]]
) -> dict[tuple[Any, ...], Any]:
    """Measure each cell, or say why it was skipped or failed, it alone."""
    return {cell: _outcome(measure, cell) for cell in cells}


def _outcome(measure: Callable[..., Any], cell: tuple[Any, ...]) -> Any:
    try:
        return served(lambda: measure(*cell))
    except NotImplementedError as error:
        return error
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")


def value(outcome: Any) -> Any:
    """Give an outcome; raise the exception that stands in its place."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def finite(number: float) -> float:
    """Give the number; raise ArithmeticError for NaN, which asv would pass over."""
    if not abs(number) < float("inf"):
        raise ArithmeticError(f"not a finite number: {number}")
    return number
