"""Runs on many machines: a run is a task of a Dask cluster.

Its record comes back to the submitter, which alone writes: no disk is shared. A request
does not say which of the cluster's machines will do it, so that what is done is looked for
in one folder, `<results>/<campaign>/cluster`, and not in one folder per machine: the
submitter's own would say that its hardware made numbers that it never saw. Each record
names its machine, and no row of a table mixes two. With `local`, every worker is on this
machine and its folder is used.
"""

import asyncio
import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from distributed import (
    Client,
    Future,
    LocalCluster,
    Reschedule,
    Worker,
    WorkerPlugin,
    get_worker,
)
from distributed.comm.addressing import get_address_host_port
from distributed.core import Status, rpc
from distributed.scheduler import KilledWorker

from optbench.campaign.errors import CampaignError
from optbench.problems import own
from optbench.records.cores import Claim, claimed, pin_to, usable
from optbench.records.record import Record, Request
from optbench.schedule import console, local_workers
from optbench.schedule.child_process import Progress, ignore_terminal
from optbench.schedule.progress import Display
from optbench.training.limits import Limits

DEATHS = 3  # a run that so many workers died of is not tried again
PATIENCE = 10  # seconds until a scheduler must have answered
LOOK = 1.0  # seconds between two looks at how many workers there are


class Cluster:
    """The workers of a Dask cluster, each with one run at a time: its resource `runs` is 1.

    No more is sent than there is room for: where a worker dies, Dask blames all that was
    meant for it. `run` is what a worker calls.
    """

    def __init__(self, client: Any, run: Callable[[Request], Record]) -> None:
        client.run_on_scheduler(_bury, DEATHS)
        self.client, self._run, self._address = client, run, client.scheduler.address
        self.in_hand: dict[str, Future] = {}
        self._ended: SimpleQueue[tuple[Request, Any]] = SimpleQueue()

    def has_room(self) -> bool:
        """Say whether a worker is free; raises CampaignError for a lost scheduler."""
        with self._scheduler_there():
            return len(self.in_hand) < room(self.client)

    def begin(self, request: Request, display: Display) -> None:
        """Send a run; nothing tells when a worker begins it, so nothing is displayed."""
        with self._scheduler_there():
            future = self.client.submit(
                self._run, request, key=key(request), resources={"runs": 1}
            )
        self.in_hand[request.identity] = future
        future.add_done_callback(lambda future: self._ended.put((request, future)))

    def ended(self) -> list[Record]:
        """Wait for a run that ends, in whatever order, and give its record.

        After LOOK seconds there may be none. Raises CampaignError where the scheduler is
        lost.
        """
        try:
            request, future = self._ended.get(timeout=LOOK)
        except Empty:
            return []
        del self.in_hand[request.identity]
        if future.status == "finished":
            return [future.result()]
        if future.status == "error":
            return [local_workers.lost(request, "failed", _reason(future.exception()))]
        raise _lost(self._address)

    @contextmanager
    def _scheduler_there(self) -> Iterator[None]:
        """Raise CampaignError in place of an error of a scheduler that is lost."""
        if self.client.status != "running":
            raise _lost(self._address)
        try:
            yield
        except Exception as error:
            if self.client.status == "running":
                raise
            raise _lost(self._address) from error


