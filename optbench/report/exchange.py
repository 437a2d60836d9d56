"""What is published is exchanged at once: all of the new, or all that was there."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

WORKING = re.compile(r"\.report\.(\d+)")  # a folder in the making, and whose it is


@contextmanager
def exchanged(folder: Path, names: Iterable[str], last: str = "") -> Iterator[Path]:
    """Give an empty folder whose content takes its place in another at the end.

    `names` are the files and folders there that are replaced, or go where nothing new has
    their name; `last` is the one that is put last. If the block is left by an exception,
    all that was there stays, and so it does if the exchange itself is interrupted.
    """
    for left in folder.iterdir():
        owner = WORKING.fullmatch(left.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            shutil.rmtree(left, ignore_errors=True)
    working = folder / f".report.{os.getpid()}"
    shutil.rmtree(working, ignore_errors=True)
    new, old = working / "new", working / "old"
    try:
        for each in (new, old):
            each.mkdir(parents=True)
        yield new
        there = {path.name for path in new.iterdir()} | set(names)
        _exchange(sorted(there, key=lambda name: (name == last, name)), new, folder, old)
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _exchange(names: Iterable[str], new: Path, folder: Path, old: Path) -> None:
    done: list[str] = []
    try:
        for name in names:
            done.append(name)
            if (folder / name).is_dir():
                (folder / name).rename(old / name)
            elif (folder / name).exists():
                # a copy: so there is a file of this name at every moment
                shutil.copy2(folder / name, old / name)
            if (new / name).exists():
                (new / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
    except BaseException:
        for name in done:
            _put_back(name, new, folder, old)
        raise


def _put_back(name: str, new: Path, folder: Path, old: Path) -> None:
    if not (new / name).exists() and (folder / name).exists():
        (folder / name).replace(new / name)
    if (old / name).exists():
        (old / name).replace(folder / name)
