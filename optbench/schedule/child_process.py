"""A child process that does runs, seen from its parent and from inside."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from optbench.records.cores import pin
from optbench.records.record import Record, Request, Row, Status
from optbench.schedule import console
from optbench.training.limits import Limits

REPORT_INTERVAL = 0.2  # seconds
GRACE = 10.0  # seconds between asking a child to end and killing it

# called with the share of the budget that is spent, and the newest row of the history
Progress = Callable[[float, Row], None]

_reports: Any = None  # in a child: the way to its parent
_stop = threading.Event()  # in a child: its parent wants it to end


class Child:
    """One child and the pipe that its reports come through.

    The pipe is its own, so that a killed child blocks no other.
    """

    def __init__(self, limits: Limits) -> None:
        # a fork would copy the parent's threads and frameworks
        context = multiprocessing.get_context("spawn")
        self._limits = limits
        self._reader, self._writer = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            1, context, initializer=_start, initargs=(self._writer, limits.threads)
        )
        self._children: list[BaseProcess] = []
        self._killed: tuple[Status, str] | None = None
        self._kernel_kills = kernel_kills()

    def run(self, request: Request, progress: Progress) -> Record:
        """Do a run; raises BrokenProcessPool where the child ends without a record."""
        others = set(multiprocessing.active_children())
        future: Future[Record] = self._executor.submit(_perform, request, self._limits)
        self._children += [
            child for child in multiprocessing.active_children() if child not in others
        ]
        deadline = time.monotonic() + self._limits.seconds + GRACE
        while not future.done():
            if self._reader.poll(0.05):
                share, row = self._reader.recv()
                progress(share, row)
            self._enforce(deadline)
        while self._reader.poll():  # the next run's reports start with its own
            self._reader.recv()
        return future.result()

    def _enforce(self, deadline: float) -> None:
        """Kill the child where it is past a limit that it did not keep itself."""
        if self._killed:
            return
        limits = self._limits
        if time.monotonic() > deadline:
            self._kill(
                "timed-out",
                f"past the limit of {limits.seconds:g} wall-clock seconds in a single step",
            )
        # without a limit nobody asks the kernel while a run is timed
        elif limits.memory < math.inf and (held := self._resident()) > limits.memory:
            self._kill(
                "out-of-memory",
                f"held {held / 1e9:.3g} GB, past the limit of {limits.memory / 1e9:.3g}",
            )

    def _resident(self) -> int:
        """Ask how many bytes the child holds."""
        with suppress(psutil.Error, IndexError):
            return psutil.Process(self._children[-1].pid).memory_info().rss
        return 0

    def _kill(self, status: Status, reason: str) -> None:
        self._killed = status, reason
        for child in self._children:
            child.kill()

    def death(self) -> tuple[Status, str]:
        """Say what a child that ended without a record died of."""
        for child in self._children:
            child.join(5)
        if self._killed:
            return self._killed
        codes = [child.exitcode for child in self._children if child.exitcode]
        if codes and codes[-1] == -signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return (
                "out-of-memory",
                "the run's process died: killed by the kernel for lack of memory",
            )
        how = (
            f"killed by {signal.Signals(-codes[-1]).name}"
            if codes and codes[-1] < 0
            else f"exit codes {codes}"
        )
        return "failed", f"the run's process died: {how}"

    def close(self) -> None:
        """End the child, also in mid-run: it saves itself first."""
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
    """Count the processes that the kernel has killed for lack of memory since it booted.

    0 where it does not tell.
    """
    with suppress(OSError):
        counters = dict(
            line.split()
            for line in Path("/proc/vmstat").read_text(encoding="utf-8").splitlines()
        )
        return int(counters.get("oom_kill", 0))
    return 0


def _start(reports: Any, threads: int) -> None:
    """Prepare the child, before anything of a framework is imported."""
    global _reports
    _reports = reports
    console.soften()  # a user's file may print
    # the parent decides; a terminal interrupts both
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: _stop.set())
    pin(threads)


def _perform(request: Request, limits: Limits) -> Record:
    """Do a run, in the child."""
    from optbench.training.run import perform  # only once the threads are pinned

    try:
        return perform(request, limits, report=_Reporter(), stop=_stop.is_set)
    except (SystemExit, KeyboardInterrupt) as error:
        # of a user's file, as SIGINT is ignored here: it would end the parent too
        raise RuntimeError(f"the run ended itself by {type(error).__name__}") from error


class _Reporter:
    """Sends a report now and then.

    A full pipe would stop the run; five reports per second never fill it.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, share: float, row: Row) -> None:
        if _reports is not None and time.monotonic() >= self._next:
            try:
                _reports.send((share, row))
            except OSError:  # the parent is gone: nobody waits for the record
                os._exit(1)
            self._next = time.monotonic() + REPORT_INTERVAL
