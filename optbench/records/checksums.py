"""SHA256SUMS: the checksum of everything that a folder publishes.

`sha256sum -c SHA256SUMS` reads it too.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from optbench.records.files import ASIDE, PARTIAL, below, replace

NAME = "SHA256SUMS"
# what a run in hand or a torn record leaves; hidden files are working files too
WORKING = (PARTIAL, ASIDE)
LINE = re.compile(r"(?P<checksum>[0-9a-f]{64})  (?P<name>.+)")


def published(folder: Path) -> list[Path]:
    """List the files of a folder and those below it, in the order of their names.

    Checksums and working files are left out.
    """
    return sorted(
        file
        for file in below(folder)
        if file.is_file() and _is_published(file.relative_to(folder))
    )


def write(folder: Path) -> Path:
    """Write the checksums of everything published in a folder, and give their file.

    Raises InvalidRecord where a record is not what its run wrote: no list makes it so.
    """
    from optbench.records import store  # which reads checksums

    known = listed(folder)
    for file in store.files_of(folder):
        store.read(file, known)
    replace(
        folder / NAME, text({file.relative_to(folder): file for file in published(folder)})
    )
    return folder / NAME


def text(files: Mapping[Path, Path]) -> str:
    """Give the list of files; each stands under the name that it is published by."""
    return "".join(f"{of(files[name])}  {name.as_posix()}\n" for name in sorted(files))


def issues(folder: Path) -> Iterator[str]:
    """Say what is not as the checksums say, one line per file.

    A file may be missing, changed or not listed. Files whose line ends alone were changed
    are one line together.
    """
    if not (folder / NAME).is_file():
        yield f"{folder / NAME} is missing"
        return
    for number, line in enumerate(_lines(folder), 1):
        if not LINE.fullmatch(line):
            yield f"{folder / NAME}: line {number} is no checksum and file name"
    known, line_ends = listed(folder), []
    for name, checksum in known.items():
        file = folder / name
        if not file.is_file():
            yield f"{file} is missing"
        elif of(file) != checksum:
            if is_of(checksum, file.read_bytes()):
                line_ends.append(file)
            else:
                yield f"{file} is not what its checksum says"
    if line_ends:
        yield (
            f"{folder}: other line ends than were published in {len(line_ends)} files "
            "(git's core.autocrlf?)"
        )
    yield from (
        f"{file} has no checksum"
        for file in published(folder)
        if file.relative_to(folder).as_posix() not in known
    )


def _is_published(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not hidden and name.suffix not in WORKING and name.as_posix() != NAME


def of(file: Path) -> str:
    """Compute the SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_of(checksum: str, content: bytes) -> bool:
    """Say whether a checksum is of this content, whichever line ends git has given it."""
    texts = (content, content.replace(b"\r\n", b"\n"))
    return checksum in (hashlib.sha256(text).hexdigest() for text in texts)


def listed(folder: Path) -> dict[str, str]:
    """Read the checksums of a folder by their files' names; none where there is no list."""
    if not (folder / NAME).is_file():
        return {}
    matches = filter(None, map(LINE.fullmatch, _lines(folder)))
    return {match["name"]: match["checksum"] for match in matches}


def _lines(folder: Path) -> list[str]:
    return (folder / NAME).read_text(encoding="utf-8", errors="replace").splitlines()
