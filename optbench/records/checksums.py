"""SHA256SUMS: the checksum of everything that a folder publishes.

`sha256sum -c SHA256SUMS` reads it too.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from optbench.records.store import replace

NAME = "SHA256SUMS"
# what a run in hand or a torn record leaves; hidden files are working files too
WORKING = (".partial", ".aside")
LINE = re.compile(r"(?P<checksum>[0-9a-f]{64})  (?P<name>.+)")


def published(folder: Path) -> list[Path]:
    """List the files of a folder and those below it, in the order of their names.

    Checksums and working files are left out.
    """
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and _is_published(file.relative_to(folder))
    )


def write(folder: Path) -> Path:
    """Write the checksums of everything published in a folder, and give their file."""
    names = [file.relative_to(folder).as_posix() for file in published(folder)]
    replace(
        folder / NAME, "".join(f"{_checksum(folder / name)}  {name}\n" for name in names)
    )
    return folder / NAME


def issues(folder: Path) -> Iterator[str]:
    """Say what is not as the checksums say, one line per file.

    A file may be missing, changed or not listed.
    """
    if not (folder / NAME).is_file():
        yield f"{folder / NAME} is missing"
        return
    lines = (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if match := LINE.fullmatch(line):
            listed[match["name"]] = match["checksum"]
        else:
            yield f"{folder / NAME}: line {number} is no checksum and file name"
    for name, checksum in listed.items():
        file = folder / name
        if not file.is_file():
            yield f"{file} is missing"
        elif _checksum(file) != checksum:
            yield f"{file} is not what its checksum says"
    yield from (
        f"{file} has no checksum"
        for file in published(folder)
        if file.relative_to(folder).as_posix() not in listed
    )


def _is_published(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and name.suffix not in WORKING and name.as_posix() != NAME


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
