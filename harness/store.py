"""Records on disk: one JSON file a run, written aside and renamed, so that no reader sees half of one.

`<root>/<campaign>/<machine class>/runs/<problem>-…-<identity>.json`
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from harness.provenance import machine_class
from harness.record import Record, Request


class InvalidRecord(ValueError):
    """A record file that is torn, empty or edited; the message is one line and names the file."""


def folder(root: Path, campaign: str) -> Path:
    """Where a campaign's results of this class of machine are."""
    return root / campaign / machine_class()


def path(folder: Path, request: Request) -> Path:
    """The file of a run: readable words and the beginning of its identity."""
    words = (request.problem, request.network, request.optimizer, request.framework, f"seed{request.seed}")
    return folder / "runs" / f"{'-'.join(words)}-{request.identity[:16]}.json"


def write(file: Path, record: Record) -> None:
    """Put a record in its place, whole or not at all: written aside, flushed to the disk, renamed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, record.model_dump_json(indent=1) + "\n")


def replace(file: Path, text: str) -> None:
    """Replace a file's text, whole or not at all."""
    aside = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with aside.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
    _flush(file.parent)


def read(file: Path) -> Record:
    """The record of a file.

    Raises:
        InvalidRecord: it is torn, empty, edited, or of another schema.
    """
    try:
        return Record.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = re.sub(r"\s+", " ", f"{where}: {first['msg']}" if where else first["msg"])
        raise InvalidRecord(f"{file} is not a whole record: {reason}") from error


def records(place: Path) -> Iterator[tuple[Path, Record]]:
    """Every record of a file, or of a folder and the folders below it, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
        InvalidRecord: one is torn, empty or edited.
    """
    found = place.glob("*.json") if place.name == "runs" else place.rglob("runs/*.json")
    files = [place] if place.is_file() else sorted(found)
    if not files:
        raise FileNotFoundError(f"no records in {place}: runs/*.json is what is looked for")
    for file in files:
        yield file, read(file)


def _flush(folder: Path) -> None:
    """Make a rename outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
