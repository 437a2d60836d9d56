"""Records on disk: one compressed JSON file per run.

It is written aside and renamed, so that no reader sees half of one:
`<root>/<campaign>/<machine class>/runs/<problem>-…-<identity>.json.gz`, and `.json` of a
record from before they were compressed.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from optbench.problems import own
from optbench.records import checksums, files
from optbench.records.provenance import class_beside, is_alike
from optbench.records.record import SCHEMA_VERSION, Record, Request, Status

AGAIN = {  # what `--rerun` does again, by its value: statuses
    "failed": ("failed", "timed-out", "out-of-memory"),
    "diverged": ("diverged",),
    "stalled": ("stalled",),
    "all": get_args(Status),
}


class InvalidRecord(ValueError):
    """A record file that is torn, empty or edited; the message is a line that names it."""


LONGEST = 120  # characters of the readable part of a file's name
PLAIN, PACKED = ".json", ".json.gz"  # how a record's name ends; what is written is packed


class Store:
    """A campaign's records of one class of machine.

    `again` are the statuses of runs that are done again: a record with one of them that is
    there when this object is made does not count, until another takes its place. `say` is
    told of every file that is set aside.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None] = print, again: tuple[str, ...] = ()
    ) -> None:
        self.folder, self._say, self._again = folder, say, again
        self._listed = checksums.listed(folder)
        # by content: clocks of two machines differ, and so do times of files
        self._old = {file: checksums.of(file) for file in files_of(folder) if again}

    def find(self, request: Request) -> Record | None:
        """Find the record of a run, with today's labels; a torn one is set aside."""
        file = path(self.folder, request)
        file = file if file.exists() else plain(file)
        try:
            record = read(file, self._listed)
        except FileNotFoundError:
            return None
        except InvalidRecord as error:
            aside = files.set_aside(file).name
            self._say(f"{error}; set aside as {aside}, its run is done again")
            return None
        if record.status in self._again and self._old.get(file) == checksums.of(file):
            return None
        return record.model_copy(update={"request": request})

    def write(self, record: Record) -> None:
        """Put a record in its place, whole or not at all, and remove its checkpoint."""
        file = path(self.folder, record.request)
        write(file, record)
        plain(file).unlink(missing_ok=True)
        self._old.pop(file, None)  # done again, though it be equal to the last digit
        checkpoint(checkpoints(self.folder), record.identity).unlink(missing_ok=True)


def folder(root: Path, campaign: str, device: str = "cpu", alike: bool = False) -> Path:
    """Give the place of a campaign's results of this class of machine.

    `device` is what the frameworks compute on, as they name it; `alike` is a campaign whose
    CPUs may be of several models.
    """
    place = root / campaign
    there = [each.name for each in place.iterdir()] if place.is_dir() else []
    return place / class_beside(there, device, alike)


def checkpoints(folder: Path) -> Path:
    """Give the place where a campaign's runs in hand save themselves."""
    return folder / ".checkpoints"


def checkpoint(checkpoints: Path, identity: str) -> Path:
    """Give the file in that folder of the run with this identity."""
    return checkpoints / f"{identity[:16]}.npz"


def path(folder: Path, request: Request) -> Path:
    """Name the file of a run: readable words and the beginning of its identity."""
    names = map(own.slug, (request.problem, request.network, request.optimizer))
    words = "-".join((*names, request.framework))[:LONGEST]
    return folder / "runs" / f"{words}-seed{request.seed}-{request.identity[:16]}{PACKED}"


def plain(file: Path) -> Path:
    """Name the file of the same record from before they were compressed."""
    return file.with_name(file.name.removesuffix(PACKED) + PLAIN)


def files_of(folder: Path) -> list[Path]:
    """List the records' files of a campaign's folder."""
    return sorted(filter(is_record, (folder / "runs").glob("*")))


def write(file: Path, record: Record) -> None:
    """Seal a record and put it in its place, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sealed = record.model_copy(update={"seal": seal(json.loads(record.model_dump_json()))})
    files.replace(file, packed(sealed.model_dump_json()))


def packed(text: str) -> bytes:
    """Compress a record's JSON; the same text gives the same bytes at any time."""
    return gzip.compress(text.encode(), mtime=0)


def content(file: Path) -> bytes:
    """Read a record's JSON, whether its file is compressed or not.

    Raises InvalidRecord where what is compressed is torn.
    """
    found = file.read_bytes()
    if not file.name.endswith(PACKED):
        return found
    try:
        return gzip.decompress(found)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidRecord(f"{file} is not a whole record: {error}") from error


def seal(content: dict[str, Any]) -> str:
    """Compute the SHA-256 of a record's JSON without its seal, in canonical JSON."""
    rest = {name: value for name, value in content.items() if name != "seal"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read(file: Path, listed: Mapping[str, str] | None = None) -> Record:
    """Read the record of a file.

    `listed` are the checksums of its folder: one from before records had seals is held
    against them.

    Raises:
        InvalidRecord: it is torn, empty, edited, or of a schema that this version does not
            know.
    """
    text = content(file)
    try:
        record = Record.model_validate_json(text)
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
    if record.seal is not None and record.seal != seal(json.loads(text)):
        raise InvalidRecord(
            f"{file} is not what its seal says: it was changed after its run had ended"
        )
    was = (listed or {}).get(f"runs/{file.name}")
    if record.seal is None and was and not checksums.is_of(was, file.read_bytes()):
        raise InvalidRecord(
            f"{file} is not what {checksums.NAME} says, and it has no seal of its own"
        )
    # in the folder of all machines that are alike, it is of their class
    said, place = record.provenance, file.absolute().parents[1].name
    if said.device not in ("cpu", None) or not is_alike(said.machine, place):
        return record
    said = said.model_copy(update={"machine": place})
    return record.model_copy(update={"provenance": said})


def records(place: Path) -> Iterator[tuple[Path, Record]]:
    """Read every record of a file, or of a folder and those below it, in the names' order.

    Raises:
        FileNotFoundError: there is none.
        InvalidRecord: one is torn, empty or edited.
    """
    found = [
        file
        for file in (place, *files.below(place))
        if file.is_file() and (file == place or is_record(file))
    ]
    if not found:
        raise FileNotFoundError(
            f"no records in {place}: runs/*.json.gz is what is looked for"
        )
    known: dict[Path, dict[str, str]] = {}
    for file in found:
        folder = file.absolute().parent.parent
        if folder not in known:
            known[folder] = checksums.listed(folder)
        yield file, read(file, known[folder])


def is_record(file: Path) -> bool:
    """Say whether a file has the place and the name of a record."""
    return file.name.endswith((PLAIN, PACKED)) and file.absolute().parent.name == "runs"
