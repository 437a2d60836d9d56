"""A run that does its steps in blocks: the clock, the budget, and the same path."""

import itertools

import pytest
from fakes import STEP, Fake, request
from small import frameworks
from stopping import StopAfter, bits

from optbench.training import run as train
from optbench.training.limits import Limits
from optbench.training.loop import BLOCK, Stopped, next_row

SLOWLY = {"learning_rate": 0.999, "momentum": 0.9}


def test_blocks_reach_to_the_next_row_and_the_clock_counts_steps_alone():
    fake = Fake()
    record = fake.perform(request(steps=67, blocks=True, hyperparameters=SLOWLY))
    whole = Fake().perform(request(steps=67, hyperparameters=SLOWLY))
    # two warm up; every step up to 40 has a row, and 44, 49, 54, 60 and 66
    assert fake.blocks == [1, 1, *[1] * 40, 4, 5, 5, 6, 6, 1]
    assert record.clock["train"] == pytest.approx(67 * STEP)
    assert [row.step for row in record.history] == [row.step for row in whole.history]
    assert bits(record) == bits(whole)


@pytest.mark.parametrize("seconds", [900.5, 5000.0])
def test_a_budget_of_seconds_is_overrun_by_one_block_at_most(seconds):
    fake = Fake()
    record = fake.perform(request(seconds=seconds, blocks=True, hyperparameters=SLOWLY))
    longest = max(1, int(BLOCK * seconds / STEP))
    assert max(fake.blocks) == longest
    assert seconds <= record.clock["train"] < seconds + longest * STEP
    ends = list(itertools.accumulate(fake.blocks[2:]))
    assert set(itertools.takewhile(lambda row: row <= ends[-1], rows())) <= {0, *ends}


def rows():
    step = 0
    while True:
        yield step
        step = next_row(step)


def test_new_points_begin_a_block():
    fake = Fake()
    fake.perform(request(steps=100, blocks=True, hyperparameters=SLOWLY, resample_every=9))
    ends = set(itertools.accumulate(fake.blocks[2:]))
    assert set(range(9, 100, 9)) <= ends
    assert len({id(batch) for batch in fake.batches[2:]}) == 12


def asked(framework, **fields):
    mode = {"torch": "eager", "jax": "jit"}[framework]
    return request(framework=framework, mode=mode, steps=60, **fields)


@frameworks
def test_a_stopped_run_ends_with_the_same_bits(framework, tmp_path):
    run = asked(
        framework,
        blocks=True,
        resample_every=25,
        optimizer="adam",
        hyperparameters={"schedule": "cosine"},
    )
    limits = Limits(checkpoints=tmp_path)
    whole = train.perform(run)
    for blocks in (42, 1):
        with pytest.raises(Stopped):
            train.perform(run, limits, stop=StopAfter(blocks))
    resumed = train.perform(run, limits)
    assert (resumed.resumed, resumed.steps, resumed.status) == (2, 60, "finished")
    assert bits(resumed) == bits(whole)
    alone = train.perform(run.model_copy(update={"blocks": False}))
    assert alone.identity != whole.identity
    if framework == "torch":
        assert bits(alone) == bits(whole)


@frameworks
@pytest.mark.parametrize("blocks", [False, True])
def test_divergence_and_standstill_are_found_at_the_same_step(framework, blocks):
    diverging = asked(framework, hyperparameters={"learning_rate": 1.0}, blocks=blocks)
    record = train.perform(diverging)
    assert record.status == "diverged"
    assert f"before step {record.steps + 1} is more than 1e+08 times" in record.error
    still = asked(framework, hyperparameters={"learning_rate": 1e-300}, blocks=blocks)
    record = train.perform(still)
    assert (record.status, record.steps) == ("stalled", 0)
    assert record.counters["stalls"] == 20
    assert "20 steps in a row changed none" in record.error
