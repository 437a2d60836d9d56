"""Blocks of steps: the same path in blocks of any sizes, and where one ends early."""

import numpy as np
import pytest
from small import OPTIMIZERS, frameworks, small

from optbench import problems
from optbench.implementations.blocks import LONGEST, Bounds
from optbench.measure.parity import CONDITIONED
from optbench.training.checkpoint import leaves

FREE = Bounds(ceiling=np.inf, idle=0, most_idle=2**30)
TELL = np.linspace(0, 0.9, LONGEST)  # a share for each step


def walk(case, optimizer, sizes, bounds=FREE):
    """Do blocks of such sizes; give the last, and what it has in NumPy."""
    block = case.framework.compile_block(optimizer, case.objective)
    params, state, done = case.params, optimizer.init(case.objective, case.params), 0
    for size in sizes:
        shares = np.zeros(LONGEST)
        shares[:size] = TELL[done : done + size]
        last = block(params, state, case.batch, shares, size, bounds)
        params, state, done = last.params, last.state, done + int(last.steps)
    return case.numpy(last)


@frameworks
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_blocks_of_any_sizes_walk_the_same_path(framework, optimizer):
    case = small(framework, problems.get("poisson_sine_2d"))
    made = case.framework.OPTIMIZERS[optimizer](**CONDITIONED[optimizer])
    one, two = walk(case, made, [20]), walk(case, made, [7, 13])
    assert (one.steps, two.steps) == (20, 13)
    for here, there in zip(
        leaves((one.params, one.state)), leaves((two.params, two.state)), strict=True
    ):
        np.testing.assert_array_equal(here, there)
    step = case.framework.backend.compile(
        lambda params, state: made.step(case.objective, params, state, case.batch)
    )
    params, state = case.params, made.init(case.objective, case.params)
    for share in TELL[:20]:
        params, state, losses = step(params, made.progress(state, float(share)))
    rounding = 0 if framework == "torch" else 1e-6  # another program
    for here, there in zip(one.params, case.numpy(params), strict=True):
        np.testing.assert_allclose(here, there, rtol=rounding, atol=rounding)
    np.testing.assert_allclose(
        float(one.losses.total), float(losses.total), rtol=rounding, atol=rounding
    )


@frameworks
def test_a_schedule_hears_the_share_of_every_step(framework):
    case = small(framework, problems.get("poisson_sine_2d"))
    made = case.framework.OPTIMIZERS["sgd"](learning_rate=1e-3, schedule="cosine")
    last = walk(case, made, [5, 4])
    assert float(last.state.progress.share) == TELL[8]


@frameworks
def test_a_block_ends_with_the_step_whose_loss_has_diverged(framework):
    """That step moves nothing."""
    case = small(framework, problems.get("poisson_sine_2d"))
    made = case.framework.OPTIMIZERS["sgd"](learning_rate=1.0)
    first = float(case.objective.loss(case.params, case.batch))
    bounds = FREE._replace(ceiling=1e8 * first)
    last = walk(case, made, [LONGEST], bounds)
    assert 2 < last.steps < LONGEST
    assert not last.losses.total < bounds.ceiling
    assert (last.changed, last.unchanged) == (last.steps - 1, 1)
    before = walk(case, made, [int(last.steps) - 1], bounds)
    assert before.losses.total < bounds.ceiling
    for here, there in zip(last.params, before.params, strict=True):
        np.testing.assert_array_equal(here, there)


@frameworks
@pytest.mark.parametrize(("idle", "steps"), [(0, 20), (13, 7)])
def test_a_block_ends_where_nothing_moves(framework, idle, steps):
    case = small(framework, problems.get("poisson_sine_2d"))
    made = case.framework.OPTIMIZERS["sgd"](learning_rate=1e-300)
    last = walk(case, made, [100], FREE._replace(idle=idle, most_idle=20))
    assert (last.steps, last.changed, last.unchanged) == (steps, 0, steps)


@frameworks
def test_a_block_ends_where_its_optimizer_does(framework):
    """What cannot be factorized moves nothing, and neither do the steps after it."""
    case = small(framework, problems.get("poisson_sine_2d"), "tanh_9_9", 1, 1)
    made = case.framework.OPTIMIZERS["kfac"](damping=0.0, identity_init=False)
    last = walk(case, made, [9])
    assert (last.steps, last.changed) == (1, 0)
    assert last.state.preconditioner.failure >= 0
