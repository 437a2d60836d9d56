"""What a request says of the files of a user's own that it needs, and their copies in a folder of results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from optbench import problems
from optbench.campaign.errors import CampaignError
from optbench.problems import own
from optbench.problems.own import InvalidFile, Source
from optbench.records import store
from optbench.records.record import Record, Request

FOLDER = "sources"  # in a folder of results


def of(problem: str, *optimizers: str) -> dict[str, Source]:
    """The files of a problem and its optimizers, by their paths from the Python file's folder; none for names of ours.

    Raises InvalidFile, also for a data file that does not lie beside the Python file or
    below it.
    """
    found: dict[str, Source] = {}
    for name, data in (
        (problem, problems.get(problem).data),
        *((optimizer, ()) for optimizer in optimizers),
    ):
        if not own.is_own(name):
            continue
        path, _ = own.split(name)
        for source in (own.read(path).source, *data):
            where, folder = source.path.resolve(), path.parent.resolve()
            if not where.is_relative_to(folder):
                raise InvalidFile(
                    f"{path}: its data must lie beside it or below, not at {source.path}"
                )
            key = where.relative_to(folder).as_posix()
            if found.setdefault(key, source).digest != source.digest:
                raise InvalidFile(f"two files are called {key}: rename one")
    return found


def digests(problem: str, *optimizers: str) -> dict[str, str]:
    """The SHA-256 of each, as a request has them."""
    return {key: source.digest for key, source in of(problem, *optimizers).items()}


def changed(request: Request) -> str | None:
    """What is not in the files that a request names as it says; runs none of them."""
    for name in (request.problem, *(part.optimizer for part in request.parts)):
        if own.is_own(name) and own.split(name)[0].name not in request.files:
            return f"the SHA-256 of {own.split(name)[0].name} is not in it"
    for key, digest in request.files.items():
        file = _file(request, key)
        if not file.is_file():
            return f"{file} is missing"
        if (now := own.digest(file.read_bytes())) != digest:
            return f"{file} has the SHA-256 {now[:16]}…, the run was asked for with {digest[:16]}…"
    return None


def distinct(requests: Iterable[Request], source: str) -> None:
    """Raise CampaignError where two files of a campaign would have one name in a folder of results."""
    found: dict[str, str] = {}
    for request in requests:
        for key, digest in request.files.items():
            if found.setdefault(key, digest) != digest:
                raise CampaignError(
                    source,
                    (),
                    f"two files are called {key}, and results keep them by name: rename one",
                )


def keep(requests: Sequence[Request], folder: Path) -> list[Path]:
    """Copy the requests' files into a folder of results; the copies' paths."""
    files = {key: _file(request, key) for request in requests for key in request.files}
    copies = []
    for key, file in files.items():
        copy = folder / FOLDER / key
        if file != copy:
            copy.parent.mkdir(parents=True, exist_ok=True)
            store.replace(copy, file.read_bytes())
        copies.append(copy)
    return copies


def kept(name: str, folder: Path) -> str:
    """A name whose file is the copy in a folder of results."""
    return own.located(own.bare(name), folder / FOLDER)


def relocated(record: Record, folder: Path) -> Record:
    """A record of a folder of results whose files are the copies there."""
    request = record.request
    stages = tuple(
        stage.model_copy(update={"optimizer": kept(stage.optimizer, folder)})
        for stage in request.stages
    )
    optimizer = request.optimizer if stages else kept(request.optimizer, folder)
    names = {
        "problem": kept(request.problem, folder),
        "optimizer": optimizer,
        "stages": stages,
    }
    return record.model_copy(update={"request": request.model_copy(update=names)})


def _file(request: Request, key: str) -> Path:
    """Where a request's file is: with the optimizer's name beside the optimizer, else beside the problem."""
    names = [part.optimizer for part in request.parts] + [request.problem]
    names = [name for name in names if own.is_own(name)]
    for name in names:
        path, _ = own.split(name)
        if path.name == key:
            return path
    return own.split(names[-1])[0].parent / key
