"""Who does which run: several processes on one results folder divide the work, none does a run twice."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from optbench.records.record import Record, Request
from optbench.records.store import Store

WAIT = 1.0  # seconds between two looks at runs that another process has in hand


class Claims:
    """The runs of a campaign that have no record yet, claimed one by one.

    A claim is a lock of the operating system on a file: it ends with its owner, however
    that ends.
    """

    def __init__(self, store: Store, requests: Sequence[Request]) -> None:
        self._store, self._left = store, {request.identity: request for request in requests}
        self._held: dict[str, FileLock] = {}

    def __iter__(self) -> Iterator[Request]:
        """Claim a run and give it, until every run has a record, of this process or of another."""
        while self._left:
            claimed = self._claim_one()
            if claimed:
                yield claimed
            elif self._left:
                time.sleep(WAIT)

    def release(self, record: Record) -> None:
        """The run's record is written."""
        self._held.pop(record.identity).release()

    def release_all(self) -> None:
        """Give back what is in hand."""
        while self._held:
            self._held.popitem()[1].release()

    def _claim_one(self) -> Request | None:
        for identity, request in list(self._left.items()):
            lock = FileLock(
                self._path(identity), thread_local=False
            )  # a cluster claims in a thread
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            del self._left[identity]
            if (
                self._store.find(request) is None
            ):  # asked with the lock in hand: else it may be done by now
                self._held[identity] = lock
                return request
            lock.release()
        return None

    def _path(self, identity: str) -> Path:
        folder = self._store.folder / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{identity}.lock"
