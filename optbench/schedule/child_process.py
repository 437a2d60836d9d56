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
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from optbench.records.cores import pin_to
from optbench.records.record import Record, Request, Row, Status
from optbench.schedule import console
from optbench.training.limits import Limits

REPORT_INTERVAL = 0.2  # seconds
GRACE = 10.0  # seconds between asking a child to end and killing it

# called with the share of the budget that is spent, and the newest row of the history
Progress = Callable[[float, Row], None]

KILLED = -9  # the exit code of SIGKILL, which Windows does not have

# in a child: the way to its parent, whether that wants it to end, and whether no run is in
# hand
_reports: Any = None
_stop, _idle = threading.Event(), threading.Event()


class Child:
    """One child, on cores of its own, and the pipe that its reports come through.

    The pipe is its own, so that a killed child blocks no other.
    """

    def __init__(self, limits: Limits, cores: tuple[int, ...]) -> None:
        _start_tracker()
        # a fork would copy the parent's threads and frameworks
        context = multiprocessing.get_context("spawn")
        self._limits = limits
        self._reader, self._writer = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            1, context, initializer=_start, initargs=(self._writer, cores)
        )
        self._children: list[BaseProcess] = []
        self._killed: tuple[Status, str] | None = None
        self._begun = False
        self._kernel_kills = kernel_kills()

    def run(self, request: Request, progress: Progress) -> Record:
        """Do a run; raises BrokenProcessPool where the child ends without a record."""
        self._begun = False
        others = set(multiprocessing.active_children())
        future: Future[Record] = self._executor.submit(_perform, request, self._limits)
        self._children += [
            child for child in multiprocessing.active_children() if child not in others
        ]
        deadline = time.monotonic() + self._limits.seconds + GRACE
        while not future.done():
            if self._reader.poll(0.05):
                self._heed(self._reader.recv(), progress)
            self._enforce(deadline)
        while self._reader.poll():  # the next run's reports start with its own
            self._heed(self._reader.recv(), lambda share, row: None)
        return future.result()

    @property
    def begun(self) -> bool:
        """Whether the newest run had begun, or was ended here, before the child died."""
        return self._begun or self._killed is not None

    def _heed(self, report: tuple[float, Row] | None, progress: Progress) -> None:
        """Take a report; the first of a run says only that it begins."""
        self._begun = True
        if report:
            progress(*report)

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
        if codes and codes[-1] == KILLED and kernel_kills() > self._kernel_kills:
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


def _start_tracker() -> None:
    """Start multiprocessing's own helper so that a terminal that closes does not end it.

    It ignores SIGINT and SIGTERM by itself. Without it, whatever is left to be tracked is a
    traceback. Only the main thread may change what a signal does.
    """
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(hang_up, signal.SIG_IGN)
    try:
        resource_tracker.ensure_running()
    finally:
        signal.signal(hang_up, before)


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


def ignore_terminal() -> None:
    """Leave what a terminal sends to all of its processes to the one that it started."""
    for name in ("SIGINT", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)


def _start(reports: Any, cores: tuple[int, ...]) -> None:
    """Prepare the child, before anything of a framework is imported."""
    global _reports
    _reports = reports
    _idle.set()
    console.soften()  # a user's file may print
    ignore_terminal()
    signal.signal(signal.SIGTERM, lambda number, frame: _stop.set())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pin_to(cores)


def _end_with_parent() -> None:
    """Wait for the end of a parent that is killed; the run in hand then saves itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _stop.set()
    _idle.wait(GRACE)
    os._exit(1)


def _perform(request: Request, limits: Limits) -> Record:
    """Do a run, in the child."""
    _idle.clear()
    try:
        _report(None)
        from optbench.training.run import perform  # only once the threads are pinned

        return perform(request, limits, report=_Reporter(), stop=_stop.is_set)
    except (SystemExit, KeyboardInterrupt) as error:
        # of a user's file, as SIGINT is ignored here: it would end the parent too
        raise RuntimeError(f"the run ended itself by {type(error).__name__}") from error
    finally:
        _idle.set()


def _report(content: tuple[float, Row] | None) -> None:
    """Send a report; the run ends where there is nobody left who waits for its record."""
    try:
        _reports.send(content)
    except OSError:
        _stop.set()


class _Reporter:
    """Sends a report now and then.

    A full pipe would stop the run; five reports per second never fill it.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, share: float, row: Row) -> None:
        if time.monotonic() >= self._next:
            _report((share, row))
            self._next = time.monotonic() + REPORT_INTERVAL
