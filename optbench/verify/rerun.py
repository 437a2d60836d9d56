"""Repeat finished runs that a seed draws, and compare their histories."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from optbench import implementations, problems
from optbench.campaign import presets, source_files
from optbench.implementations import lookup
from optbench.problems.names import InvalidName
from optbench.records.provenance import machine_class
from optbench.records.record import Record, Row
from optbench.schedule import local_workers
from optbench.training.limits import Limits

COMPARED = (
    "interior",
    "boundary",
    "relative_l2",
    "rms",
)  # a row's numbers that no clock enters


class Comparison(NamedTuple):
    """How a run and its repetition differ."""

    file: Path
    difference: float  # the largest relative one of losses and errors at the same step
    issue: str | None


def draw(records: Mapping[Path, Record], count: int, seed: int) -> dict[Path, Record]:
    """Draw so many of the finished runs, or all that there are."""
    finished = sorted(
        file for file, record in records.items() if record.status == "finished"
    )
    drawn = np.random.default_rng(seed).permutation(len(finished))[:count]
    return {finished[number]: records[finished[number]] for number in drawn}


def repeat(
    drawn: Mapping[Path, Record],
    tolerance: float,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Comparison]:
    """Do runs again, each in a process of its own, and compare; raises FrameworkMissing."""
    for number, (file, record) in enumerate(drawn.items(), 1):
        say(f"[{number}/{len(drawn)}] {record.request.title}")
        if changed := _changed(record):
            yield Comparison(file, math.nan, changed)
            continue
        with local_workers.workers(Limits(threads=record.request.threads)) as crew:
            again = crew.run(record.request, lambda share, row: None)
        yield compare(file, record, again, tolerance)


def compare(file: Path, record: Record, again: Record, tolerance: float) -> Comparison:
    """Compare a run and its repetition; on a budget of seconds, at common steps.

    On another class of machine rounding differs, and grows over the steps: no difference is
    an issue there.
    """
    if again.status != record.status:
        return Comparison(file, math.nan, f"repeated, it is {again.status}: {again.error}")
    rows, others = ({row.step: row for row in each.history} for each in (record, again))
    if record.request.steps is not None and rows.keys() != others.keys():
        return Comparison(file, math.nan, "repeated, its history has other steps")
    differences = {
        step: _difference(rows[step], others[step])
        for step in sorted(rows.keys() & others.keys())
    }
    apart = [
        step for step, difference in differences.items() if not difference <= tolerance
    ]
    issue = None
    if apart and record.provenance.machine == machine_class():
        issue = (
            f"repeated, it differs by {differences[apart[0]]:.2g} from step {apart[0]} on"
        )
    return Comparison(file, max(differences.values(), default=math.nan), issue)


def _difference(row: Row, other: Row) -> float:
    pairs = [(getattr(row, name), getattr(other, name)) for name in COMPARED]
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
