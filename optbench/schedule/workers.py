"""Where runs happen: in child processes with pinned threads, one at a time, so that none disturbs another's clock."""

import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime

from optbench import problems
from optbench.records import provenance
from optbench.records.cores import THREAD_VARIABLES, thread_environment
from optbench.records.record import Record, Request, Status
from optbench.schedule.child import Child, Progress
from optbench.schedule.progress import Display
from optbench.training.limits import Limits


class Workers:
    """One child process a framework, or one a run; a child that dies costs the run in hand alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pools: dict[str, Child] = {}

    def records(self, requests: Iterable[Request], display: Display) -> Iterator[Record]:
        """Do runs one after the other."""
        for request in requests:
            display.begin(request)
            yield self.run(request, display.update)

    def run(self, request: Request, progress: Progress) -> Record:
        """The record of a run, that of a dead child too."""
        if request.framework not in self._pools:
            self._pools[request.framework] = Child(self._limits)
        pool, lives_on = self._pools[request.framework], False
        try:
            record = pool.run(request, progress)
            lives_on = self._limits.processes == "per-framework"
        except BrokenProcessPool:
            record = lost(request, *pool.death())
        except Exception as error:  # an error outside of what a run's record tells
            record = lost(request, "failed", f"{type(error).__name__}: {error}")
        finally:
            if not lives_on:
                self._pools.pop(request.framework).close()
        return record

    def close(self) -> None:
        """End the children, also in mid-run: they save themselves first."""
        while self._pools:
            self._pools.popitem()[1].close()


@contextmanager
def workers(limits: Limits) -> Iterator[Workers]:
    """Workers with native pools of so many threads: the variables must be there before a child imports NumPy."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(thread_environment(limits.threads))
    crew = Workers(limits)
    try:
        yield crew
    finally:
        crew.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def lost(request: Request, status: Status, error: str) -> Record:
    """The record of a run that left none."""
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
        provenance=provenance.collect(),
    )
