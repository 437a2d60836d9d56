"""What must hold for a folder of results.

A rule is a function that gives the issues it finds, one line each. What only the rule of
tables needs (pandas, seaborn) is imported by it.
"""

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

    issues: Callable[[Results], Iterator[str]]
    remark: Callable[[Sequence[Record]], str] = lambda records: ""


def check_schema(results: Results) -> Iterator[str]:
    """Check that every file in runs/ is the whole record of the run that its name says."""
    yield from results.torn
    runs = results.folder / "runs"
    yield from (
        f"{file} is no record"
        for file in checksums.published(results.folder)
        if file.is_relative_to(runs) and (file.suffix != ".json" or file.parent != runs)
    )
    for file, record in results.records.items():
        if file != (own := store.path(results.folder, record.request)):
            yield f"{file} has the name of another run: {own.name} is its own"


def check_campaign(results: Results) -> Iterator[str]:
    """Check that the runs are those that the campaign asks for; of tuning, the trials."""
    if results.is_tuning:
        yield from tuning_rules.check_trials(results)
        return
    if results.is_single:  # asked for one by one
        return
    if results.unreadable:
        yield results.unreadable
        return
    asked = {question(request): request for request in results.requests}
    done = {question(record.request) for record in results.records.values()}
    for run, request in asked.items():
        if run not in done:
            yield (
                f"{results.folder}: a run that the campaign asks for is missing: "
                f"{request.title}"
            )
    for file, record in results.records.items():
        if question(record.request) not in asked:
            yield f"{file}: the campaign does not ask for this run"


def check_repeats(results: Results) -> Iterator[str]:
    """Check that no run is there twice, and no two seeds start from the same numbers."""
    runs, starts = defaultdict(list), defaultdict(dict)
    for file, record in results.records.items():
        request = record.request
        # one by one, a run may be asked of several versions
        run = request.identity if results.is_single else question(request)
        runs[run].append(file.name)
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
            yield (
                f"{results.folder}: seeds {sorted(seeds)} start from the same numbers: "
                f"{', '.join(seeds.values())}"
            )


def check_tables(results: Results) -> Iterator[str]:
    """Check that the tables and the page are those that the records give.

    Those of `optbench report` are expected where any of them is there.
    """
    if results.is_tuning:
        yield from tuning_rules.check_values(results)
        return
    if results.unreadable or not (records := in_order(results)):
        yield f"{results.folder}: no tables without records and their campaign"
        return
    from optbench.records.frames import from_records
    from optbench.report import report, summary, tables

    frames = from_records(records)
    expected = summary.texts(frames)
    if any((results.folder / name).exists() for name in (report.TABLES, report.PAGE)):
        made = tables.make(frames, records)
        expected |= report.texts(frames, records, made, results)
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


def check_versions(results: Results) -> Iterator[str]:
    """Check that a campaign has one version of each optimizer and problem."""
    if results.is_single:
        return
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
    """Name the commits behind records."""
    words = sorted(
        {
            f"{record.provenance.commit or 'unknown'}"
            + (" with uncommitted changes" if record.provenance.dirty else "")
            for record in records
        }
    )
    return f"commits: {', '.join(words)}" if words else ""


def _each(rule: Callable[[Record], Iterator[str]]) -> Callable[[Results], Iterator[str]]:
    """Make of a rule for one record a rule for all records of a folder."""
    return lambda results: (
        f"{file}: {issue}"
        for file, record in results.records.items()
        for issue in rule(record)
    )


RULES = {
    "checksums": Rule(lambda results: checksums.issues(results.folder)),
    "schema": Rule(check_schema, lambda records: f"{len(records)} records"),
    "campaign": Rule(check_campaign),
    "repeats": Rule(check_repeats),
    "clock": Rule(_each(record_rules.clock)),
    "history": Rule(_each(record_rules.history)),
    "budget": Rule(_each(record_rules.budget)),
    "tables": Rule(check_tables),
    "versions": Rule(check_versions, commits),
    "speed": Rule(_each(record_rules.speed), record_rules.not_bounded),
}
