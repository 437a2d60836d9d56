"""Records on disk: one JSON file per run.

It is written aside and renamed, so that no reader sees half of one:
`<root>/<campaign>/<machine class>/runs/<problem>-…-<identity>.json`
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from optbench.problems import own
from optbench.records.provenance import machine_class
from optbench.records.record import SCHEMA_VERSION, Record, Request

AGAIN = {  # what `--rerun` does again, by its value: statuses
    "failed": ("failed", "timed-out", "out-of-memory"),
    "diverged": ("diverged",),
    "all": ("finished", "diverged", "failed", "timed-out", "out-of-memory"),
}


class InvalidRecord(ValueError):
    """A record file that is torn, empty or edited; the message is a line that names it."""


class Store:
    """A campaign's records of one class of machine.

    `again` are the statuses of runs that are done again: records with one of them do not
    count where they are older than this object. `say` is told of every file that is set
    aside.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None] = print, again: tuple[str, ...] = ()
    ) -> None:
        self.folder, self._say, self._again = folder, say, again
        self._start = time.time_ns()

    def find(self, request: Request) -> Record | None:
        """Find the record of a run, with today's labels; a torn one is set aside."""
        file = path(self.folder, request)
        try:
            written, record = file.stat().st_mtime_ns, read(file)
        except FileNotFoundError:
            return None
        except InvalidRecord as error:
            self._say(
                f"{error}; set aside as {_set_aside(file).name}, its run is done again"
            )
            return None
        if record.status in self._again and written < self._start:
            return None
        return record.model_copy(update={"request": request})

    def write(self, record: Record) -> None:
        """Put a record in its place, whole or not at all, and remove its checkpoint."""
        write(path(self.folder, record.request), record)
        checkpoint(checkpoints(self.folder), record.identity).unlink(missing_ok=True)


def folder(root: Path, campaign: str) -> Path:
    """Give the place of a campaign's results of this class of machine."""
    return root / campaign / machine_class()


def checkpoints(folder: Path) -> Path:
    """Give the place where a campaign's runs in hand save themselves."""
    return folder / ".checkpoints"


def checkpoint(checkpoints: Path, identity: str) -> Path:
    """Give the file in that folder of the run with this identity."""
    return checkpoints / f"{identity[:16]}.npz"


def path(folder: Path, request: Request) -> Path:
    """Name the file of a run: readable words and the beginning of its identity."""
    names = map(own.slug, (request.problem, request.network, request.optimizer))
    words = (*names, request.framework, f"seed{request.seed}")
    return folder / "runs" / f"{'-'.join(words)}-{request.identity[:16]}.json"


def write(file: Path, record: Record) -> None:
    """Put a record in its place, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    replace(file, record.model_dump_json(indent=1) + "\n")


def replace(file: Path, content: str | bytes) -> None:
    """Replace a file's content, whole or not at all.

    It is written aside, flushed to the disk, and renamed.
    """
    aside = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)
    _flush(file.parent)


def read(file: Path) -> Record:
    """Read the record of a file.

    Raises:
        InvalidRecord: it is torn, empty, edited, or of a schema that this version does not
            know.
    """
    content = file.read_bytes()
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = re.sub(r"\s+", " ", f"{where}: {first['msg']}" if where else first["msg"])
        if where == "schema_version":
            reason = (
                f"schema version {first['input']!r} is not {SCHEMA_VERSION}; "
                "the commit in its provenance reads it"
            )
        raise InvalidRecord(f"{file} is not a whole record: {reason}") from error


def records(place: Path) -> Iterator[tuple[Path, Record]]:
    """Read every record of a file, or of a folder and those below it, in the names' order.

    Raises:
        FileNotFoundError: there is none.
        InvalidRecord: one is torn, empty or edited.
    """
    inside = place.glob("*.json") if place.name == "runs" else place.rglob("runs/*.json")
    files = [place] if place.is_file() else sorted(inside)
    if not files:
        raise FileNotFoundError(f"no records in {place}: runs/*.json is what is looked for")
    for file in files:
        yield file, read(file)


def _set_aside(file: Path) -> Path:
    """Move a file that is no record out of the way, keeping it."""
    aside = file.with_name(f"{file.name}.{time.time_ns()}.aside")
    file.replace(aside)
    return aside


def _flush(folder: Path) -> None:
    """Make a rename outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