@contextmanager
def connect(address: str, limits: Limits, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Connect to the scheduler of this address; checkpoints stay on workers' machines.

    Raises:
        CampaignError: nobody answers there, or not in our language.
    """
    try:
        # a Client that fails leaves a thread behind, and waits for one that says nothing
        get_address_host_port(address)
        asyncio.run(asyncio.wait_for(_identity(address), PATIENCE))
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except TimeoutError as error:
        reason = f"no scheduler answers there within {PATIENCE:g} s"
        raise _not_there(address, reason) from error
    except (OSError, ValueError) as error:
        raise _not_there(address, error) from error
    except Exception as error:  # what speaks another language is misread in any way
        reason = f"what answers there is no scheduler of Dask ({type(error).__name__})"
        raise _not_there(address, reason) from error
    # a lost scheduler is told of in one line
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with client:
        yield _crew(client, replace(limits, checkpoints=None), say)


async def _identity(address: str) -> None:
    """Ask who is at an address, as a Client will; what speaks otherwise fails."""
    async with rpc(address) as scheduler:
        await scheduler.identity()


@contextmanager
def local(workers: int, limits: Limits, say: Callable[[str], None]) -> Iterator[Cluster]:
    """Start a cluster on this machine, each worker on cores of its own.

    Raises:
        CampaignError: there are not that many cores.
    """
    needed, there = workers * limits.threads, len(usable())
    if needed > there:
        message = f"{needed} cores are needed for runs of threads = {limits.threads}"
        message += f", and there are {there}"
        raise CampaignError("command line", ("--workers",), message, value=workers)
    where = {
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",
        "silence_logs": logging.ERROR,
    }
    # no memory limit: a nanny's would be of the worker, while the run and its own limit are
    # in the worker's child
    per_worker = {"threads_per_worker": 1, "resources": {"runs": 1}, "memory_limit": 0}
    with (
        claimed(needed, say) as claim,
        LocalCluster(n_workers=workers, processes=True, **where, **per_worker) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        shares = [
            claim.part(first, limits.threads) for first in range(0, needed, limits.threads)
        ]
        client.register_plugin(Pinned(shares))
        yield _crew(client, limits, say, shares)


class Pinned(WorkerPlugin):
    """Gives each worker of a local cluster its cores, also to a dead one's successor."""

    name = "pinned"

    def __init__(self, shares: Sequence[Claim]) -> None:
        self._shares = shares

    def setup(self, worker: Worker) -> None:
        """Pin the worker, before its first run."""
        # the submitter decides; a terminal interrupts both
        ignore_terminal()
        console.soften()
        pin_to(self._shares[int(str(worker.name))].cores)


def key(request: Request) -> str:
    """Name a task; the dashboard shows and groups by what is before the first hyphen."""
    words = (
        f"{own.slug(request.problem)}, {own.slug(request.optimizer)}, {request.framework}"
    )
    return f"{words}-seed{request.seed}-{request.identity}"


def room(client: Any) -> int:
    """Ask the scheduler how many runs its workers take at a time."""
    return client.run_on_scheduler(_room)


def perform(request: Request, limits: Limits, shares: Sequence[Claim] = ()) -> Record:
    """Do a run on a worker, in a child process that is pinned as everywhere.

    The worker outlives what kills the child. Each takes its cores of those that the
    submitter has claimed on this machine, or claims some for the run.

    Raises:
        Reschedule: the worker closes, or nobody waits for the record any more.
    """
    # as a nanny's daemon it could have no children
    multiprocessing.current_process().daemon = False
    # a nanny's, and slower: elsewhere runs are timed without it
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)
    worker = get_worker()
    claim = shares[int(str(worker.name))] if shares else None
    scratch = Path(worker.local_directory).parent / "optbench" / request.identity[:16]
    limits = replace(limits, processes="per-run", checkpoints=limits.checkpoints or scratch)
    try:
        with local_workers.workers(limits, claim=claim) as crew:
            record = crew.run(request, _while_wanted())
    except _Abandoned as error:
        raise Reschedule from error
    shutil.rmtree(scratch, ignore_errors=True)
    return record


class _Abandoned(BaseException):
    """Nobody waits for the run; no Exception, which a crew makes a failed record of."""


def _while_wanted() -> Progress:
    """Make the progress of a run in hand: it ends a run that nobody waits for any more.

    Its task may be cancelled, or its worker close.
    """
    worker = get_worker()
    task = worker.get_current_task()

    def progress(*_: Any) -> None:
        state = worker.state.tasks.get(task)
        closing = worker.status in (Status.closing, Status.closed, Status.failed)
        if closing or state is None or state.state == "cancelled":
            raise _Abandoned

    return progress


def _crew(
    client: Any, limits: Limits, say: Callable[[str], None], shares: Sequence[Claim] = ()
) -> Cluster:
    """Take the workers that there are now and will be, and say how many there are."""
    try:
        crew = Cluster(client, partial(perform, limits=limits, shares=shares))
    except ImportError as error:
        raise _not_there(
            client.scheduler.address, f"the scheduler runs without our code: {error}"
        ) from error
    slots = room(client)
    waiting = (
        "" if slots else "; waiting for workers, which are started with --resources runs=1"
    )
    dashboard = client.dashboard_link
    say(f"cluster: room for {slots} runs at a time, dashboard {dashboard}{waiting}")
    return crew


def _room(dask_scheduler: Any) -> int:
    """Count, on the scheduler, the runs that its workers take."""
    return int(
        sum(worker.resources.get("runs", 0) for worker in dask_scheduler.workers.values())
    )


def _bury(deaths: int, dask_scheduler: Any) -> None:
    """Make the scheduler give a run up after so many workers' deaths."""
    dask_scheduler.allowed_failures = deaths - 1


def _reason(error: BaseException | None) -> str:
    """Say why there is no record; a KilledWorker's own words hold an address."""
    if isinstance(error, KilledWorker):
        return f"its worker died, and so did the next ones, {DEATHS} in all"
    return f"{type(error).__name__}: {error}"


def _not_there(address: str, error: object) -> CampaignError:
    return CampaignError(
        "command line", ("--scheduler",), " ".join(str(error).split()), value=address
    )


def _lost(address: str) -> CampaignError:
    return _not_there(
        address,
        "the scheduler is lost; the same command, with one that lives, does the rest",
    )
