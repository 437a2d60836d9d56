"""Where runs happen: in child processes with pinned threads, one at a time, so that none disturbs another's clock."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import psutil

from harness import provenance
from harness.campaign import Campaign
from harness.progress import Display
from harness.record import Record, Request, Row, Status
from harness.store import checkpoints

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
REPORT_INTERVAL = 0.2  # seconds
GRACE = 10.0  # seconds between asking a child to end and killing it

Progress = Callable[[float, Row], None]  # the share of the budget that is spent, the newest row of the history

_reports: Any = None  # in a child: the way to its parent
_stop = threading.Event()  # in a child: its parent wants it to end


@dataclass(frozen=True)
class Limits:
    """What a run may use, and how often it saves itself."""

    processes: Literal["per-framework", "per-run"] = "per-run"
    threads: int = 1
    seconds: float = math.inf  # of wall-clock time
    memory: float = math.inf  # bytes
    checkpoints: Path | None = None  # their folder
    interval: float = math.inf  # seconds between two of a run's checkpoints


def limits(campaign: Campaign, folder: Path) -> Limits:
    """A campaign's; its checkpoints are kept in its folder of results."""
    return Limits(
        campaign.processes,
        campaign.threads,
        campaign.limit or math.inf,
        1e9 * (campaign.memory or math.inf),
        checkpoints(folder),
        campaign.checkpoint,
    )


class Workers:
    """One child process a framework, or one a run; a child that dies costs the run in hand alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pools: dict[str, _Pool] = {}

    def records(self, requests: Iterable[Request], display: Display) -> Iterator[Record]:
        """Do runs one after the other."""
        for request in requests:
            display.begin(request)
            yield self.run(request, display.update)

    def run(self, request: Request, progress: Progress) -> Record:
        """The record of a run, that of a dead child too."""
        if request.framework not in self._pools:
            self._pools[request.framework] = _Pool(self._limits)
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
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(limits.threads)))
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


class _Pool:
    """One child and the pipe that its reports come through; its own, so that a killed child blocks no other."""

    def __init__(self, limits: Limits) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the parent's threads and frameworks
        self._limits = limits
        self._reader, self._writer = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(1, context, initializer=_start, initargs=(self._writer, limits.threads))
        self._children: list[BaseProcess] = []
        self._killed: tuple[Status, str] | None = None
        self._kernel_kills = kernel_kills()

    def run(self, request: Request, progress: Progress) -> Record:
        others = set(multiprocessing.active_children())
        future: Future[Record] = self._executor.submit(_perform, request, self._limits)
        self._children += [child for child in multiprocessing.active_children() if child not in others]
        deadline = time.monotonic() + self._limits.seconds + GRACE
        while not future.done():
            if self._reader.poll(0.05):
                progress(*self._reader.recv())
            self._enforce(deadline)
        while self._reader.poll():  # the next run's reports start with its own
            self._reader.recv()
        return future.result()

    def _enforce(self, deadline: float) -> None:
        """Kill the child where it is past a limit that it did not keep itself."""
        if self._killed is None and time.monotonic() > deadline:
            self._kill("timed-out", f"past the limit of {self._limits.seconds:g} wall-clock seconds in a single step")
        if self._killed is None and (held := self._resident()) > self._limits.memory:
            self._kill("out-of-memory", f"held {held / 1e9:.3g} GB, past the limit of {self._limits.memory / 1e9:.3g}")

    def _resident(self) -> int:
        """Bytes that the child holds."""
        with suppress(psutil.Error, IndexError):
            return psutil.Process(self._children[-1].pid).memory_info().rss
        return 0

    def _kill(self, status: Status, reason: str) -> None:
        self._killed = status, reason
        for child in self._children:
            child.kill()

    def death(self) -> tuple[Status, str]:
        """What a child that ended without a record died of."""
        for child in self._children:
            child.join(5)
        if self._killed:
            return self._killed
        codes = [child.exitcode for child in self._children if child.exitcode]
        if codes and codes[-1] == -signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return "out-of-memory", "the run's process died: killed by the kernel for lack of memory"
        how = f"killed by {signal.Signals(-codes[-1]).name}" if codes and codes[-1] < 0 else f"exit codes {codes}"
        return "failed", f"the run's process died: {how}"

    def close(self) -> None:
        for child in self._children:
            child.terminate()
        self._executor.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + GRACE
        for child in self._children:
            child.join(max(0, until - time.monotonic()))
            child.kill()
            child.join()
        self._reader.close()
        self._writer.close()


def kernel_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it booted; 0 where it does not tell."""
    with suppress(OSError):
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return int(counters.get("oom_kill", 0))
    return 0


def _start(reports: Any, threads: int) -> None:
    """In the child, before anything of a framework is imported."""
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a terminal interrupts both
    signal.signal(signal.SIGTERM, lambda number, frame: _stop.set())
    if hasattr(os, "sched_setaffinity"):  # JAX's thread pool has as many threads as the process may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def _perform(request: Request, limits: Limits) -> Record:
    from harness.train import Terms, perform  # imports NumPy: only once the threads are pinned

    file = limits.checkpoints / f"{request.identity[:16]}.npz" if limits.checkpoints else None
    terms = Terms(limits.seconds, limits.memory, file, limits.interval, report=_Reporter(), stop=_stop.is_set)
    return perform(request, terms)


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


def lost(request: Request, status: Status, error: str) -> Record:
    """The record of a run that left none."""
    from harness.train import parameter_count

    return Record(
        identity=request.identity,
        request=request,
        status=status,
        error=error,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=parameter_count(request),
        clock={},
        wall_seconds=math.nan,
        provenance=provenance.collect(),
    )
