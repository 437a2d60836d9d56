"""The parts of a step in every framework, and the Laplacian by nested differentiation.

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
from optbench.problems import networks
from optbench.problems.problem import INTERIOR

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
    """Import a file of the framework's implementation."""
    backend: Any = timed.framework.backend  # a module
    return import_module(f"{backend.__package__}.{file}")


def forward_laplacian(timed: Timed) -> Callable[[], Any]:
    """Compute tr(A ∇²u) [n, m] at all interior points by the forward Laplacian."""
    passes = part(timed, "passes.objective")
    objective: Any = timed.objective
    term = timed.problem.terms[INTERIOR]

    def laplacian(params, batch):
        equation = objective.equation(term, params[0])
        evaluation = passes.evaluate(equation, params, *batch[INTERIOR])
        return evaluation.forward_pass.outputs[-1][-1]

    return timed.function(laplacian)


def nested_laplacian(timed: Timed) -> Callable[[], Any]:
    """Compute it by the Hessian at each point, as a user writes it first.

    It is forward mode over reverse mode.
    """
    names = {"torch": ("torch", "torch.func"), "jax": ("jax.numpy", "jax")}
    arrays, transforms = map(import_module, names[timed.framework.name])
    operator: Any = timed.problem.terms[INTERIOR].operator  # which has a diffusion
    diffusion = timed.framework.backend.from_numpy(operator.diffusion)
    sigma = getattr(arrays, networks.parse(timed.work.network).activation)

    def u(params, x):
        for matrix in params[:-1]:
            x = sigma(matrix[:, :-1] @ x + matrix[:, -1])
        return params[-1][:, :-1] @ x + params[-1][:, -1]

    def laplacian(params, batch):
        hessians = transforms.vmap(transforms.hessian(lambda x: u(params, x)))(
            batch[INTERIOR][0]
        )
        return arrays.einsum("ij,nkij->nk", diffusion, hessians)

    return timed.function(laplacian)


def factors(timed: Timed) -> Callable[[], Any]:
    """Compute KFAC's Kronecker factors of every term, all points at once.

    They are made from the layers' inputs and cotangents.
    """
    kronecker_factors = part(timed, "passes.linearization").kronecker_factors

    def of_all(params, batch, terms):
        return [
            kronecker_factors(
                term, timed.optimizer.approximation, timed.optimizer.curvature
            )
            for term in terms.values()
        ]

    return timed.function(of_all, prepared(timed, timed.objective.linearize))


def line_search(timed: Timed) -> Callable[[], Any]:
    """Search as KFAC's step does: from the same last choice along the same directions."""
    follow = part(timed, "solvers.line_search").follow
    # the momentum after a step holds its directions
    _, after, losses = timed.step(timed.params, timed.state, timed.batch)

    def search(params, batch, directions, losses, last):
        return follow(
            timed.optimizer, timed.objective, params, directions, batch, losses, last
        )

    return timed.function(search, after.momentum, losses, timed.state.search)


def kronecker_solve(timed: Timed) -> Callable[[], Any]:
    """Invert KFAC's damped factors of every layer, and solve for its directions."""
    invert = part(timed, "optimizers.kfac").invert

    def solve(params, batch, factors, gradient):
        inverses = invert(timed.optimizer, factors)
        return [
            -inverse.solve(matrix)
            for inverse, matrix in zip(inverses, gradient, strict=True)
        ]

    _, after, _ = timed.step(timed.params, timed.state, timed.batch)
    _, gradient = prepared(timed, timed.objective.gradient)
    return timed.function(solve, after.preconditioner.factors, gradient)


def gramian_solve(timed: Timed) -> Callable[[], Any]:
    """Solve for ENGD's direction, the whole Gramian and the gradient being there."""
    damped_solve = part(timed, "solvers.linear_algebra").damped_solve

    def solve(params, batch, gramian, gradient):
        return damped_solve(gramian, timed.optimizer.damping, gradient)

    return timed.function(solve, *map(timed.framework.backend.from_numpy, gramian(timed)))


def gramian(timed: Timed) -> tuple[np.ndarray, np.ndarray]:
    """Compute G [p, p] and ∇L [p]."""
    jacobian_blocks = part(timed, "passes.linearization").jacobian_blocks

    def jacobians(params, batch):
        return [
            (jacobian_blocks(term), term.residual)
            for term in timed.objective.linearize(params, batch).values()
        ]

    terms = timed.framework.backend.to_numpy_tree(prepared(timed, jacobians))
    G, gradient = np.zeros(()), np.zeros(())
    for weight, (blocks, residual) in zip(
        timed.problem.weights.values(), terms, strict=True
    ):
        J = np.concatenate(blocks, axis=1)
        G = G + weight * J.T @ J / len(residual)
        gradient = gradient + weight * J.T @ residual.ravel() / len(residual)
    return G, gradient


def prepared(timed: Timed, function: Callable) -> Any:
    """Call a function of parameters and batch."""
    return timed.function(function)()
