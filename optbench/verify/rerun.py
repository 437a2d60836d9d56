"""Repeat runs that a seed draws, and compare their histories."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from optbench import implementations, problems
from optbench.campaign import expansion, presets, source_files
from optbench.implementations import devices, lookup
from optbench.problems.names import InvalidName
from optbench.records.provenance import is_alike, same_class
from optbench.records.record import ANSWERS, Record, Request, Row
from optbench.schedule import local_workers
from optbench.training.limits import Limits
from optbench.training.loop import IDLE
from optbench.verify import speed

# on another class of machine: by what a number may differ before the first step, and at
# least after it; how many times what rounding does between the frameworks; and by what
# factor an error where that is all
LEAST = {"float64": 1e-9, "float32": 1e-3}
MORE = 1e3
FACTOR = 10.0
# times slower than the record that a repetition on the same class of machine may be, in
# half of at least so many rows
SLOWER, LEAST_ROWS = 5.0, 5


class Comparison(NamedTuple):
    """How a run and its repetition differ."""

    file: Path
    difference: float  # the largest relative one of losses and errors at the same step
    issue: str | None
    # on another class of machine: the step from which on rounding alone makes another run
    # of it; infinite where the whole history was compared, None on the same class
    compared_to: float | None = None


def draw(records: Mapping[Path, Record], count: int, seed: int) -> dict[Path, Record]:
    """Draw so many of the runs whose error counts, or all that there are."""
    files = sorted(file for file, record in records.items() if record.status in ANSWERS)
    drawn = np.random.default_rng(seed).permutation(len(files))[:count]
    return {files[number]: records[files[number]] for number in drawn}


def repeat(
    drawn: Mapping[Path, Record],
    tolerance: float,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Comparison]:
    """Do runs again, each in a process of its own, and compare; raises FrameworkMissing.

    One of another class of machine is done in the other framework too, where there is one.
    """
    for number, (file, record) in enumerate(drawn.items(), 1):
        say(f"[{number}/{len(drawn)}] {record.request.title}")
        if changed := _changed(record):
            yield Comparison(file, math.nan, changed)
            continue
        again = _again(record.request, say)
        if _is_here(record, again):
            yield compare(file, record, again, tolerance)
        else:
            twin = _twin(record.request)
            yield compare_elsewhere(
                file, record, again, _again(twin, say) if twin else None
            )


def _again(request: Request, say: Callable[[str], None]) -> Record:
    with local_workers.workers(Limits(threads=request.threads), say) as crew:
        return crew.run(request, lambda share, row: None)


def _twin(request: Request) -> Request | None:
    """Give the run in the other framework, where that works."""
    own = implementations.MODES.get(request.framework, request.framework)
    (other,) = set(implementations.FRAMEWORKS) - {own}
    if devices.ask(other).error:
        return None
    return request.model_copy(update={"framework": other, "mode": expansion.MODES[other]})


def _is_here(record: Record, again: Record) -> bool:
    """Say whether a run was done on the class of machine that repeated it."""
    one, other = record.provenance, again.provenance
    return same_class(one.machine, other.machine) or (
        is_alike(other.machine, one.machine) and one.cpu == other.cpu
    )


def compare(file: Path, record: Record, again: Record, tolerance: float) -> Comparison:
    """Compare a run and its repetition on the same class of machine.

    On a budget of seconds, at common steps.
    """
    if ended := _ended(record, again):
        return Comparison(file, math.nan, ended)
    differences = by_step(record, again)
    apart = [step for step, by in differences.items() if not by <= tolerance]
    issue = None
    if apart:
        issue = (
            f"repeated, it differs by {differences[apart[0]]:.2g} from step {apart[0]} on"
        )
    elif slower := _times_slower(record, again):
        issue = f"repeated, a step takes {slower:.2g} times its seconds"
    return Comparison(file, max(differences.values(), default=math.nan), issue)


def compare_elsewhere(
    file: Path, record: Record, again: Record, twin: Record | None
) -> Comparison:
    """Compare a run of another class of machine with its repetition, step by step.

    Before the first step rounding is all that may differ. After it, rounding grows as it
    does in this very run between the two frameworks, of which `twin` is the other one: a
    difference may be MORE times the largest between them so far. Where that is all of a
    number, or there is no twin, an error may be FACTOR times the other, either way, and
    FACTOR times more than between the frameworks.
    """
    # rounding decides after which step nothing moves any more
    if ended := _ended(record, again, same_rows=record.status == "finished"):
        return Comparison(file, math.nan, ended, math.inf)
    differences = by_step(record, again)
    drift = by_step(again, twin) if twin else {0: 0.0}
    rows, others = ({row.step: row for row in each.history} for each in (record, again))
    twins = {row.step: row for row in twin.history} if twin else {}
    grown, spread, compared_to, issue = 0.0, 1.0, math.inf, None
    for step, by in differences.items():
        grown = max(grown, MORE * drift.get(step, math.inf)) if step else 0.0
        if step in twins:
            spread = max(spread, ratio(others[step].rms, twins[step].rms))
        allowed = max(grown, LEAST[record.request.dtype])
        if allowed < 1:
            if not by <= allowed:
                issue = (
                    f"differs by {by:.2g} at step {step}, where rounding is {allowed:.2g}"
                )
                break
            continue
        compared_to = min(compared_to, step)
        if not ratio(rows[step].rms, others[step].rms) <= FACTOR * spread:
            issue = (
                f"has the error {others[step].rms:.2g} after step {step}, not "
                f"{rows[step].rms:.2g}"
            )
            break
    largest = max(differences.values(), default=math.nan)
    return Comparison(file, largest, issue and f"repeated here, it {issue}", compared_to)


def ratio(one: float, other: float) -> float:
    """Give how many times the smaller of two errors the larger is."""
    smaller, larger = sorted((one, other))
    return larger / smaller if smaller else (1.0 if not larger else math.inf)


def _ended(record: Record, again: Record, same_rows: bool = True) -> str | None:
    """Say where a repetition ended otherwise, or has other rows."""
    if again.status != record.status and not _no_time_to_stall(record, again):
        return f"repeated, it is {again.status}: {again.error}"
    rows, others = ({row.step for row in each.history} for each in (record, again))
    if record.request.steps is not None and same_rows and rows != others:
        return "repeated, its history has other steps"
    return None


def _no_time_to_stall(record: Record, again: Record) -> bool:
    """Say whether one run's seconds were over before the other one's stall."""
    runs = {each.status: each for each in (record, again)}
    return (
        record.request.seconds is not None
        and runs.keys() == set(ANSWERS)
        and runs["finished"].steps < runs["stalled"].steps + IDLE
    )


def _times_slower(record: Record, again: Record) -> float | None:
    """Give how many times slower a repetition is in half of the rows, if that is too much.

    The steps are the same, and so is their work. Where another process of ours was on the
    same cores, seconds are no measure.
    """
    if again.provenance.shared_cores:
        return None
    seconds, others = speed.row_seconds(record), speed.row_seconds(again)
    ratios = [others[step] / seconds[step] for step in seconds if step in others]
    if len(ratios) >= LEAST_ROWS and (ratio := median(ratios)) > SLOWER:
        return ratio
    return None


def by_step(record: Record, other: Record) -> dict[int, float]:
    """Give the largest relative difference at each common step."""
    rows, others = ({row.step: row for row in each.history} for each in (record, other))
    return {
        step: _difference(rows[step], others[step])
        for step in sorted(rows.keys() & others.keys())
    }


def _difference(row: Row, other: Row) -> float:
    pairs = [(number, other.numbers[name]) for name, number in row.numbers.items()]
    return max(0.0 if a == b else abs(a - b) / max(abs(a), abs(b)) for a, b in pairs)


def _changed(record: Record) -> str | None:
    """Say why this clone cannot repeat a run."""
    request = record.request
    if changed := source_files.changed(request):
        return f"cannot be repeated: {changed}"
    framework, now = (
        implementations.load(request.framework),
        {request.problem: problems.get(request.problem).version},
    )
    try:
        now |= {
            part.optimizer: lookup.optimizer(framework, part.optimizer).version
            for part in request.parts
        }
    except InvalidName as error:
        return f"cannot be repeated: {error}"
    if request.stages:
        now[request.optimizer] = presets.VERSION
    for name, then in request.versions.items():
        if then != now[name]:
            return (
                f"cannot be repeated: made by version {then} of {name}, this clone has "
                f"{now[name]}"
            )
    return None
