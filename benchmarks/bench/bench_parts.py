"""The parts of a step in every framework, and the Laplacian by nested automatic differentiation.

`optimizer` is whose part it is. What a part starts from is made before, from the parameters
after the warm-up.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from optbench.implementations import FRAMEWORKS

from optbench.measure.timed import Timed

ANY = "any"  # the optimizer of what every optimizer does
# "torch-compiled" compiles the objective's own passes: of these, what the line search calls
twins = pytest.mark.parametrize("framework", FRAMEWORKS)


@twins
@pytest.mark.parametrize("optimizer", [ANY])
def test_forward_laplacian(benchmark, timed, framework, problem, optimizer):
    measure(benchmark, forward_laplacian(timed(framework, problem, "sgd")))


@twins
@pytest.mark.parametrize("optimizer", [ANY])
def test_nested_laplacian(benchmark, timed, framework, problem, optimizer):
    measure(benchmark, nested_laplacian(timed(framework, problem, "sgd")))


@twins
@pytest.mark.parametrize("optimizer", ["kfac"])
def test_factors(benchmark, timed, framework, problem, optimizer):
    measure(benchmark, factors(timed(framework, problem, optimizer)))


@pytest.mark.parametrize("optimizer", ["kfac"])
def test_line_search(benchmark, timed, framework, problem, optimizer):
    measure(benchmark, line_search(timed(framework, problem, optimizer)))


@twins
@pytest.mark.parametrize("optimizer", ["kfac", "engd"])
def test_solve(benchmark, timed, framework, problem, optimizer):
    measure(
        benchmark,
        {"kfac": kronecker_solve, "engd": gramian_solve}[optimizer](
            timed(framework, problem, optimizer)
        ),
    )


def measure(benchmark, function: Callable[[], Any]) -> None:
    """Time a function whose first call compiles it."""
    function()
    benchmark(function)


def part(timed: Timed, file: str) -> ModuleType:
    """A file of the framework's implementation."""
    return import_module(f"{timed.framework.backend.__package__}.{file}")


def forward_laplacian(timed: Timed) -> Callable[[], Any]:
    """tr(A ∇²u) [n, m] at all interior points by the forward Laplacian."""
    evaluate = part(timed, "passes.objective").evaluate

    def laplacian(params, batch):
        interior = timed.objective.equation(timed.problem.interior, params[0])
        return evaluate(interior, params, *batch[0]).done.outputs[-1][-1]

    return timed.function(laplacian)


def nested_laplacian(timed: Timed) -> Callable[[], Any]:
    """The same by the Hessian at each point, reverse under forward mode: what a user writes first."""
    names = {"torch": ("torch", "torch.func"), "jax": ("jax.numpy", "jax")}
    arrays, transforms = map(import_module, names[timed.framework.name])
    diffusion = timed.framework.backend.from_numpy(
        timed.problem.interior.operator.diffusion
    )
    sigma = getattr(arrays, timed.objective.activation)

    def u(params, x):
        for matrix in params[:-1]:
            x = sigma(matrix[:, :-1] @ x + matrix[:, -1])
        return params[-1][:, :-1] @ x + params[-1][:, -1]

    def laplacian(params, batch):
        hessians = transforms.vmap(transforms.hessian(lambda x: u(params, x)))(batch[0][0])
        return arrays.einsum("ij,nkij->nk", diffusion, hessians)

    return timed.function(laplacian)


def factors(timed: Timed) -> Callable[[], Any]:
    """KFAC's Kronecker factors of both terms, from the layers' inputs and cotangents at all points at once."""
    kronecker_factors = part(timed, "passes.linearization").kronecker_factors

    def both(params, batch, terms):
        return [
            kronecker_factors(
                term, timed.optimizer.approximation, timed.optimizer.curvature
            )
            for term in terms
        ]

    return timed.function(both, prepared(timed, timed.objective.linearize))


def line_search(timed: Timed) -> Callable[[], Any]:
    """The search of KFAC's step: from the same last choice along the same directions."""
    follow = part(timed, "solvers.line_search").follow
    _, after, losses = timed.step(
        timed.params, timed.state, timed.batch
    )  # its momentum holds the directions

    def search(params, batch, directions, losses, last):
        return follow(
            timed.optimizer, timed.objective, params, directions, batch, losses, last
        )

    return timed.function(search, after.momentum, losses, timed.state.search)


def kronecker_solve(timed: Timed) -> Callable[[], Any]:
    """KFAC's inverses of the damped factors of every layer, and its directions by them."""
    invert = part(timed, "optimizers.kfac").invert

    def solve(params, batch, factors, slopes):
        inverses = invert(timed.optimizer, factors)
        return [
            -inverse.solve(slope) for inverse, slope in zip(inverses, slopes, strict=True)
        ]

    _, after, _ = timed.step(timed.params, timed.state, timed.batch)
    _, slopes = prepared(timed, timed.objective.gradient)
    return timed.function(solve, after.preconditioner.factors, slopes)


def gramian_solve(timed: Timed) -> Callable[[], Any]:
    """ENGD's direction, given the whole Gramian and the gradient."""
    damped_solve = part(timed, "solvers.linear_algebra").damped_solve

    def solve(params, batch, gramian, slopes):
        return damped_solve(gramian, timed.optimizer.damping, slopes)

    return timed.function(solve, *map(timed.framework.backend.from_numpy, gramian(timed)))


def gramian(timed: Timed) -> tuple[np.ndarray, np.ndarray]:
    """G [p, p] and ∇L [p]."""
    jacobian_blocks = part(timed, "passes.linearization").jacobian_blocks

    def rows(params, batch):
        return [
            (jacobian_blocks(term), term.residual)
            for term in timed.objective.linearize(params, batch)
        ]

    G, slopes = np.zeros(()), np.zeros(())
    for blocks, residual in timed.framework.backend.to_numpy_tree(prepared(timed, rows)):
        J = np.concatenate(blocks, axis=1)
        G, slopes = (
            G + J.T @ J / len(residual),
            slopes + J.T @ residual.ravel() / len(residual),
        )
    return G, slopes


def prepared(timed: Timed, function: Callable) -> Any:
    """What a function of parameters and batch gives."""
    return timed.function(function)()
