"""A folder of results as it is found, `<campaign>/<machine>/`.

It has records, and a campaign that asks for runs.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from optbench import problems
from optbench.campaign import campaign, expansion, source_files
from optbench.campaign.errors import CampaignError
from optbench.problems.names import InvalidName
from optbench.records import checksums, files, store
from optbench.records.record import Record, Request

CAMPAIGN = "campaign.toml"  # a copy of the campaign's file
TRIALS = "trials.csv"  # which `optbench tune` writes
OTHERS = (TRIALS, "scale.csv")  # the latter `optbench scale`
SINGLE = "single"  # what runs from the command line call their campaign; it has no file


@dataclass(frozen=True)
class Results:
    """What is in a folder; nothing of it is trusted."""

    folder: Path
    records: dict[Path, Record]  # the whole ones, by file
    torn: tuple[str, ...]  # why the other files in runs/ are no records, a line each

    @property
    def requests(self) -> tuple[Request, ...]:
        """The campaign's runs; raises FrameworkMissing where no framework is installed."""
        return self._expansion[0]

    @property
    def unreadable(self) -> str | None:
        """Why nobody can say what the campaign asks for; raises FrameworkMissing too."""
        return self._expansion[1]

    @cached_property
    def _expansion(self) -> tuple[tuple[Request, ...], str | None]:
        """The campaign's runs or what is wrong with it; only this imports a framework."""
        try:
            plan = campaign.read(
                self.folder / CAMPAIGN, partial(source_files.kept, folder=self.folder)
            )
            there = versions(self.records.values())
            return tuple(expansion.requests(plan, self.campaign, CAMPAIGN, there)), None
        except FileNotFoundError:
            missing = f"{self.folder / CAMPAIGN} is missing"
            return (), None if self.is_single else missing
        except CampaignError as error:
            return (), f"{self.folder}: {error}"

    @cached_property
    def campaign(self) -> str:
        """What the records call their campaign; the folder's own name if they differ.

        A folder may be copied, renamed or linked.
        """
        called = {record.request.labels.campaign for record in self.records.values()}
        return called.pop() if len(called) == 1 else self.name

    @property
    def name(self) -> str:
        """The campaign's name as the folder has it, links not followed."""
        return Path(os.path.abspath(self.folder)).parent.name

    def whole(self) -> "Results":
        """Give the results; raises InvalidRecord where a file is no whole record."""
        if self.torn:
            raise store.InvalidRecord(self.torn[0])
        return self

    @property
    def is_tuning(self) -> bool:
        """Whether tuning wrote it."""
        return (self.folder / TRIALS).is_file()

    @property
    def is_single(self) -> bool:
        """Whether its runs were asked for one by one, so that no campaign lists them."""
        names = {record.request.labels.campaign for record in self.records.values()}
        return names == {SINGLE} and not (self.folder / CAMPAIGN).exists()

    @property
    def is_campaign(self) -> bool:
        """Whether it has a report.

        What tuning left, a ladder of widths and runs from the command line have none.
        """
        others = any((self.folder / name).is_file() for name in OTHERS)
        return not others and not self.is_single


def find(place: Path) -> list[Results]:
    """Find the results in a folder and below it, links followed.

    Raises FileNotFoundError where there are none.
    """
    marks = ("runs", CAMPAIGN, checksums.NAME)
    folders = sorted({path.parent for path in files.below(place) if path.name in marks})
    if not folders:
        raise FileNotFoundError(
            f"no results in {place}: <campaign>/<machine>/runs is what is looked for"
        )
    return list(map(load, folders))


def load(folder: Path) -> Results:
    """Read the results of one folder."""
    records, torn = {}, []
    listed = checksums.listed(folder)
    for file in store.files_of(folder):
        try:
            records[file] = _whole(folder, file, listed)
        except store.InvalidRecord as error:
            torn.append(str(error))
    return Results(folder=folder, records=records, torn=tuple(torn))


def versions(records: Iterable[Record]) -> dict[str, int]:
    """Give the newest version of every optimizer that records were made by.

    Their campaign was written for it: an earlier one may have had other fields.
    """
    newest: dict[str, int] = {}
    for record in records:
        for part in record.request.parts:
            known = newest.get(part.optimizer, 0)
            newest[part.optimizer] = max(known, part.optimizer_version)
    return newest


def question(request: Request) -> str:
    """Give a run's identity without the versions of its optimizer and problem.

    It is the question that the run is the answer to, whichever version gave it.
    """
    none = {"optimizer_version": 0}
    stages = tuple(stage.model_copy(update=none) for stage in request.stages)
    return request.model_copy(
        update={
            **none,
            "problem_version": 0,
            "files": {},
            "stages": stages,
            "device": None,
            "blocks": False,
        }
    ).identity


def in_order(results: Results) -> list[Record]:
    """Give the records in the campaign's order, with the campaign's labels.

    One that the campaign has two names for is there under both. Runs from the command line
    are in the order of their files. Raises FrameworkMissing where no framework is
    installed: one checks the campaign.
    """
    if results.is_single:
        return list(results.records.values())
    answers = {question(record.request): record for record in results.records.values()}
    ordered = []
    for request in results.requests:
        if record := answers.get(question(request)):
            labelled = record.request.model_copy(update={"labels": request.labels})
            ordered.append(record.model_copy(update={"request": labelled}))
    return ordered


def under_every_name(
    records: Iterable[Record], requests: Iterable[Request]
) -> list[Record]:
    """Give the records of requests: one for each name that a campaign has for a run."""
    done = {record.identity: record for record in records}
    return [
        done[request.identity].model_copy(update={"request": request})
        for request in requests
        if request.identity in done
    ]


def others(folder: Path, own: Collection[Path]) -> list[Path]:
    """List the files in runs/ that are none of these."""
    return sorted(set(store.files_of(folder)) - set(own))


def _whole(folder: Path, file: Path, listed: dict[str, str]) -> Record:
    """Read a record whose problem and network are known.

    Raises InvalidRecord, also where it has other parameters than they have.
    """
    record = source_files.relocated(store.read(file, listed), folder)
    # asked first: no file runs that the record does not name
    if changed := source_files.changed(record.request):
        raise store.InvalidRecord(f"{file}: {changed}")
    try:
        expected = record.request.parameter_count
        problem = problems.get(record.request.problem)
    except InvalidName as error:
        raise store.InvalidRecord(f"{file}: {error}") from error
    if record.floor != problem.floor:
        raise store.InvalidRecord(
            f"{file}: an accuracy of {record.floor:g}, but its reference has "
            f"{problem.floor:g}"
        )
    points, version = record.request.points, record.request.problem_version
    if version == problem.version and points.keys() != problem.terms.keys():
        raise store.InvalidRecord(
            f"{file}: points of {', '.join(points)}, but its problem has the terms "
            f"{', '.join(problem.terms)}"
        )
    if record.parameters != expected:
        raise store.InvalidRecord(
            f"{file}: {record.parameters} parameters, but its network has {expected}"
        )
    return record
