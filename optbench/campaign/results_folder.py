"""A folder of results as it is found, `<campaign>/<machine>/`.

It has records, and a campaign that asks for runs.
"""

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
    requests: tuple[Request, ...]  # the campaign's
    unreadable: str | None  # why nobody can say what the campaign asks for
    lacking: Missing | None = None  # why that cannot be said here

    @property
    def is_campaign(self) -> bool:
        """Whether it has a report; what tuning left and a ladder of widths have none."""
        return not any((self.folder / name).is_file() for name in OTHERS)


def find(place: Path) -> list[Results]:
    """Find the results in a folder and below it.

    Raises FileNotFoundError where there are none.
    """
    marks = ("runs", CAMPAIGN, checksums.NAME)
    folders = sorted({file.parent for mark in marks for file in place.rglob(mark)})
    if not folders:
        raise FileNotFoundError(
            f"no results in {place}: <campaign>/<machine>/runs is what is looked for"
        )
    return list(map(load, folders))


def load(folder: Path) -> Results:
    """Read the results of one folder."""
    requests: list[Request] = []
    records, torn, unreadable, lacking = {}, [], None, None
    for file in sorted((folder / "runs").glob("*.json")):
        try:
            records[file] = _whole(folder, file)
        except store.InvalidRecord as error:
            torn.append(str(error))
    try:
        plan = campaign.read(folder / CAMPAIGN, partial(sources.kept, folder=folder))
        requests = expansion.requests(plan, folder.resolve().parent.name, CAMPAIGN)
    except FileNotFoundError:
        unreadable = f"{folder / CAMPAIGN} is missing"
    except CampaignError as error:
        unreadable = f"{folder}: {error}"
    except Missing as error:  # a framework checks hyperparameters
        lacking = error
    return Results(
        folder=folder,
        records=records,
        torn=tuple(torn),
        requests=tuple(requests),
        unreadable=unreadable,
        lacking=lacking,
    )


def question(request: Request) -> str:
    """Give a run's identity without the versions of its optimizer and problem.

    It is the question that the run is the answer to, whichever version gave it.
    """
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
    answers = {question(record.request): record for record in results.records.values()}
    ordered = []
    for request in results.requests:
        if record := answers.get(question(request)):
            labelled = record.request.model_copy(update={"labels": request.labels})
            ordered.append(record.model_copy(update={"request": labelled}))
    return ordered


def _whole(folder: Path, file: Path) -> Record:
    """Read a record whose problem and network are known.

    Raises InvalidRecord, also where it has other parameters than they have.
    """
    record = sources.relocated(store.read(file), folder)
    # asked first: no file runs that the record does not name
    if changed := sources.changed(record.request):
        raise store.InvalidRecord(f"{file}: {changed}")
    try:
        expected = record.request.parameter_count
        floor = problems.get(record.request.problem).floor
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
