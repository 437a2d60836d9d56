"""Who has work in hand, and whether it is still alive: a lock of the operating system ends with its owner."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

LOCKS = ".locks"


@contextmanager
def owner(folder: Path) -> Iterator[str]:
    """A name of this process, alive until the end of the block or of the process."""
    name = uuid4().hex
    file = _file(folder, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file):
        yield name
    file.unlink(missing_ok=True)


def opening(folder: Path) -> FileLock:
    """Held by one process at a time: two that open a new database at once both make its tables, and one fails."""
    file = folder / LOCKS / "opening.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(file)


def is_dead(folder: Path, name: str) -> bool:
    """Whether an owner was killed; False too for one of another folder, of which nothing is known here."""
    file = _file(folder, name)
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return True
    except Timeout:
        return False


def _file(folder: Path, name: str) -> Path:
    return folder / LOCKS / f"owner-{name}.lock"
