"""Files on disk: replaced whole or not at all, moved aside and never deleted."""

import errno
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

# what a file in the making and one that was set aside end with; neither is published
PARTIAL, ASIDE = ".partial", ".aside"
# what a file system says that cannot flush, or a system that opens no folders: what is
# written is in its place all the same. Another error, such as a full disk, is an error.
NO_FLUSH = frozenset(
    getattr(errno, name)
    for name in ("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF", "EACCES", "EPERM")
)
log = logging.getLogger(__name__)
_said: set[str] = set()  # why a file system cannot flush, once for a process


def replace(file: Path, content: str | bytes) -> None:
    """Replace a file's content, whole or not at all; text is UTF-8 on every system.

    It is written aside, flushed to the disk, and renamed.
    """
    aside = file.with_name(f".{file.name}.{os.getpid()}{PARTIAL}")
    try:
        with aside.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            _flush(stream.fileno(), file.parent)
        aside.replace(file)
    except OSError as error:
        # a full disk does not say where, and the file aside is nobody's concern
        raise OSError(error.errno, error.strerror, str(file)) from error
    finally:
        aside.unlink(missing_ok=True)
    _flush_folder(file.parent)


def set_aside(file: Path) -> Path:
    """Move a file out of the way, keeping it, and give its new path."""
    aside = file.with_name(f"{file.name}.{time.time_ns()}{ASIDE}")
    file.replace(aside)
    return aside


def below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Give all files and folders below a folder; links are followed, hidden ones left out.

    A link to a folder that it lies in, one of `above`, ends there.
    """
    if not folder.is_dir() or (real := folder.resolve()) in above:
        return
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            yield path
            yield from below(path, (*above, real))


def _flush_folder(folder: Path) -> None:
    """Make a rename outlive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:  # Windows opens no folder
        _forgive(error, folder)
        return
    try:
        _flush(descriptor, folder)
    finally:
        os.close(descriptor)


def _flush(descriptor: int, folder: Path) -> None:
    """Make what is written outlive a power cut, where the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        _forgive(error, folder)


def _forgive(error: OSError, folder: Path) -> None:
    """Say that a folder cannot be flushed; raises the error if it means something else."""
    if error.errno not in NO_FLUSH:
        raise error
    why = str(error.strerror)
    # a child's parent writes to the same folder, and says it
    if why in _said or multiprocessing.parent_process():
        return
    _said.add(why)
    log.warning(
        f"optbench: {folder}: its file system does not flush ({why}): what is written may "
        "not outlive a power cut"
    )
