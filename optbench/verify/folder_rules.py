"""What must hold for published results: a rule is a function that gives the problems it finds, one line each."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from optbench.campaign.results_folder import Results, in_order, question
from optbench.records import checksums, store
from optbench.records.record import Record
from optbench.verify import record_rules, tuning_rules


class Rule(NamedTuple):
    """A rule and what it remarks where nothing is wrong."""

    problems: Callable[[Results], Iterator[str]]
    remark: Callable[[Sequence[Record]], str] = lambda records: ""


def whole(results: Results) -> Iterator[str]:
    """Every file in runs/ is the whole record of the run that its name says."""
    yield from results.torn
    runs = results.folder / "runs"
    yield from (
        f"{file} is no record"
        for file in checksums.published(results.folder)
        if file.is_relative_to(runs) and (file.suffix != ".json" or file.parent != runs)
    )
    for file, record in results.records.items():
        if file != store.path(results.folder, record.request):
            yield f"{file} has the name of another run: {store.path(results.folder, record.request).name} is its own"


def as_asked(results: Results) -> Iterator[str]:
    """Every run that the campaign asks for is there, and no other; of tuning, every trial."""
    if tuning_rules.are_in(results.folder):
        yield from tuning_rules.complete(results)
        return
    if results.unreadable:
        yield results.unreadable
        return
    if results.lacking:
        raise results.lacking
    asked = {question(request): request for request in results.requests}
    found = {question(record.request) for record in results.records.values()}
    for run, request in asked.items():
        if run not in found:
            yield f"{results.folder}: a run that the campaign asks for is missing: {request.title}"
    for file, record in results.records.items():
        if question(record.request) not in asked:
            yield f"{file}: the campaign does not ask for this run"


def once(results: Results) -> Iterator[str]:
    """No run is there twice, under whatever labels, and no two seeds start from the same numbers."""
    runs, starts = defaultdict(list), defaultdict(dict)
    for file, record in results.records.items():
        request = record.request
        runs[question(request)].append(file.name)
        if record.history and math.isfinite(record.history[0].rms):
            start = (
                request.problem,
                request.network,
                request.evaluation,
                record.history[0].rms,
            )
            starts[start].setdefault(request.seed, file.name)
    for names in runs.values():
        if len(names) > 1:
            yield f"{results.folder}: one run, {len(names)} records: {', '.join(names)}"
    for seeds in starts.values():
        if len(seeds) > 1:
            yield f"{results.folder}: seeds {sorted(seeds)} start from the same numbers: {', '.join(seeds.values())}"


def as_recorded(results: Results) -> Iterator[str]:
    """The tables and the page are those that the records give; those of `optbench report` where any of it is there."""
    if tuning_rules.are_in(results.folder):
        yield from tuning_rules.as_recorded(results)
        return
    if results.unreadable or not (found := in_order(results)):
        yield f"{results.folder}: no tables without records and their campaign"
        return
    from optbench.records.frames import from_records  # of the extra "report"
    from optbench.report import report
    from optbench.report import summary as tables

    frames = from_records(found)
    summary = tables.summarise(frames)
    expected = {
        f"table.{suffix}": tables.render(summary, style)
        for style, suffix in tables.FORMATS.items()
    }
    if any((results.folder / name).exists() for name in (report.TABLES, report.PAGE)):
        expected |= report.texts(frames, found, results)
    for name, text in expected.items():
        file = results.folder / name
        written = file.read_bytes().decode(errors="replace") if file.is_file() else None
        if written is None:
            yield f"{file} is missing"
        elif written != text:
            lines = zip_longest(written.split("\n"), text.split("\n"))
            number = next(
                number for number, (is_, should) in enumerate(lines, 1) if is_ != should
            )
            yield f"{file}: line {number} is not what the records give"


def of_one_version(results: Results) -> Iterator[str]:
    """A folder's tables have one version of each optimizer and problem."""
    versions = defaultdict(lambda: defaultdict(list))
    for file, record in results.records.items():
        request = record.request
        for name, version in request.versions.items():
            versions[name][version].append(file.name)
        for name, digest in request.files.items():
            versions[name][f"SHA-256 {digest[:16]}…"].append(file.name)
    for name, files in versions.items():
        if len(files) > 1:
            each = "; ".join(
                f"version {version}: {', '.join(files[version])}"
                for version in sorted(files)
            )
            yield f"{results.folder}: {name} is there in {len(files)} versions: {each}"


def commits(records: Sequence[Record]) -> str:
    """The commits behind records."""
    told = {(record.provenance.commit, record.provenance.dirty) for record in records}
    words = sorted(
        f"{commit or 'unknown'}{' with uncommitted changes' if dirty else ''}"
        for commit, dirty in told
    )
    return f"commits: {', '.join(words)}" if words else ""


def _each(rule: Callable[[Record], Iterator[str]]) -> Callable[[Results], Iterator[str]]:
    """A rule for one record as a rule for all of a folder."""
    return lambda results: (
        f"{file}: {problem}"
        for file, record in results.records.items()
        for problem in rule(record)
    )


RULES = {
    "checksums": Rule(lambda results: checksums.issues(results.folder)),
    "schema": Rule(whole, lambda records: f"{len(records)} records"),
    "campaign": Rule(as_asked),
    "repeats": Rule(once),
    "clock": Rule(_each(record_rules.clock)),
    "history": Rule(_each(record_rules.history)),
    "budget": Rule(_each(record_rules.budget)),
    "tables": Rule(as_recorded),
    "versions": Rule(of_one_version, commits),
    "speed": Rule(_each(record_rules.speed), record_rules.not_bounded),
}
