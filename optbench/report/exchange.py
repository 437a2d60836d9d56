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
        made = {path.name for path in new.iterdir()}
        order = sorted(made | set(names), key=lambda name: (name == last, name))
        try:
            for name in order:
                _exchange(name, new, folder, old)
        except BaseException:
            for name in order:
                _put_back(name, name in made, new, folder, old)
            raise
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _exchange(name: str, new: Path, folder: Path, old: Path) -> None:
    if (folder / name).is_dir():
        (folder / name).rename(old / name)
    elif (folder / name).exists():
        # a copy: so there is a file of this name at every moment
        shutil.copy2(folder / name, old / name)
    if (new / name).exists():
        (new / name).replace(folder / name)
    else:
        (folder / name).unlink(missing_ok=True)


def _put_back(name: str, is_made: bool, new: Path, folder: Path, old: Path) -> None:
    if is_made and not (new / name).exists():
        (folder / name).replace(new / name)
    # what is there still was not exchanged, and its copy may be a part
    if not (folder / name).exists() and (old / name).exists():
        (old / name).replace(folder / name)
