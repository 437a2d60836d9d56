"""What must hold for one run's numbers: its clock, history, errors and budget.

A rule gives the issues that it finds, one line each.
"""

import math
from collections.abc import Iterator
from itertools import count, pairwise, takewhile

import numpy as np

from optbench import problems
from optbench.records.record import ANSWERS, COUNTERS, Record, Row
from optbench.training import solution_grid
from optbench.training.loop import IDLE, IN_A_ROW, next_row, unchanged
from optbench.verify import start

CLOCK_TOLERANCE = 0.005  # of the wall time
ROUNDING = 1e-9  # relative, of one sum over the evaluation points on two machines
# by which the errors over the solution's grid and over the evaluation points may differ:
# from 0.97 to 1.52 in all that is published
GRID_FACTOR = 4.0


def clock(record: Record) -> Iterator[str]:
    """Check that the parts of the clock add up to the wall time."""
    if (
        record.status not in ANSWERS
        and not record.clock
        and math.isnan(record.wall_seconds)
    ):
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
    """Check that steps and seconds grow from zero to those of the run, row by row.

    The numbers of a run that finished or stalled are finite, the rows are those that the
    loop records, and who stalled says so.
    """
    rows = record.history
    if (record.status == "finished") != (record.error is None):
        yield f"{record.status}, with the error {record.error}"
    if rows and (rows[0].step, rows[0].seconds) != (0, 0):
        yield (
            f"the history starts after step {rows[0].step} and {rows[0].seconds:g} s, not "
            "at the start"
        )
    for before, after in pairwise(rows):
        if not (before.step < after.step and before.seconds < after.seconds):
            yield f"the history goes back, from step {before.step} to step {after.step}"
        if before.evaluations > after.evaluations:
            yield f"evaluations are fewer after step {after.step} than before"
    if any(before.stage > after.stage for before, after in pairwise(rows)):
        yield "the history goes back to an earlier stage"
    if rows and not rows[0].stage == 1 <= rows[-1].stage <= len(record.request.parts):
        yield (
            f"the history goes from stage {rows[0].stage} to {rows[-1].stage} of "
            f"{len(record.request.parts)}"
        )
    if rows and rows[-1].step > record.steps:
        yield f"the history goes to step {rows[-1].step} of {record.steps}"
    yield from _not_recorded(record)
    yield from _counted(record)
    yield from _stalled(record)
    if record.status in ANSWERS:
        yield from _to_the_end(record)
    elif not all(map(_is_finite, rows[:-1])):
        yield "the history goes on after numbers that are not finite"


def _to_the_end(record: Record) -> Iterator[str]:
    last, spent = (
        record.history[-1] if record.history else None,
        record.clock.get("train", math.nan),
    )
    if last is None or last.step < record.steps:
        steps = f"{record.steps} steps, which the history does not reach"
        yield f"{record.status} after {steps}"
    elif not math.isclose(last.seconds, spent, rel_tol=1e-9):
        yield f"the history ends at {last.seconds:g} s, the clock says {spent:g} s of steps"
    if bad := [row.step for row in record.history if not _is_finite(row)]:
        yield f"{record.status}, but its numbers after step {bad[0]} are not finite"


def _is_finite(row: Row) -> bool:
    return all(map(math.isfinite, row.model_dump().values()))


def _not_recorded(record: Record) -> Iterator[str]:
    """Say which row is missing or too much, by the rule that the loop records by."""
    rows, steps = record.history, record.request.steps
    for number, (before, after) in enumerate(pairwise(rows), 1):
        is_last = number == len(rows) - 1 or rows[number + 1].stage > after.stage
        ends = record.request.ends
        due, share = next_row(before.step), ends[min(after.stage, len(ends)) - 1]
        stalled = str(after.stage) in record.stalled_stages
        if is_last and number < len(rows) - 1 and steps is not None and not stalled:
            # a stage before the last ends there
            due = next(k for k in count(int(share * steps)) if k / steps >= share)
        early = is_last and (steps is None or stalled or number == len(rows) - 1)
        early = early and before.step < after.step < due
        if after.step != due and not early:
            yield f"the row after step {due} is missing, or the one of {after.step} is new"
            return


def _counted(record: Record) -> Iterator[str]:
    """Say what does not fit the counters of the optimizer's searches."""
    unknown = sorted(set(record.counters) - set(COUNTERS))
    if unknown or min(record.counters.values(), default=0) < 0:
        yield f"no counters: {record.counters}"
    if not record.history:
        return
    last, total = record.history[-1].evaluations, record.counters.get("evaluations", 0)
    if last > total or (record.status == "finished" and last != total):
        yield f"the history ends with {last} evaluations, the counter says {total}"


