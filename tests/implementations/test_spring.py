"""SPRING against golden numbers, a dense recursion, and ENGD where momentum is zero."""

import numpy as np
import oracle
import oracle_steps
import pytest
from fakes import request
from golden import GOLDEN, golden_batch, numbers
from made_up import coupled_2d
from small import arrays, drawn, frameworks, needs, relative, small, vector

from optbench import implementations, problems
from optbench.training import run
from optbench.training.memory import foresee

HEAT = problems.get("heat_sum_2d")


def directions(
    problem, start, batches, rate, momentum, damping, constraint=None, corrected=False
):
    """φ₁, φ₂ … and the parameters after constant steps: dense NumPy, a batch per step."""
    theta, phi = vector(start), 0 * vector(start)
    for k, batch in enumerate(batches, start=1):
        J, r = oracle.weighted_rows(problem, oracle.like(start, theta), batch)
        zeta = -r - momentum * J @ phi
        phi = (
            J.T @ np.linalg.solve(J @ J.T + damping * np.eye(len(r)), zeta) + momentum * phi
        )
        size = min(rate, constraint**0.5 / np.linalg.norm(phi)) if constraint else rate
        theta = theta + size * phi / (np.sqrt(1 - momentum ** (2 * k)) if corrected else 1)
        yield phi, theta


def walk(case, batches, **fields):
    """φ and the parameters after each step."""
    made, state, step = case.prepare("spring", **fields)
    params = case.params
    for batch in batches:
        params, state, _ = step(
            params, state, case.framework.backend.from_numpy_tree(batch)
        )
        made.check(state)
        yield vector(case.numpy(state.direction)), vector(case.numpy(params))


@frameworks
def test_the_direction_is_the_golden_one(framework):
    golden, start = GOLDEN["spring"], numbers(GOLDEN["W"])
    loaded, sine = implementations.load(framework), problems.get("poisson_sine_2d")
    case = arrays(loaded, sine, start, golden_batch())
    made, state, step = case.prepare(
        "spring", learning_rate=1.0, momentum=golden["decay"], damping=golden["damping"]
    )
    before = case.framework.backend.from_numpy_tree(
        oracle.like(start, np.array(golden["phi_prev"]))
    )
    _, state, _ = step(case.params, state._replace(direction=before), case.batch)
    made.check(state)
    assert (
        relative(vector(case.numpy(state.direction)), np.array(golden["phi_new"])) <= 1e-10
    )


CASES = [
    (HEAT, {"norm_constraint": 1e-5}),
    (HEAT, {"norm_constraint": 1e5}),
    (HEAT, {"norm_constraint": None}),
    (coupled_2d, {"norm_constraint": 1e-3, "bias_correction": True}),
]


@frameworks
@pytest.mark.parametrize(("problem", "fields"), CASES)
def test_steps_equal_the_dense_recursion(framework, problem, fields):
    """The points are new in every step, as in its paper."""
    case = small(framework, problem, "tanh_4_3", interior=6, boundary=4)
    batches = [drawn(problem, 6, 4, seed=3, index=index) for index in range(3)]
    constraint, corrected = fields["norm_constraint"], fields.get("bias_correction", False)
    theirs = directions(
        problem, case.start, batches, 0.05, 0.9, 1e-2, constraint, corrected
    )
    ours = walk(case, batches, learning_rate=0.05, momentum=0.9, damping=1e-2, **fields)
    for (phi, theta), (expected, there) in zip(ours, theirs, strict=True):
        assert relative(phi, expected) <= 1e-9
        assert relative(theta - vector(case.start), there - vector(case.start)) <= 1e-9


@frameworks
def test_a_line_search_follows_the_corrected_direction(framework):
    """In step 1, φ/√(1 − μ²) is 7.09 φ: the same grid ends elsewhere, unconstrained."""
    case = small(framework, HEAT)
    fields = {
        "damping": 1e-2,
        "line_search": "grid_exhaustive",
        "bias_correction": True,
        "norm_constraint": 1e-12,
    }
    ((phi, theta),) = walk(case, [case.numpy(case.batch)], **fields)
    followed, start = phi / np.sqrt(1 - 0.99**2), vector(case.start)
    (alpha,) = {round(size, 12) for size in (theta - start) / followed}
    tried = [oracle.like(case.start, start + size * followed) for size in oracle_steps.GRID]
    losses = [oracle.loss(HEAT, params, drawn(HEAT)) for params in tried]
    assert alpha == oracle_steps.GRID[np.argmin(losses)]


@frameworks
def test_without_momentum_it_is_engd(framework):
    case = small(framework, HEAT)
    ends = []
    for name, fields in (
        ("spring", {"momentum": 0.0, "norm_constraint": None}),
        ("engd_woodbury", {}),
    ):
        _, state, step = case.prepare(name, damping=1e-2, learning_rate=0.1, **fields)
        params = case.params
        for _ in range(3):
            params, state, losses = step(params, state, case.batch)
        ends.append(case.numpy([*params, *losses.terms.values()]))
    assert relative(*ends) <= 1e-13
    assert relative(ends[0][:-2], case.start) > 1e-6


@needs["torch"]
def test_a_run_draws_its_points_anew_in_every_step():
    fields = {
        "learning_rate": 0.05,
        "momentum": 0.9,
        "damping": 1e-2,
        "norm_constraint": None,
    }
    record = run.perform(
        request(optimizer="spring", hyperparameters=fields, steps=3, resample_every=1)
    )
    problem = problems.get("poisson_sine_2d")
    start = problems.networks.initial_parameters("tanh_4", problem.dim, problem.outputs, 3)
    batches = [drawn(problem, 9, 6, seed=3, index=index) for index in range(3)]
    path = directions(problem, start, batches, 0.05, 0.9, 1e-2)
    for row, batch, (_, theta) in zip(record.history[1:], batches, path, strict=True):
        expected = oracle.losses(problem, oracle.like(start, theta), batch)
        assert (row.interior, row.boundary) == pytest.approx(
            tuple(expected.values()), rel=1e-9
        )


@frameworks
def test_four_thousand_points_need_a_full_kernel_s_memory_and_it_is_said_before(
    monkeypatch, framework
):
    """A kernel of 128 MB: six of them, and little beside."""
    case = small(framework, HEAT)
    made, batch = case.prepare("spring")[0], drawn(HEAT, 3500, 500)
    monkeypatch.setattr(case.framework.backend, "free_memory", lambda: 1e12)
    foresee(made, case.objective, case.params, batch, case.framework.backend, 9 * 128e6)
    with pytest.raises(
        MemoryError, match=r"spring needs 0\.\d+ GB for a step, and 0.768 GB are free"
    ):
        foresee(made, case.objective, case.params, batch, case.framework.backend, 6 * 128e6)
