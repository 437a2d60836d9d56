"""Where runs happen: in child processes with pinned threads.

There is one run at a time, so that none disturbs another's clock.
"""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache

from optbench import problems
from optbench.records import provenance
from optbench.records.cores import THREAD_VARIABLES, Claim, claimed, thread_environment
from optbench.records.record import Record, Request, Status
from optbench.schedule.child_process import Child, Progress
from optbench.schedule.progress import Display
from optbench.training.limits import Limits


class Workers:
    """One child process per framework, or one per run, on the cores of a claim.

    A child that dies costs the run in hand alone. Cores are claimed with the first run: who
    only waits, or finds all done, is in nobody's way.
    """

    def __init__(self, limits: Limits, claim: Callable[[], Claim]) -> None:
        self._limits, self._claim = limits, cache(claim)
        self._children: dict[str, Child] = {}
        self.in_hand: list[tuple[Request, Progress]] = []

    def has_room(self) -> bool:
        """Say whether no run is in hand."""
        return not self.in_hand

    def begin(self, request: Request, display: Display) -> None:
        """Take a run in hand, which `ended` does."""
        display.begin(request)
        self.in_hand.append((request, display.update))

    def ended(self) -> list[Record]:
        """Do the run in hand and give its record."""
        request, progress = self.in_hand.pop()
        return [self.run(request, progress)]

    def run(self, request: Request, progress: Progress) -> Record:
        """Do a run and give its record, that of a dead child too.

        The record says whether another process was on the same cores.
        """
        shared = self._claim().watch()
        record, begun = self._attempt(request, progress)
        if not begun:  # its child had died idle
            record, _ = self._attempt(request, progress)
        if not shared():
            return record
        told = record.provenance.model_copy(update={"shared_cores": True})
        return record.model_copy(update={"provenance": told})

    def _attempt(self, request: Request, progress: Progress) -> tuple[Record, bool]:
        """Do a run in its framework's child, and say whether it has begun there."""
        if request.framework not in self._children:
            self._children[request.framework] = Child(self._limits, self._claim().cores)
        child, lives_on, begun = self._children[request.framework], False, True
        try:
            record = child.run(request, progress)
            lives_on = self._limits.processes == "per-framework"
        except BrokenProcessPool:
            status, error = child.death()
            record, begun = lost(request, status, error, self._limits.machine), child.begun
        except Exception as error:  # an error outside of what a run's record tells
            words = f"{type(error).__name__}: {error}"
            record = lost(request, "failed", words, self._limits.machine)
        finally:
            if not lives_on:
                self._children.pop(request.framework).close()
        return record, begun

    def close(self) -> None:
        """End the children, also in mid-run: they save themselves first."""
        while self._children:
            self._children.popitem()[1].close()


@contextmanager
def workers(
    limits: Limits, say: Callable[[str], None] = print, claim: Claim | None = None
) -> Iterator[Workers]:
    """Give workers whose native thread pools have as many threads as the limits say.

    They take so many cores, if none are given; `say` is told where others are on them too.
    The variables must be there before a child imports NumPy.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(thread_environment(limits.threads))
    with ExitStack() as held:
        take = claimed(limits.threads, say)
        crew = Workers(limits, lambda: claim or held.enter_context(take))
        try:
            yield crew
        finally:
            crew.close()
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def lost(
    request: Request, status: Status, error: str, machine: str | None = None
) -> Record:
    """Make the record of a run that left none; `machine` is the class it is kept under."""
    return Record(
        identity=request.identity,
        request=request,
        status=status,
        error=error,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=request.parameter_count,
        floor=problems.get(request.problem).floor,
        clock={},
        wall_seconds=math.nan,
        provenance=provenance.collect(machine=machine),
    )