def _stalled(record: Record) -> Iterator[str]:
    """Say what does not fit the steps that changed no parameter."""
    request, stalls = record.request, record.counters.get("stalls", 0)
    if record.status == "stalled":
        error, words = record.error or "", f"{unchanged(record.steps)}: "
        if words not in error:
            yield f"stalled after {record.steps} steps, and says: {error}"
        if error.endswith(IN_A_ROW) and stalls < IDLE:
            yield f"stalled, and counts {stalls} steps that changed no parameter"
        if request.resample_every or record.steps + stalls < request.march:
            yield "stalled, while its points were drawn anew"
    before_the_last = [str(number) for number in range(1, len(request.parts))]
    if unknown := sorted(set(record.stalled_stages) - set(before_the_last)):
        yield f"stage {', '.join(unknown)} stalled, and none comes after it"
    # records from before runs could stall have no such field
    if record.status == "finished" and "stalled_stages" in record.model_fields_set:
        since = _unmoved_since(record)
        if since is not None and record.steps - since >= IDLE:
            yield f"finished, but nothing moved after step {since}"


def _unmoved_since(record: Record) -> int | None:
    """Give the step of the last stage after which all recorded numbers are the same.

    None where they need not be so in between: where points are drawn anew, or where the
    rows are those of a cycle, whose length would divide every distance of two of them.
    """
    if record.request.resample_every or not record.history:
        return None
    last = record.history[-1]
    earlier = [row.step for row in record.history if row.stage < last.stage]
    begin = max([record.request.march, *earlier])
    same = takewhile(lambda row: row.numbers == last.numbers, reversed(record.history))
    steps = [row.step for row in same if row.step >= begin]
    cycle = math.gcd(*(after - before for after, before in pairwise(steps)))
    return steps[-1] if cycle == 1 else None


def errors(record: Record) -> Iterator[str]:
    """Check that errors and losses fit each other, and the solution on its grid.

    No loss and no error is negative; rms is relative_l2 times ‖u*‖ at the evaluation
    points.
    """
    for row in record.history:
        for name, number in row.numbers.items():
            if number < 0:
                yield f"{name} = {number:g} after step {row.step}"
                return
    problem = problems.get(record.request.problem)
    if problem.version != record.request.problem_version:
        return
    norm = start.norm_of(record.request)
    for row in record.history:
        fits = math.isclose(row.relative_l2 * norm, row.rms, rel_tol=ROUNDING)
        if math.isfinite(row.rms) != math.isfinite(row.relative_l2) or (
            math.isfinite(row.rms) and not fits
        ):
            yield (
                f"rms = {row.rms:.6g} after step {row.step}, and relative_l2 times the "
                f"norm of the solution is {row.relative_l2 * norm:.6g}"
            )
            return
    yield from _on_the_grid(record)


def _on_the_grid(record: Record) -> Iterator[str]:
    """Say where the solution on its grid has another error than the last row."""
    problem = problems.get(record.request.problem)
    x = solution_grid.grid(problem)
    if record.status not in ANSWERS or x is None:
        if record.surface is not None:
            yield "has a solution on a grid, where none is kept"
        return
    if record.surface is None or not record.history:
        return  # the device had no memory for it
    if len(record.surface) != len(x):
        yield f"a solution at {len(record.surface)} points of a grid of {len(x)}"
        return
    inside = np.full(len(x), True) if problem.inside is None else problem.inside(x)
    exact = problem.solution(x)[inside]
    # it is kept to five digits
    rounding = start.root_mean_square(5e-5 * np.abs(exact))
    error = start.root_mean_square(np.array(record.surface)[inside, None] - exact)
    rms = record.history[-1].rms
    if not (rms - rounding) / GRID_FACTOR <= error <= GRID_FACTOR * rms + rounding:
        yield (
            f"the solution on its grid has the error {error:.3g}, the history ends with "
            f"{rms:.3g}"
        )


def budget(record: Record) -> Iterator[str]:
    """Check that a finished run spent its budget, and none overran it by over one step.

    One that stalled need not have spent it.
    """
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
    is_spent = record.steps == steps or (seconds is not None and spent >= seconds)
    is_finite = bool(record.history) and _is_finite(record.history[-1])
    if record.status not in ANSWERS and is_spent and is_finite:
        yield f"{record.status}, with all of its budget spent"
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
