"""What must hold for a folder of results.

A rule is a function that gives the issues it finds, one line each. What only the rule of
tables needs (pandas, seaborn) is imported by it.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from optbench.campaign.results_folder import Results, in_order, question
from optbench.records import checksums, store
from optbench.records.record import Labels, Record, Request, Row
from optbench.verify import (
    figures,
    origin_rules,
    record_rules,
    speed,
    start,
    tuning_rules,
)

# within which numbers agree that another machine computed from the same records
ROUNDING = 1e-9


class Rule(NamedTuple):
    """A rule, which may remark something too, and what it remarks of all records."""

    issues: Callable[[Results], Iterator[str]]
    remark: Callable[[Sequence[Record]], str] = lambda records: ""


def check_schema(results: Results) -> Iterator[str]:
    """Check that every file in runs/ is the whole record of the run that its name says."""
    yield from results.torn
    runs = results.folder / "runs"
    yield from (
        f"{file} is no record"
        for file in checksums.published(results.folder)
        if file.is_relative_to(runs) and (file.parent != runs or not store.is_record(file))
    )
    for file, record in results.records.items():
        own = store.path(results.folder, record.request)
        if file not in (own, store.plain(own)):
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
    asked: dict[str, list[Request]] = defaultdict(list)
    for request in results.requests:
        asked[question(request)].append(request)
    done = {question(record.request) for record in results.records.values()}
    for run, (request, *_) in asked.items():
        if run not in done:
            yield (
                f"{results.folder}: a run that the campaign asks for is missing: "
                f"{request.title}"
            )
    for file, record in results.records.items():
        requests = asked.get(question(record.request))
        if requests is None:
            yield f"{file}: the campaign does not ask for this run"
        elif said := _mislabelled(record.request.labels, requests):
            yield f"{file}: {said}"


def _mislabelled(labels: Labels, requests: Sequence[Request]) -> str | None:
    """Say what a campaign calls a run that its record calls otherwise.

    It may have several names for a run.
    """
    if labels in [request.labels for request in requests]:
        return None
    said, now = labels.model_dump(), requests[0].labels.model_dump()
    name = next(name for name in said if said[name] != now[name])
    return f"the campaign says {name} = {now[name]!r}, the record {said[name]!r}"


def check_repeats(results: Results) -> Iterator[str]:
    """Check that no run is there twice, and that no two have the same numbers.

    Two seeds never share a row, and two requests never a whole history.
    """
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
    yield from _shared_rows(results)
    yield from _shared_histories(results)


def _shared_rows(results: Results) -> Iterator[str]:
    """Say which seeds have the same numbers after some step, once for two records."""
    rows: dict[tuple, dict[int, Path]] = defaultdict(dict)
    said = set()
    for file, record in results.records.items():
        request = record.request
        for row in record.history[1:]:
            if not math.isfinite(row.rms):
                continue
            key = request.problem, request.network, request.evaluation, *_numbers(row)
            for seed, other in rows[key].items():
                if seed != request.seed and (other, file) not in said:
                    said.add((other, file))
                    yield f"{file}: the numbers after step {row.step} are in {other.name}"
            rows[key].setdefault(request.seed, file)


def _shared_histories(results: Results) -> Iterator[str]:
    """Say which runs have the numbers of another one from the start to the end."""
    histories: dict[tuple, Path] = {}
    for file, record in results.records.items():
        if len(record.history) > 1 and math.isfinite(record.history[-1].rms):
            key = tuple((row.step, *_numbers(row)) for row in record.history)
            if (other := histories.setdefault(key, file)) is not file:
                yield f"{file}: its history is that of {other.name}"


def _numbers(row: Row) -> tuple[object, ...]:
    return *sorted(row.losses.items()), row.rms


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
        yield from differences(results.folder / name, text)
    yield from _not_expected(results, expected)
    yield from _of_scale(results)


def differences(file: Path, text: str) -> Iterator[str]:
    """Say where a file first differs from a text, whichever its line ends are."""
    written = _read(file)
    if written is None:
        yield f"{file} is missing"
    elif written != text:
        lines = zip_longest(written.split("\n"), text.split("\n"))
        number = next(
            number for number, (is_, should) in enumerate(lines, 1) if is_ != should
        )
        yield f"{file}: line {number} is not what the records give"


def _read(file: Path) -> str | None:
    if not file.is_file():
        return None
    return file.read_bytes().replace(b"\r\n", b"\n").decode(errors="replace")


def _not_expected(results: Results, expected: dict[str, str]) -> Iterator[str]:
    """Say which tables in the report's folder are none of the report."""
    from optbench.report import report

    for file in sorted((results.folder / report.TABLES).glob("*")):
        if file.relative_to(results.folder).as_posix() not in expected:
            yield f"{file}: no table of these records"


def _of_scale(results: Results) -> Iterator[str]:
    """Check what `optbench scale` wrote; its fits are compared as numbers."""
    from optbench.measure import scale

    if not (results.folder / scale.TABLES[0]).is_file():
        return
    for name, table in scale.tables(list(results.records.values())).items():
        file = results.folder / name
        text = table.to_csv(index=False, lineterminator="\n")
        written = _read(file)
        cells, others = (re.split("[,\n]", each or "") for each in (written, text))
        if written is None:
            yield f"{file} is missing"
        elif len(cells) != len(others) or not all(map(_equal, cells, others)):
            yield f"{file} is not what the records give"


def _equal(cell: str, other: str) -> bool:
    try:
        return cell == other or math.isclose(float(cell), float(other), rel_tol=ROUNDING)
    except ValueError:
        return False


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


def check_index(place: Path) -> Iterator[str]:
    """Check the README of a folder of results, where `optbench index` wrote it."""
    from optbench.report import index

    written = _read(file := place / index.README)
    if written is None:
        return
    if called := re.search(r"Written by `optbench index ([^`]+)`", written):
        yield from differences(file, index.text(place, called[1]))
    elif index.MARKED.search(written):
        yield from differences(file, index.filled(file))


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
    "seals": Rule(origin_rules.check_seals, origin_rules.unsealed),
    "campaign": Rule(check_campaign),
    "place": Rule(origin_rules.check_place),
    "origin": Rule(origin_rules.check_origin),
    "repeats": Rule(check_repeats),
    "clock": Rule(_each(record_rules.clock)),
    "history": Rule(_each(record_rules.history)),
    "errors": Rule(_each(record_rules.errors)),
    "start": Rule(start.check),
    "budget": Rule(_each(record_rules.budget)),
    "tables": Rule(check_tables),
    "figures": Rule(figures.check),
    "versions": Rule(check_versions, origin_rules.commits),
    "speed": Rule(speed.check, speed.not_bounded),
}
