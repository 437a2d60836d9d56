"""Files on disk: replaced whole or not at all, moved aside and never deleted."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

# what a file in the making and one that was set aside end with; neither is published
PARTIAL, ASIDE = ".partial", ".aside"


def replace(file: Path, content: str | bytes) -> None:
    """Replace a file's content, whole or not at all.

    It is written aside, flushed to the disk, and renamed.
    """
    aside = file.with_name(f".{file.name}.{os.getpid()}{PARTIAL}")
    try:
        with aside.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
    _flush(file.parent)


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


def _flush(folder: Path) -> None:
    """Make a rename outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
