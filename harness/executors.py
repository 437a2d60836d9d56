"""Where runs happen: in child processes with pinned threads, one at a time, so that none disturbs another's clock."""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from harness import provenance
from harness.progress import Display
from harness.record import Record, Request, Row

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
REPORT_INTERVAL = 0.2  # seconds

Progress = Callable[[float, Row], None]  # the share of the budget that is spent, the newest row of the history

_reports: Any = None  # in a child: the way to its parent


class Workers:
    """One child process a framework, or one a run; a child that dies costs the run in hand alone."""

    def __init__(self, processes: Literal["per-framework", "per-run"], threads: int, limit: float | None) -> None:
        self._shared = processes == "per-framework"
        self._threads, self._limit = threads, limit or math.inf
        self._pools: dict[str, _Pool] = {}

    def records(self, requests: Iterable[Request], display: Display) -> Iterator[Record]:
        """Do runs one after the other."""
        for request in requests:
            display.begin(request)
            yield self.run(request, display.update)

    def run(self, request: Request, progress: Progress) -> Record:
        """The record of a run, that of a dead child too."""
        if request.framework not in self._pools:
            self._pools[request.framework] = _Pool(self._threads)
        pool, lives_on = self._pools[request.framework], False
        try:
            record = pool.run(request, self._limit, progress)
            lives_on = self._shared
            return record
        except BrokenProcessPool:
            return _lost(request, f"the run's process died: {pool.death()}")
        except Exception as error:  # an error outside of what a run's record tells
            return _lost(request, f"{type(error).__name__}: {error}")
        finally:
            if not lives_on:
                self._discard(request.framework)

    def _discard(self, framework: str) -> None:
        self._pools.pop(framework).close()

    def close(self) -> None:
        """End the children, also in mid-run."""
        for framework in list(self._pools):
            self._discard(framework)


@contextmanager
def workers(processes: Literal["per-framework", "per-run"], threads: int, limit: float | None) -> Iterator[Workers]:
    """Workers with native pools of `threads` threads: the variables must be there before a child imports NumPy."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    crew = Workers(processes, threads, limit)
    try:
        yield crew
    finally:
        crew.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Pool:
    """One child and the pipe that its reports come through; its own, so that a killed child blocks no other."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the parent's threads and frameworks
        self._reader, self._writer = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(1, context, initializer=_start, initargs=(self._writer, threads))
        self._children: list[BaseProcess] = []

    def run(self, request: Request, limit: float, progress: Progress) -> Record:
        others = set(multiprocessing.active_children())
        future: Future[Record] = self._executor.submit(_perform, request, limit)
        self._children += [child for child in multiprocessing.active_children() if child not in others]
        while not future.done():
            if self._reader.poll(0.05):
                progress(*self._reader.recv())
        while self._reader.poll():  # the next run's reports start with its own
            self._reader.recv()
        return future.result()

    def death(self) -> str:
        for child in self._children:
            child.join(5)
        codes = [child.exitcode for child in self._children if child.exitcode]
        if codes and codes[-1] < 0:
            return f"killed by {signal.Signals(-codes[-1]).name}"
        return f"exit code {codes[-1]}" if codes else "no exit code"

    def close(self) -> None:
        for child in self._children:  # also in mid-run: after an interruption nobody reads what it reports
            child.terminate()
        self._executor.shutdown(cancel_futures=True)
        self._reader.close()
        self._writer.close()


def _start(reports: Any, threads: int) -> None:
    """In the child, before anything of a framework is imported."""
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a terminal interrupts both
    if hasattr(os, "sched_setaffinity"):  # JAX's thread pool has as many threads as the process may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def _perform(request: Request, limit: float) -> Record:
    from harness.train import perform  # imports NumPy: only once the threads are pinned

    return perform(request, limit=limit, report=_Reporter())


class _Reporter:
    """Sends a report now and then; a full pipe would stop the run, five a second never fill it."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, share: float, row: Row) -> None:
        if _reports is not None and time.monotonic() >= self._next:
            try:
                _reports.send((share, row))
            except OSError:  # the parent is gone: nobody waits for the record
                os._exit(1)
            self._next = time.monotonic() + REPORT_INTERVAL


def _lost(request: Request, error: str) -> Record:
    """The record of a run that left none."""
    from harness.train import parameter_count

    return Record(
        identity=request.identity,
        request=request,
        status="failed",
        error=error,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=parameter_count(request),
        clock={},
        wall_seconds=math.nan,
        provenance=provenance.collect(),
    )
