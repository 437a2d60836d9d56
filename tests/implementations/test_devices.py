"""What is known of a step on an accelerator without one: no hidden read, no callback."""

import re
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
from small import (
    OPTIMIZERS,
    default,
    every_optimizer_in_jax,
    frameworks,
    needs,
    small,
)

from optbench import problems
from optbench.measure.parity import CONDITIONED
from optbench.training.checkpoint import leaves

SINE = problems.get("poisson_sine_2d")
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
# what each optimizer asks the device in a step without a line search: whether the Gramian
# is to be solved by Cholesky
SOLVES = {"engd": 1, "engd_woodbury": 1, "engd_per_layer": 3, "spring": 1}

# what a step of the others asks at most, two iterations of `lbfgs`: of the batch, the
# direction, each trial, the end and the pair; of each damping; of Newton's iterations for
# the dampings of all radii and of the chosen one
DECISIONS = {
    "lbfgs": 12,
    "lbfgs_wolfe": 12,
    "bfgs": 12,
    "ssbfgs": 12,
    "ssbroyden": 12,
    "levenberg_marquardt": 12,
    "trust_region": 60,
}


def searches(optimizer):
    return "line_search" in {
        field.name for field in fields(small("torch", SINE).framework.OPTIMIZERS[optimizer])
    }


@needs["torch"]
@pytest.mark.parametrize(
    "optimizer",
    [
        name
        for name in OPTIMIZERS
        if name not in DECISIONS and not name.startswith(("hessian", "nystrom"))
    ],
)
@pytest.mark.parametrize("search", ["grid", "grid_exhaustive", None])
def test_torch_waits_for_the_device_as_often_as_it_must(optimizer, search):
    case = small("torch", SINE, "tanh_5_4")
    options = dict(CONDITIONED[optimizer])
    if searches(optimizer):
        options |= {"line_search": search} if search else {"learning_rate": 1e-3}
    elif search:
        pytest.skip("no line search")
    _, state, step = case.prepare(optimizer, **options)
    params, state, _ = step(case.params, state, case.batch)
    before, evaluations = (
        case.framework.backend.reads,
        getattr(state, "search", None) and state.search.evaluations,
    )
    _, state, _ = step(params, state, case.batch)
    reads = case.framework.backend.reads - before
    # the loss at the start, then one for each evaluation, or one for all of the grid
    of_search = {
        "grid": lambda: 1 + state.search.evaluations - evaluations,
        "grid_exhaustive": lambda: 2,
        None: int,
    }
    assert reads == SOLVES.get(optimizer, 0) + of_search[search]()


@needs["torch"]
@pytest.mark.parametrize(("optimizer", "at_most"), DECISIONS.items())
def test_a_torch_quasi_newton_method_waits_for_its_decisions_alone(optimizer, at_most):
    case = small("torch", SINE, "tanh_5_4")
    _, state, step = case.prepare(optimizer, **CONDITIONED[optimizer])
    params, state, _ = step(case.params, state, case.batch)
    before = case.framework.backend.reads
    step(params, state, case.batch)
    assert 0 < case.framework.backend.reads - before <= at_most


@needs["torch"]
@every_optimizer
def test_a_torch_step_runs_without_numbers(monkeypatch, optimizer):
    """On the meta device a hidden read or a tensor of the CPU fails, `read` alone not."""
    import torch

    case = small("torch", SINE, "tanh_5_4")
    made, state, step = case.prepare(optimizer, **CONDITIONED[optimizer])
    step(case.params, state, case.batch)  # fills the caches
    answers = iter(np.random.default_rng(0).random(10_000) < 0.4)

    def read(value):
        if not isinstance(value, torch.Tensor):
            return value
        if value.dtype == torch.bool:
            return bool(next(answers))
        return (
            np.linspace(1, 2, max(1, value.numel()))
            .astype(float if value.is_floating_point() else int)
            .tolist()[slice(None) if value.ndim else 0]
        )

    readers = (
        "control_flow",
        "line_search",
        "grid_search",
        "grid_descent",
    )
    solvers = [f"solvers.{name}" for name in readers]
    for file in (*solvers, "optimizers.hessian_free", "optimizers.kfac"):
        monkeypatch.setattr(case.part(file), "read", read)
    with torch.no_grad():
        params, batch = (
            [m.to("meta") for m in case.params],
            {name: [t.to("meta") for t in term] for name, term in case.batch.items()},
        )
        params, state, losses = made.step(
            case.objective, params, made.init(case.objective, params), batch
        )
    tensors = [
        leaf
        for leaf in leaves((params, state, losses))
        if isinstance(leaf, torch.Tensor) and leaf.ndim
    ]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


@needs["jax"]
@every_optimizer_in_jax
def test_a_jax_step_is_exported_for_cuda(optimizer):
    """It asks the host for nothing, and its factorisations are cuSOLVER's."""
    import jax

    case = small("jax", SINE, "tanh_5_4")
    made, state, _ = case.prepare(optimizer, **CONDITIONED[optimizer])
    step = jax.jit(partial(made.step, case.objective))
    text = jax.export.export(step, platforms=["cuda"])(
        case.params, state, case.batch
    ).mlir_module()
    called = set(re.findall(r"custom_call @(\w+)", text))
    assert "callback" not in text
    assert all(name.startswith(("cusolver_", "cublas")) for name in called), called
    factorises = (
        optimizer.startswith(
            ("kfac", "engd", "spring", "soap", "nystrom", "levenberg", "trust")
        )
        and optimizer != "engd_diagonal"
    )
    assert bool(called) == factorises


@needs["jax"]
@every_optimizer_in_jax
def test_a_donated_step_has_the_same_bits(optimizer):
    case, made, _, plain = default("jax", optimizer)
    donated = case.framework.backend.compile(
        partial(made.step, case.objective), donate=(1,)
    )
    ends = []
    for step in (plain, donated):
        params, state = case.params, made.init(case.objective, case.params)
        for _ in range(3):
            old = state
            params, state, losses = step(params, state, case.batch)
        ends.append(case.numpy((params, state, losses)))
    assert any(leaf.is_deleted() for leaf in leaves(old)) or optimizer == "engd_diagonal"
    for one, other in zip(*map(leaves, ends), strict=True):
        assert np.array_equal(one, other)


@frameworks
@pytest.mark.parametrize("optimizer", ["kfac", "engd"])
@pytest.mark.medium
def test_the_lazy_search_chooses_as_the_whole_grid(framework, optimizer):
    case = small(framework, SINE, "tanh_16", interior=60, boundary=20)
    _, state, step = case.prepare(optimizer, damping=1e-4)
    _, _, whole = case.prepare(optimizer, damping=1e-4, line_search="grid_exhaustive")
    params, agreed = case.params, 0
    for _ in range(100):
        _, expected, _ = whole(params, state, case.batch)
        params, state, _ = step(params, state, case.batch)
        agreed += int(expected.search.choice) == int(state.search.choice)
    assert agreed >= 99


@frameworks
def test_the_whole_grid_is_looked_at_where_the_residual_is_not_affine(framework):
    case = small(framework, problems.get("log_fokker_planck_1d"))
    _, state, step = case.prepare("engd", damping=1e-2)
    _, state, _ = step(case.params, state, case.batch)
    assert int(state.search.evaluations) == len(case.part("solvers.line_search").GRID)
