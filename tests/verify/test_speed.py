"""A run is held against other seeds by the steps that moved it."""

import math
from types import SimpleNamespace

import pytest
from fakes import Fake, request

from optbench.records.record import moving_step_seconds
from optbench.verify import speed

STEPS, QUICK = 30, 0.01  # of a second, for a step; the others take one


def run(seed, quick_after=STEPS, stands_still=False):
    """A run whose later steps are quick, on new points; its error may stay what it was."""
    record = Fake().perform(request(seed=seed, steps=STEPS))
    rows, last = [], record.history[0]
    for row in record.history:
        quick = max(0, row.step - quick_after)
        last = row if not quick else last
        still = {"relative_l2": last.relative_l2, "rms": last.rms} if stands_still else {}
        seconds = row.step - quick + quick * QUICK
        rows.append(row.model_copy(update={"seconds": seconds, **still}))
    asked = record.request.model_copy(update={"resample_every": 1})
    clock = record.clock | {"train": rows[-1].seconds}
    return record.model_copy(
        update={"history": tuple(rows), "request": asked, "clock": clock}
    )


def complaints(*records):
    results = SimpleNamespace(records={f"{n}.json": run for n, run in enumerate(records)})
    return [line for line in speed.check(results) if "every other seed" in line]


def test_a_run_is_too_fast_beside_two_others():
    assert not complaints(run(0), run(1), run(2))
    (found,) = complaints(run(0), run(1, quick_after=3), run(2))
    assert found.startswith("1.json: a step takes 0.109 s, and 1 s or more")


def test_steps_that_changed_nothing_may_be_cheap():
    frozen = run(1, quick_after=3, stands_still=True)
    assert moving_step_seconds(frozen) == 1
    assert not complaints(run(0), frozen, run(2))


def test_a_run_that_never_moved_is_held_against_nothing():
    frozen = run(1, quick_after=0, stands_still=True)
    assert math.isnan(moving_step_seconds(frozen))
    assert not complaints(run(0), frozen, run(2))
    assert moving_step_seconds(run(0)) == pytest.approx(1)


def test_a_runs_own_clock_is_held_against_the_steps_that_moved_it():
    warm = {"warm_up": 30.0, "evaluate": 30.0 * STEPS}
    frozen = run(1, quick_after=1, stands_still=True)
    record = frozen.model_copy(update={"clock": frozen.clock | warm})
    (bound,) = (bound for bound in speed.bounds(record) if bound.rule == "own clock")
    assert bound.seconds == 1
    busy = run(1, quick_after=1)
    record = busy.model_copy(update={"clock": busy.clock | warm})
    (bound,) = (bound for bound in speed.bounds(record) if bound.rule == "own clock")
    assert bound.seconds == pytest.approx((1 + (STEPS - 1) * QUICK) / STEPS)
