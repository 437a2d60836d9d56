"""Locks on files: the operating system's, which end with their owner, however that ends.

Beside a lock lies a note that says who holds it. Where a file system has no locks, marks
take their place: files that are there as long as the lock is held.
"""

import os
import platform
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

EVERYONE = 0o666  # who may write a lock's file: locks on cores hold across users


def of(file: Path) -> BaseFileLock:
    """Give the lock on a file; its folder must be there."""
    kind = FileLock if has_locks(file.parent) else SoftFileLock
    return kind(file, mode=EVERYONE)


@cache
def has_locks(folder: Path) -> bool:
    """Say whether the file system of a folder grants the operating system's locks.

    Raises OSError where no file can be made there.
    """
    try:
        import fcntl
    except ImportError:  # Windows has locks of its own
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def acquired(lock: BaseFileLock) -> bool:
    """Try to take a lock; False where another holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def is_held(file: Path) -> bool:
    """Say whether somebody holds the lock on a file."""
    lock = of(file)
    if not acquired(lock):
        return True
    lock.release()
    return False


def sign(file: Path) -> None:
    """Note beside a lock, by its owner, who that is; the note's time is the arrival's."""
    note = _note(file)
    note.unlink(missing_ok=True)
    with note.open("x", encoding="utf-8") as stream:  # never through a link of another's
        stream.write(f"{os.getpid()} {platform.node()}")


def unsign(file: Path) -> None:
    """Remove the note beside a lock."""
    _note(file).unlink(missing_ok=True)


def holder(file: Path) -> str:
    """Name the process that holds the lock on a file, as far as its note tells."""
    with suppress(OSError, ValueError):
        process, node = _note(file).read_text(encoding="utf-8").split(" ", 1)
        return f"process {process}" if node == platform.node() else "another machine"
    return "another process"


def arrival(file: Path) -> int | None:
    """Give the time of the newest note beside a lock; None where there was none."""
    with suppress(FileNotFoundError):
        return _note(file).stat().st_mtime_ns
    return None


def _note(file: Path) -> Path:
    return file.with_suffix(".owner")
