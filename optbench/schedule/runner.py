"""A campaign from its requests to its records: what is done is not done again."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from optbench.campaign.results_folder import CAMPAIGN
from optbench.records import files, provenance, store
from optbench.records.record import Record, Request
from optbench.records.store import Store
from optbench.schedule.local_workers import lost
from optbench.schedule.locks import RunLocks
from optbench.schedule.progress import Display, foreseen, line

WAIT = 1.0  # seconds between two looks at runs that another process has in hand


class Crew(Protocol):
    """Who does runs: child processes here, or the workers of a cluster."""

    @property
    def in_hand(self) -> Sized:
        """The runs that have begun and not been given back."""
        ...

    def has_room(self) -> bool:
        """Say whether another run can begin now."""
        ...

    def begin(self, request: Request, display: Display) -> None:
        """Take a run in hand; `display` is shown its progress where that can be had."""
        ...

    def ended(self) -> list[Record]:
        """Wait for a run that ends, and give its record, a lost run's too.

        After a while without any there is none.
        """
        ...


def run(
    requests: Sequence[Request],
    crew: AbstractContextManager[Crew],
    folder: Path,
    console: Console,
    *,
    rerun: str | None = None,
    file: Path | None = None,
    least_steps: int = 0,
) -> list[Record]:
    """Do what is left of a campaign, and give all its records that are in `folder` then.

    `file` is the campaign's, copied there; `rerun` names the runs that are done again. What
    times out before `least_steps` steps is not repeated over seeds.
    """
    again = store.AGAIN[rerun] if rerun else ()
    results = Store(folder, lambda text: line(console, text), again)
    done = {
        record.identity: record for request in requests if (record := results.find(request))
    }
    left = [request for request in requests if request.identity not in done]
    # seed by seed: what is done is at any time a whole table of fewer seeds
    left.sort(key=lambda request: request.seed)
    if reason := provenance.unknown_commit():
        line(console, reason)
    line(console, _state(requests[0].labels.campaign, list(done.values()), left))
    if file:  # before the first run: what is done can be reported and verified
        folder.mkdir(parents=True, exist_ok=True)
        files.replace(folder / CAMPAIGN, file.read_bytes())
    hopeless, said = Hopeless(least_steps, done.values()), ""
    with (
        RunLocks(results, left) as locks,
        Display("runs", len(left), console) as display,
        crew as workers,
    ):
        if lack := locks.lacking():
            line(console, lack)

        def keep(record: Record) -> None:
            results.write(record)
            locks.release(record)
            display.end(record)

        while locks.left or workers.in_hand:
            request = locks.take() if locks.left and workers.has_room() else None
            if request and (record := hopeless.without_doing(request)):
                keep(record)
            elif request:
                workers.begin(request, display)
            elif workers.in_hand:
                for record in workers.ended():
                    hopeless.learn(record)
                    keep(record)
            elif locks.left:  # others hold them, or there is nobody yet to do them
                waiting = _waiting(locks) if workers.has_room() else ""
                if waiting not in ("", said):
                    line(console, waiting)
                    said = waiting
                time.sleep(WAIT)
    return [record for request in requests if (record := results.find(request))]


class Hopeless:
    """Runs whose budget has no room for `least_steps` steps: one seed shows it for all."""

    def __init__(self, least_steps: int, records: Iterable[Record]) -> None:
        self._least_steps = least_steps
        self._shown: dict[str, Record] = {}  # by the run without its seed
        for record in records:
            self.learn(record)

    def learn(self, record: Record) -> None:
        """Take a record into account."""
        if record.status == "timed-out" and record.steps < self._least_steps:
            self._shown.setdefault(_without_seed(record.request), record)

    def without_doing(self, request: Request) -> Record | None:
        """Give the record of a run that another seed has shown to be hopeless."""
        shown = self._shown.get(_without_seed(request))
        if shown is None:
            return None
        error = f"not done, as seed {shown.request.seed}: {shown.error}"
        return lost(request, "timed-out", error, shown.provenance.machine)


def _waiting(locks: RunLocks) -> str:
    """Say how many runs are waited for, and who does them."""
    runs = f"{len(locks.left)} run{'s' if len(locks.left) > 1 else ''}"
    return f"waiting for {runs} in the hands of {' and '.join(locks.holders())}"


def _without_seed(request: Request) -> str:
    return request.model_copy(update={"seed": 0}).identity


def _state(campaign: str, done: Sequence[Record], left: Sequence[Request]) -> str:
    """Say what is done, what is left, what ended otherwise than with its budget."""
    statuses = Counter(record.status for record in done if record.status != "finished")
    others = ", ".join(f"{count} {status}" for status, count in statuses.items())
    finished = f"{len(done)} done{f' ({others})' if others else ''}"
    runs, rest = len(done) + len(left), f"{len(left)} left{foreseen(left)}"
    return f"{campaign}: {runs} runs, {finished}, {rest}"
