"""No run is faster than its machine, its own clock or its siblings.

The factors are the ones that all published runs keep with room to spare; docs/guides/
promises.md has what was measured.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from optbench.campaign.results_folder import Results
from optbench.measure import flops
from optbench.records.record import ANSWERS, Record, moving_step_seconds

# how much faster than the calibration a machine may be at other products and libraries
MARGIN = 4.0
FLOPS_RATIO = {"float64": 1, "float32": 2}  # to float64's, on the same vector units
OWN_CLOCK = 20.0  # than the run's own warm-up and evaluations, by the flops of each
ONE_ROW = 100.0  # one row's steps than the run's median row
SIBLINGS = 5.0  # than all other seeds of the same run
LEAST_SIBLINGS = 2  # others, for one of two may have been disturbed


class Bound(NamedTuple):
    """Seconds that a run spent, beside what something else says that they should be."""

    rule: str
    seconds: float
    usual: float
    factor: float  # by which they may be fewer
    issue: str  # what is wrong where they are fewer still

    @property
    def broken(self) -> bool:
        """Say whether they are fewer."""
        return not self.seconds * self.factor >= self.usual


def check(results: Results) -> Iterator[str]:
    """Check that no run is faster than is possible, or than the others are."""
    for file, record in results.records.items():
        yield from (f"{file}: {issue}" for issue in of(record))
    for file, bound in beside_seeds(results):
        if bound.broken:
            yield f"{file}: {bound.issue}"


def of(record: Record) -> Iterator[str]:
    """Check one run against its machine, its own clock and its own rows."""
    yield from (bound.issue for bound in bounds(record) if bound.broken)


def bounds(record: Record) -> Iterator[Bound]:
    """Give what bounds one run's seconds: its machine, its own clock and its own rows."""
    spent = record.clock.get("train", math.nan)
    if fastest := _fastest(record):
        needed = flops.run(record) / fastest
        yield Bound(
            "machine",
            spent,
            needed,
            MARGIN,
            f"{record.steps} steps in {spent:g} s: faster than the machine, which needs "
            f"{needed / MARGIN:g} s at least",
        )
    if record.steps and record.history:
        yield from _by_its_own_clock(record)


def _by_its_own_clock(record: Record) -> Iterator[Bound]:
    """Compare a step with warm-up and evaluation, and every row with the median one."""
    clock, request = record.clock, record.request
    step, row = flops.step(request), flops.row(request)
    warm = clock.get("warm_up", 0.0) / len(request.parts) * step / (step + row)
    evaluated = clock.get("evaluate", 0.0) / len(record.history) * min(1, step / row)
    usual, seconds = min(warm, evaluated), moving_step_seconds(record)
    if math.isfinite(seconds):  # some step moved the run
        yield Bound(
            "own clock",
            seconds,
            usual,
            OWN_CLOCK,
            f"a step takes {seconds:.3g} s, and by its own warm-up and evaluations "
            f"{usual / OWN_CLOCK:.3g} s at least",
        )
    if rows := row_seconds(record):
        at = min(rows, key=rows.__getitem__)
        usual = median(rows.values())
        yield Bound(
            "rows",
            rows[at],
            usual,
            ONE_ROW,
            f"a step before step {at} takes {rows[at]:.3g} s, and {usual:.3g} s in half "
            "of the rows",
        )


def beside_seeds(results: Results) -> Iterator[tuple[Path, Bound]]:
    """Give how the fastest run of a label compares with its other seeds."""
    siblings: dict[str, dict[Path, float]] = defaultdict(dict)  # seconds of a step
    for file, record in results.records.items():
        seconds = moving_step_seconds(record)
        if record.status in ANSWERS and math.isfinite(seconds):
            asked = record.request.model_copy(update={"seed": 0}).identity
            siblings[asked][file] = seconds
    for every in siblings.values():
        fastest = min(every, key=every.__getitem__)
        others = [
            seconds
            for file, seconds in every.items()
            if file != fastest and not results.records[file].provenance.shared_cores
        ]
        if len(others) >= LEAST_SIBLINGS:
            yield (
                fastest,
                Bound(
                    "seeds",
                    every[fastest],
                    min(others),
                    SIBLINGS,
                    f"a step takes {every[fastest]:.3g} s, and {min(others):.3g} s or "
                    "more with every other seed",
                ),
            )


def row_seconds(record: Record) -> dict[int, float]:
    """Give the mean seconds of a step before each recorded one, by its number."""
    return {
        after.step: (after.seconds - before.seconds) / (after.step - before.step)
        for before, after in pairwise(record.history)
        if after.step > before.step and after.seconds > before.seconds
    }


def not_bounded(records: Sequence[Record]) -> str:
    """Say how many records the machine's own bound does not apply to."""
    count = sum(_fastest(record) is None for record in records)
    if not count:
        return ""
    where = "on a GPU or without a calibration"
    return f"not applied to {count} of {len(records)} records: {where}"


def _fastest(record: Record) -> float | None:
    """Give the flops per second of the calibration product on all of the run's cores.

    There are none on a GPU or without a calibration. NumPy's product may use one core where
    a framework uses all.
    """
    speeds = [
        conditions.calibration_flops
        for conditions in (record.before, record.after)
        if conditions
    ]
    if record.provenance.device != "cpu" or not speeds:
        return None
    return FLOPS_RATIO[record.request.dtype] * record.request.threads * max(speeds)
