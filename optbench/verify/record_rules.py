"""What must hold for one run's numbers: its clock, history, budget and speed.

A rule gives the issues that it finds, one line each.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from optbench.measure import flops
from optbench.records.record import Record

CLOCK_TOLERANCE = 0.005  # of the wall time
# how much faster than the calibration a machine may be at other products and libraries
MARGIN = 4.0
FLOPS_RATIO = {"float64": 1, "float32": 2}  # to float64's, on the same vector units


def clock(record: Record) -> Iterator[str]:
    """Check that the parts of the clock add up to the wall time."""
    if record.status != "finished" and not record.clock and math.isnan(record.wall_seconds):
        return  # its process died and took the clock with it
    total = sum(record.clock.values())
    if not abs(total - record.wall_seconds) <= CLOCK_TOLERANCE * record.wall_seconds:
        yield (
            f"the clock's parts add up to {total:g} s, its wall time is "
            f"{record.wall_seconds:g} s"
        )
    if negative := [section for section, seconds in record.clock.items() if seconds < 0]:
        yield f"less than no time in {', '.join(negative)}"


def history(record: Record) -> Iterator[str]:
    """Check that steps and seconds grow from zero to those of the run.

    A finished run's numbers are finite.
    """
    rows = record.history
    if rows and (rows[0].step, rows[0].seconds) != (0, 0):
        yield (
            f"the history starts after step {rows[0].step} and {rows[0].seconds:g} s, not "
            "at the start"
        )
    for before, after in pairwise(rows):
        if not (before.step < after.step and before.seconds <= after.seconds):
            yield f"the history goes back, from step {before.step} to step {after.step}"
    if any(before.stage > after.stage for before, after in pairwise(rows)):
        yield "the history goes back to an earlier stage"
    if rows and not rows[0].stage == 1 <= rows[-1].stage <= len(record.request.parts):
        yield (
            f"the history goes from stage {rows[0].stage} to {rows[-1].stage} of "
            f"{len(record.request.parts)}"
        )
    if rows and rows[-1].step > record.steps:
        yield f"the history goes to step {rows[-1].step} of {record.steps}"
    if record.status == "finished":
        yield from _to_the_end(record)


def _to_the_end(record: Record) -> Iterator[str]:
    last, spent = (
        record.history[-1] if record.history else None,
        record.clock.get("train", math.nan),
    )
    if last is None or last.step < record.steps:
        yield f"finished after {record.steps} steps, which the history does not reach"
    elif not math.isclose(last.seconds, spent, rel_tol=1e-9):
        yield f"the history ends at {last.seconds:g} s, the clock says {spent:g} s of steps"
    if bad := [
        row.step
        for row in record.history
        if not all(map(math.isfinite, row.model_dump().values()))
    ]:
        yield f"finished, but its numbers after step {bad[0]} are not finite"


def budget(record: Record) -> Iterator[str]:
    """Check that a finished run spent its budget, and none overran it by over one step."""
    steps, seconds, spent = (
        record.request.steps,
        record.request.seconds,
        record.clock.get("train", math.nan),
    )
    if steps is not None and (
        record.steps > steps or (record.status == "finished" and record.steps < steps)
    ):
        yield f"{record.steps} steps on a budget of {steps}"
    if seconds is not None and record.status == "finished" and not spent >= seconds:
        yield f"finished after {spent:g} s of a budget of {seconds:g} s"
    for before, row in pairwise(record.history):
        share = (
            before.step / steps
            if steps is not None
            else before.seconds / (seconds or math.inf)
        )
        if (
            row.stage == before.stage < len(record.request.parts)
            and share >= record.request.ends[row.stage - 1]
        ):
            yield (
                f"stage {row.stage} went on after step {before.step}, when its share was "
                "spent"
            )
    # a step begins within the budget, so that every row but the last is within it
    if (
        seconds is not None
        and len(record.history) > 1
        and record.history[-2].seconds >= seconds
    ):
        yield f"went on at {record.history[-2].seconds:g} s on a budget of {seconds:g} s"


def speed(record: Record) -> Iterator[str]:
    """Check that no run is faster than its flops on its machine.

    The bound is `flops.run` over MARGIN times the speed of the calibration.
    """
    if not (fastest := _fastest(record)):
        return
    least, spent = flops.run(record) / fastest, record.clock.get("train", math.nan)
    if not spent >= least:
        yield (
            f"{record.steps} steps in {spent:g} s: faster than the machine, which needs "
            f"{least:g} s at least"
        )


def not_bounded(records: Sequence[Record]) -> str:
    """Say how many records the bound does not apply to."""
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
