"""A folder of results as it is found, `<campaign>/<machine>/`: its records, and the runs that its campaign asks for."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from optbench import problems
from optbench.campaign import campaign, expansion, sources
from optbench.campaign.errors import CampaignError
from optbench.extras import Missing
from optbench.problems.names import InvalidName
from optbench.records import checksums, store
from optbench.records.record import Record, Request

CAMPAIGN = "campaign.toml"  # a copy of the campaign's file
OTHERS = ("trials.csv", "scale.csv")  # which `optbench tune` and `optbench scale` write


@dataclass(frozen=True)
class Results:
    """What is in a folder; nothing of it is trusted."""

    folder: Path
    records: dict[Path, Record]  # the whole ones, by file
    torn: tuple[str, ...]  # why the other files in runs/ are no records, a line each
    asked: tuple[Request, ...]  # by the campaign
    unreadable: str | None  # why nobody can say what the campaign asks for
    lacking: Missing | None = None  # why that cannot be said here

    @property
    def is_campaign(self) -> bool:
        """Whether it is neither what tuning left nor a ladder of widths, which have no report."""
        return not any((self.folder / name).is_file() for name in OTHERS)


def find(place: Path) -> list[Results]:
    """The results in a folder and those below it; raises FileNotFoundError where there are none."""
    marks = ("runs", CAMPAIGN, checksums.NAME)
    folders = sorted({found.parent for mark in marks for found in place.rglob(mark)})
    if not folders:
        raise FileNotFoundError(
            f"no results in {place}: <campaign>/<machine>/runs is what is looked for"
        )
    return list(map(load, folders))


def load(folder: Path) -> Results:
    """The results of one folder."""
    records, torn, lacking = {}, [], None
    for file in sorted((folder / "runs").glob("*.json")):
        try:
            records[file] = _whole(folder, file)
        except store.InvalidRecord as error:
            torn.append(str(error))
    try:
        asked, unreadable = (
            expansion.requests(_campaign(folder), _name(folder), CAMPAIGN),
            None,
        )
    except FileNotFoundError:
        asked, unreadable = (), f"{folder / CAMPAIGN} is missing"
    except CampaignError as error:
        asked, unreadable = (), f"{folder}: {error}"
    except Missing as error:  # hyperparameters are checked by a framework
        asked, unreadable, lacking = (), None, error
    return Results(folder, records, tuple(torn), tuple(asked), unreadable, lacking)


def question(request: Request) -> str:
    """What a run is the answer to, whichever version of optimizer and problem gave it: an identity without them."""
    none = {"optimizer_version": 0}
    stages = tuple(stage.model_copy(update=none) for stage in request.stages)
    return request.model_copy(
        update={**none, "problem_version": 0, "files": {}, "stages": stages}
    ).identity


def in_order(results: Results) -> list[Record]:
    """Give the records in the campaign's order, with the campaign's labels.

    Raises Missing where no framework is installed that could read the campaign.
    """
    if results.lacking:
        raise results.lacking
    found = {question(record.request): record for record in results.records.values()}
    pairs = [
        (request, found[question(request)])
        for request in results.asked
        if question(request) in found
    ]
    return [
        record.model_copy(
            update={"request": record.request.model_copy(update={"labels": request.labels})}
        )
        for request, record in pairs
    ]


def _campaign(folder: Path) -> campaign.Campaign:
    return campaign.read(folder / CAMPAIGN, partial(sources.kept, folder=folder))


def _whole(folder: Path, file: Path) -> Record:
    """A record whose problem and network are known, with the parameters that they have; raises InvalidRecord."""
    record = sources.relocated(store.read(file), folder)
    if changed := sources.changed(
        record.request
    ):  # asked first: no file runs that the record does not name
        raise store.InvalidRecord(f"{file}: {changed}")
    try:
        expected, floor = (
            record.request.parameter_count,
            problems.get(record.request.problem).floor,
        )
    except InvalidName as error:
        raise store.InvalidRecord(f"{file}: {error}") from error
    if record.floor != floor:
        raise store.InvalidRecord(
            f"{file}: an accuracy of {record.floor:g}, but its reference has {floor:g}"
        )
    if record.parameters != expected:
        raise store.InvalidRecord(
            f"{file}: {record.parameters} parameters, but its network has {expected}"
        )
    return record


def _name(folder: Path) -> str:
    return folder.resolve().parent.name
