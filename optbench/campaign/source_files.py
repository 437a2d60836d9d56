"""The user's own files that a request needs, and their copies in a folder of results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from optbench import problems
from optbench.campaign.errors import CampaignError
from optbench.problems import own
from optbench.problems.own import InvalidFile, Source
from optbench.records.files import replace
from optbench.records.record import Record, Request

FOLDER = "sources"  # in a folder of results


def of(problem: str, *optimizers: str) -> dict[str, Source]:
    """Find the files of a problem and its optimizers, none for names of ours.

    Their keys are their paths from the Python file's folder. Raises InvalidFile, also for a
    data file that does not lie beside the Python file or below it.
    """
    files: dict[str, Source] = {}
    data_of = {problem: problems.get(problem).data}
    for name in (problem, *optimizers):
        if not own.is_own(name):
            continue
        path, _ = own.split(name)
        for source in (own.read(path).source, *data_of.get(name, ())):
            where, folder = source.path.resolve(), path.parent.resolve()
            if not where.is_relative_to(folder):
                raise InvalidFile(
                    f"{path}: its data must lie beside it or below, not at {source.path}"
                )
            key = where.relative_to(folder).as_posix()
            if files.setdefault(key, source).digest != source.digest:
                raise InvalidFile(f"two files are called {key}: rename one")
    return files


def digests(problem: str, *optimizers: str) -> dict[str, str]:
    """Give the SHA-256 of the same files, as a request has them."""
    return {key: source.digest for key, source in of(problem, *optimizers).items()}


def changed(request: Request) -> str | None:
    """Say what is not as a request says in the files that it names; runs none of them."""
    for name in (request.problem, *(part.optimizer for part in request.parts)):
        if own.is_own(name) and own.split(name)[0].name not in request.files:
            return f"the SHA-256 of {own.split(name)[0].name} is not in it"
    for key, digest in request.files.items():
        file = _file(request, key)
        if not file.is_file():
            return f"{file} is missing"
        if (now := own.digest(file.read_bytes())) != digest:
            was = f"the run was asked for with {digest[:16]}…"
            return f"{file} has the SHA-256 {now[:16]}…, {was}"
    return None


def distinct(requests: Iterable[Request], source: str) -> None:
    """Raise CampaignError where two files would have one name in a folder of results."""
    digests: dict[str, str] = {}
    for request in requests:
        for key, digest in request.files.items():
            if digests.setdefault(key, digest) != digest:
                message = f"two files are called {key}, and results keep them by name"
                raise CampaignError(source, (), f"{message}: rename one")


def keep(requests: Sequence[Request], folder: Path) -> list[Path]:
    """Copy the requests' files into a folder of results, and give the copies' paths."""
    files = {key: _file(request, key) for request in requests for key in request.files}
    copies = []
    for key, file in files.items():
        copy = folder / FOLDER / key
        if file != copy:
            copy.parent.mkdir(parents=True, exist_ok=True)
            replace(copy, file.read_bytes())
        copies.append(copy)
    return copies


def kept(name: str, folder: Path) -> str:
    """Give the name whose file is the copy in a folder of results."""
    return own.located(own.bare(name), folder / FOLDER)


def relocated(record: Record, folder: Path) -> Record:
    """Make a record's files the copies in its folder of results."""
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
    """Find a request's file: an optimizer's own, else one beside the problem."""
    names = [part.optimizer for part in request.parts] + [request.problem]
    names = [name for name in names if own.is_own(name)]
    for name in names:
        path, _ = own.split(name)
        if path.name == key:
            return path
    return own.split(names[-1])[0].parent / key
