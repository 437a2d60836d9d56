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


def check(results: Results) -> Iterator[str]:
    """Check that no run is faster than is possible, or than the others are."""
    siblings: dict[str, dict[Path, float]] = defaultdict(dict)  # seconds of a step
    for file, record in results.records.items():
        yield from (f"{file}: {issue}" for issue in of(record))
        seconds = moving_step_seconds(record)
        if record.status in ANSWERS and math.isfinite(seconds):
            asked = record.request.model_copy(update={"seed": 0}).identity
            siblings[asked][file] = seconds
    for every in siblings.values():
        fastest = min(every, key=every.__getitem__)
        first = every[fastest]
        others = [
            seconds
            for file, seconds in every.items()
            if file != fastest and not results.records[file].provenance.shared_cores
        ]
        if len(others) >= LEAST_SIBLINGS and first * SIBLINGS < min(others):
            yield (
                f"{fastest}: a step takes {first:.3g} s, and {min(others):.3g} s or more "
                "with every other seed"
            )


def of(record: Record) -> Iterator[str]:
    """Check one run against its machine, its own clock and its own rows."""
    spent = record.clock.get("train", math.nan)
    fastest = _fastest(record)
    if fastest and not spent >= (least := flops.run(record) / fastest):
        yield (
            f"{record.steps} steps in {spent:g} s: faster than the machine, which needs "
            f"{least:g} s at least"
        )
    elif record.steps and record.history:
        yield from _by_its_own_clock(record)


def _by_its_own_clock(record: Record) -> Iterator[str]:
    """Compare a step with warm-up and evaluation, and every row with the median one."""
    clock, request = record.clock, record.request
    step, row = flops.step(request), flops.row(request)
    warm = clock.get("warm_up", 0.0) / len(request.parts) * step / (step + row)
    evaluated = clock.get("evaluate", 0.0) / len(record.history) * min(1, step / row)
    least = min(warm, evaluated) / OWN_CLOCK
    if step_seconds(record) < least:
        yield (
            f"a step takes {step_seconds(record):.3g} s, and by its own warm-up and "
            f"evaluations {least:.3g} s at least"
        )
    rows = row_seconds(record)
    if rows and min(rows.values()) * ONE_ROW < (usual := median(rows.values())):
        at = min(rows, key=rows.__getitem__)
        yield (
            f"a step before step {at} takes {rows[at]:.3g} s, and {usual:.3g} s in half "
            "of the rows"
        )


def step_seconds(record: Record) -> float:
    """Give the mean seconds of a step."""
    return record.clock.get("train", math.nan) / record.steps


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
    """Give the flops per second that the run's cores cannot exceed.

    There is none on a GPU or without a calibration. NumPy's product may use one core where
    a framework uses all.
    """
    speeds = [
        conditions.calibration_flops
        for conditions in (record.before, record.after)
        if conditions
    ]
    if record.provenance.device != "cpu" or not speeds:
        return None
    return MARGIN * FLOPS_RATIO[record.request.dtype] * record.request.threads * max(speeds)
