"""Jets, cotangents, Jacobians and gradients against automatic differentiation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from autodiff import autodiff, exact_jacobians
from made_up import DIFFUSION, coupled_2d
from small import frameworks, relative, small, vector, where

from optbench import problems
from optbench.problems.networks import parse

PROBLEMS = [
    problems.get(name)
    for name in ("poisson_sine_2d", "heat_sum_2d", "log_fokker_planck_2d")
] + [coupled_2d]
every_problem = pytest.mark.parametrize(
    "problem", PROBLEMS, ids=lambda problem: problem.name
)
NETWORKS = ["tanh_5_4", "sin_4_3", "tanh_6"]


def plain_network(sigma, params, x):
    for matrix in params[:-1]:
        x = sigma(matrix[:, :-1] @ x + matrix[:, -1])
    return params[-1][:, :-1] @ x + params[-1][:, -1]


def equation_of(case, term):
    """A term as the passes read it."""
    like = [] if case.framework.name == "jax" else [case.params[0]]
    return case.objective.equation(term, *like)


def plain_jet(case, points):
    """Value, gradient and Hessian of every output at every point, as NumPy arrays."""
    tools = autodiff(case.framework.name)
    sigma = tools.activations[parse(case.objective.network).activation]

    def u(x):
        return plain_network(sigma, case.params, x)

    rows = case.numpy([(u(x), tools.jacobian(u)(x), tools.hessian(u)(x)) for x in points])
    return [np.array(column) for column in zip(*rows, strict=True)]


@frameworks
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "diffusion",
    [np.eye(2), np.diag([0.0, 1.0]), DIFFUSION],
    ids=["identity", "space", "full"],
)
def test_the_jet_equals_nested_automatic_differentiation(framework, network, diffusion):
    case = small(framework, coupled_2d, network)
    objective, (x, y) = case.part("passes.objective"), case.batch["interior"]
    operator = replace(coupled_2d.interior.operator, diffusion=diffusion)
    equation = equation_of(case, replace(coupled_2d.interior, operator=operator))
    channels = objective.evaluate(equation, case.params, x, y).forward_pass.outputs[-1]
    value, gradient, curvature = case.numpy(operator.jet(channels))
    u, slope, bend = plain_jet(case, x)
    assert relative(value, u) <= 1e-13
    assert relative(gradient, slope.swapaxes(1, 2)) <= 1e-13
    assert relative(curvature, np.einsum("ij,nkij->nk", diffusion, bend)) <= 1e-12


@frameworks
@pytest.mark.parametrize("name", ["tanh", "sin"])
def test_derivatives_are_the_activation_s_derivatives(framework, name):
    case = small(framework, coupled_2d)
    z = np.linspace(-3, 3, 41)
    part = case.part("passes.activations")
    activation = part.ACTIVATIONS[name]
    derivatives = part.derivatives(activation, case.framework.backend.from_numpy(z), 4)
    assert len(part.derivatives(activation, derivatives[0], 1)) == 2
    derivatives = case.numpy(part.further(activation, derivatives))
    angles = 2 * np.pi * np.arange(32) / 32
    # Cauchy's integral on a circle
    around = getattr(np, name)(z[:, None] + 0.5 * np.exp(1j * angles))
    factorial = 1
    for order in range(6):
        factorial *= max(order, 1)
        derivative = (
            (around * np.exp(-1j * order * angles)).mean(1).real * factorial / 0.5**order
        )
        assert np.abs(derivatives[order] - derivative).max() <= 1e-9


@pytest.mark.parametrize(
    ("framework", "problem", "network"),
    where(
        product(PROBLEMS, NETWORKS),
        lambda problem, network: problem is coupled_2d or network == NETWORKS[0],
    ),
)
def test_gradient_and_jacobian_equal_automatic_differentiation(framework, problem, network):
    case = small(framework, problem, network)
    jacobian = autodiff(framework).jacobian
    part, count = case.part("passes.linearization"), len(case.params)
    terms = case.objective.linearize(case.params, case.batch)
    exact_blocks = exact_jacobians(case)
    for name, term in terms.items():
        blocks = np.concatenate(exact_blocks[name], axis=1)
        ours = np.concatenate(case.numpy(part.jacobian_blocks(term)), axis=1)
        assert relative(ours, blocks) <= 1e-12
        residual = case.numpy(term.residual)
        assert (
            relative(
                case.numpy(part.gradient(term)), blocks.T @ residual.ravel() / len(residual)
            )
            <= 1e-12
        )
        direction = [
            np.cos(np.arange(matrix.size)).reshape(matrix.shape) for matrix in case.start
        ]
        along = part.products(term, case.framework.backend.from_numpy_tree(direction))
        assert relative(case.numpy(along).ravel(), blocks @ vector(direction)) <= 1e-12
    exact = jacobian(
        lambda *params: case.objective.loss(list(params), case.batch),
        argnums=tuple(range(count)),
    )
    _, gradient = case.objective.gradient(case.params, case.batch)
    assert relative(case.numpy(gradient), list(case.numpy(exact(*case.params)))) <= 1e-12


@frameworks
@pytest.mark.parametrize("most", [2**17, 120, 1])
def test_engd_s_gramians_equal_automatic_differentiation(framework, most, monkeypatch):
    """(1/N) JᵀJ + (1/M) JᵀJ of the boundary: whole, one block per layer, its diagonal."""
    case = small(framework, coupled_2d, interior=7, boundary=3)
    monkeypatch.setattr(case.part("passes.linearization"), "most_numbers", lambda *_: most)
    whole, a_layer = [], []
    for term, blocks in exact_jacobians(case).items():
        rows, (x, _) = np.concatenate(blocks, axis=1), case.batch[term]
        whole.append(rows.T @ rows / len(x))
        a_layer.append([block.T @ block / len(x) for block in blocks])
    layers = [interior + boundary for interior, boundary in zip(*a_layer, strict=True)]
    diagonals = [np.diag(block) for block in layers]
    expected = {"engd": [sum(whole)], "engd_per_layer": layers, "engd_diagonal": diagonals}
    for name, blocks in expected.items():
        _, state, step = case.prepare(name, decay=0.5)
        _, state, _ = step(case.params, state, case.batch)
        gramian = [2 * block for block in case.numpy(state.gramian)]
        assert [block.shape for block in gramian] == [block.shape for block in blocks]
        assert relative(gramian, blocks) <= 1e-12


@frameworks
@every_problem
def test_cotangents_equal_automatic_differentiation(framework, problem):
    """q of a layer is the derivative of r by a shift of that layer's outputs."""
    case = small(framework, problem, interior=3, boundary=2)
    network, objective = case.part("passes.network"), case.part("passes.objective")
    inputs = case.part("passes.layer_inputs")
    x, y = case.batch["interior"]
    operator = problem.interior.operator
    equation = equation_of(case, problem.interior)
    term, jets = objective.linearize(equation, case.params, x, y), equation.jets(x)

    def residual(*shifts):
        jet = jets.begin().linear(case.params[0]) + shifts[0]
        for matrix, shift in zip(case.params[1:], shifts[1:], strict=True):
            jet, _ = jets.activate(network.ACTIVATIONS["tanh"], jet)
            jet = inputs.Channels(jet).linear(matrix) + shift
        return operator.apply(operator.jet(jet), x, y)

    shifts = [q[0] * 0 for q in term.cotangents]
    exact = autodiff(framework).jacobian(residual, argnums=tuple(range(len(shifts))))(
        *shifts
    )
    for q, whole in zip(term.cotangents, exact, strict=True):
        # the residual of a point depends on that point's rows alone
        own = np.einsum("ncsno->csno", case.numpy(whole))
        assert relative(case.numpy(q), own) <= 1e-12
