"""Locks in a folder of results: who does which run, and who has a trial of tuning in hand.

A lock is the operating system's, on a file: it ends with its owner, however that ends.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from uuid import uuid4

from filelock import BaseFileLock

from optbench.records import file_locks
from optbench.records.record import Record, Request
from optbench.records.store import Store

FOLDER = ".locks"


class RunLocks:
    """The runs of a campaign that have no record yet, taken one by one.

    Several processes on one folder of results divide the work, and none does a run twice.
    """

    def __init__(self, store: Store, requests: Sequence[Request]) -> None:
        self._store = store
        self.left = {request.identity: request for request in requests}
        self._held: dict[str, BaseFileLock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._held:
            self._free(*self._held.popitem())

    def take(self) -> Request | None:
        """Lock a run that has no record, and give it; None where others hold the rest."""
        for identity, request in list(self.left.items()):
            lock = _lock(self._store.folder, identity)
            if not file_locks.acquired(lock):
                continue
            del self.left[identity]
            # asked with the lock in hand: only now can nobody do it meanwhile
            if self._store.find(request) is None:
                file_locks.sign(_file(self._store.folder, identity))
                self._held[identity] = lock
                return request
            lock.release()
        return None

    def release(self, record: Record) -> None:
        """Give back the lock of a run whose record is written."""
        self._free(record.identity, self._held.pop(record.identity))

    def lacking(self) -> str | None:
        """Say what the file system of the results lacks; None where it has locks."""
        folder = _file(self._store.folder, "").parent
        if file_locks.has_locks(folder):
            return None
        return (
            f"{folder}: its file system has no locks (flock); files mark what is in hand, "
            "and one that a killed process of another machine leaves is to be removed"
        )

    def holders(self) -> list[str]:
        """Name the processes that hold what is left, as far as it can be known."""
        files = (_file(self._store.folder, identity) for identity in self.left)
        return sorted({file_locks.holder(file) for file in files})

    def _free(self, identity: str, lock: BaseFileLock) -> None:
        file_locks.unsign(_file(self._store.folder, identity))
        lock.release()


@contextmanager
def owner(folder: Path) -> Iterator[str]:
    """Name this process; its name is alive until the end of the block or of the process."""
    name = uuid4().hex
    lock = _lock(folder, _owner(name))
    with lock:
        yield name
    Path(lock.lock_file).unlink(missing_ok=True)


def is_dead(folder: Path, name: str) -> bool:
    """Say whether an owner was killed; of one of another folder nothing is known here."""
    lock = _lock(folder, _owner(name))
    if not Path(lock.lock_file).exists() or not file_locks.acquired(lock):
        return False
    lock.release()
    return True


def opening(folder: Path) -> BaseFileLock:
    """Give the lock of who opens a new database.

    Two that open it at once would both make its tables, and one would fail.
    """
    return _lock(folder, "opening")


def _owner(name: str) -> str:
    return f"owner-{name}"


def _lock(folder: Path, name: str) -> BaseFileLock:
    """Give the lock of this name in a folder of results."""
    return file_locks.of(_file(folder, name))


def _file(folder: Path, name: str) -> Path:
    """Give the file of a lock in a folder of results, which is made."""
    file = folder / FOLDER / f"{name}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
