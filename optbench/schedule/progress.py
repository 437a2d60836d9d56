"""What a person sees of a campaign: two bars on a terminal, plain lines elsewhere."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from optbench.records.record import Record, Request, Row


class Display:
    """A bar for the campaign and one for the run in hand; a line for every run done.

    Of runs on a cluster nobody tells how far they are: they have no bar.
    """

    def __init__(self, name: str, runs: int, console: Console) -> None:
        self._console, self._runs, self._done = console, runs, 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self._bars = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._campaign = self._bars.add_task(name, total=runs)
        self._run: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def begin(self, request: Request) -> None:
        """Show a run that begins."""
        self._run = self._bars.add_task(request.title, total=100)

    def update(self, share: float, row: Row) -> None:
        """Show what share of its budget the run in hand has spent."""
        if self._run is not None:
            self._bars.update(self._run, completed=round(100 * min(share, 1)))

    def end(self, record: Record) -> None:
        """Count a run that is over, and say how it ended."""
        self._done += 1
        if self._run is not None:
            self._bars.remove_task(self._run)
            self._run = None  # the next to end may never have begun
        self._bars.advance(self._campaign)
        line(self._console, f"[{self._done}/{self._runs}] {summary(record)}")


def line(console: Console, text: str) -> None:
    """Print a line as it is: no colours, no wrapping."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)


def summary(record: Record) -> str:
    """Describe a run in one line."""
    words = f"{record.request.title}: {record.status}"
    if record.history:
        last = record.history[-1]
        words += (
            f", relative L2 {record.relative_l2:.1e} after {last.step} steps "
            f"in {last.seconds:.3g} s"
        )
    for stage, why in record.stalled_stages.items():
        words += f"; stage {stage} stalled: {why}"
    if record.provenance.shared_cores:
        words += ", on cores that others used too: its seconds are no measure"
    return words if record.error is None else f"{words}; {record.error}"


def foreseen(requests: Iterable[Request]) -> str:
    """Say how long runs with a budget in seconds take; nothing where there are none."""
    seconds = sum((request.seconds or 0) * request.threads for request in requests)
    return f", {seconds / 3600:.3g} core-hours of steps" if seconds else ""
