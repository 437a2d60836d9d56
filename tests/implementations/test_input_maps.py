"""What the first layer sees of a point, in both frameworks: waves, boxes, features."""

from dataclasses import replace

import numpy as np
import oracle
import posed
import pytest
from autodiff import nested_channels
from small import drawn, frameworks, needs_both, relative, small, vector

from optbench import implementations, problems
from optbench.problems import input_maps

SINE = problems.get("poisson_sine_2d")
CONVECTION = posed.convection(modes=2)
CASES = [
    (CONVECTION, "tanh_4_3"),
    (CONVECTION, "box_3_sin_4_3"),
    (CONVECTION, "box_1_fourier_2_1.5_tanh_4_3"),
    (posed.kdv(), "box_3_tanh_4_3"),
    (posed.kdv(), "fourier_2_1.5_tanh_4_3"),
    (problems.get("taylor_green_2d"), "box_1_tanh_4_3"),
    (SINE, "box_3_tanh_4_3"),
    (SINE, "box_1_fourier_2_1.5_sin_4_3"),
]
every_case = pytest.mark.parametrize(
    ("problem", "network"), CASES, ids=lambda value: getattr(value, "name", value)
)


def equation_of(case, term):
    """A term as the passes read it."""
    like = [] if case.framework.name == "jax" else [case.params[0]]
    return case.objective.equation(term, *like)


def at_points(case, term, x):
    """The channels of the network at NumPy's points, as a NumPy array."""
    objective, put = case.part("passes.objective"), case.framework.backend.from_numpy
    y = put(np.zeros((len(x), term.components)))
    at = objective.evaluate(equation_of(case, term), case.params, put(x), y)
    return case.numpy(at.forward_pass.outputs[-1])


@frameworks
@every_case
def test_derivatives_are_those_by_the_raw_coordinates(framework, problem, network):
    case = small(framework, problem, network, interior=3, boundary=1)
    term, (x, _) = problem.terms["interior"], case.batch["interior"]
    ours = at_points(case, term, case.numpy(x))
    if term.operator.diffusion is None:
        exact = case.numpy(nested_channels(case, term.operator, case.params, x))
    else:
        made, operator = oracle.network(problem, network), term.operator
        points = case.numpy(x)
        units = oracle.forward(operator, case.start, points, made)[1]
        exact = oracle.stacked(units, oracle.channels(operator, points))
    for channel, expected in zip(ours, exact, strict=True):
        assert relative(channel, expected) <= 1e-11


@frameworks
@every_case
def test_gradient_and_rows_are_the_oracle_s(framework, problem, network):
    case = small(framework, problem, network, interior=4, boundary=2)
    made, batch = oracle.network(problem, network), drawn(problem, 4, 2)
    J, r = oracle.weighted_rows(problem, case.start, batch, made)
    _, gradient = case.objective.gradient(case.params, case.batch)
    assert relative(vector(case.numpy(gradient)), J.T @ r) <= 1e-11
    engd = case.framework.OPTIMIZERS["engd"]()
    rows = case.numpy(engd.rows(case.objective, case.params, case.batch)[1][0])
    assert relative(rows, J) <= 1e-11
    part = case.part("passes.linearization")
    terms = case.objective.linearize(case.params, case.batch)
    for name, term in problem.terms.items():
        exact = oracle.linearized(term, case.start, batch[name], made)
        factors = case.numpy(part.kronecker_factors(terms[name], "expand", "type-2"))
        pairs = zip(factors, oracle.kronecker_factors(exact), strict=True)
        for (A, B), (A_exact, B_exact) in pairs:
            assert relative(A, A_exact) <= 1e-11
            assert relative(B, B_exact) <= 1e-11


@frameworks
@pytest.mark.parametrize("network", ["tanh_4_3", "box_3_fourier_3_2.0_tanh_4"])
def test_a_periodic_axis_is_periodic_in_every_channel(framework, network):
    case = small(framework, CONVECTION, network)
    x = drawn(CONVECTION)["interior"][0]
    period = CONVECTION.periodic[1].period
    here, there = (
        at_points(case, CONVECTION.terms["interior"], x + np.array([0, shift]))
        for shift in (0, period)
    )
    half = at_points(case, CONVECTION.terms["interior"], x + np.array([0, period / 2]))
    for channel, expected, other in zip(there, here, half, strict=True):
        assert relative(channel, expected) <= 1e-13
        assert relative(channel, other) > 1e-3


@frameworks
@every_case
def test_values_are_those_of_numpy_s_map(framework, problem, network):
    case = small(framework, problem, network)
    x = drawn(problem)["interior"][0]
    h = x
    for made in input_maps.of(problem, network, 0):
        h = made(h)
    activation = getattr(np, "sin" if "_sin_" in network else "tanh")
    for matrix in case.start[:-1]:
        h = activation(h @ matrix[:, :-1].T + matrix[:, -1])
    expected = h @ case.start[-1][:, :-1].T + case.start[-1][:, -1]
    ours = case.objective.predict(case.params, case.framework.backend.from_numpy(x))
    assert relative(case.numpy(ours), expected) <= 1e-13


@needs_both
@pytest.mark.parametrize(
    ("problem", "network"),
    # a box with sines, and Fourier features, say what the others do
    [
        pytest.param(
            *case, marks=pytest.mark.medium if number in (1, 4) else pytest.mark.slow
        )
        for number, case in enumerate(CASES)
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_twins_agree(problem, network):
    gradients = []
    for framework in implementations.FRAMEWORKS:
        case = small(framework, problem, network)
        _, gradient = case.objective.gradient(case.params, case.batch)
        gradients.append(vector(case.numpy(gradient)))
    assert relative(*gradients) <= 1e-12


@frameworks
def test_the_seed_changes_the_features_and_nothing_else(framework):
    loaded = implementations.load(framework)
    for network, changes in (("box_3_tanh_4", False), ("fourier_2_1.5_tanh_4", True)):
        case = small(framework, CONVECTION, network)
        one, other, again = (
            case.numpy(
                loaded.Objective(CONVECTION, network, seed=seed).predict(
                    case.params, case.batch["interior"][0]
                )
            )
            for seed in (0, 1, 0)
        )
        assert np.array_equal(one, again)
        assert (relative(one, other) > 1e-6) == changes


@frameworks
@pytest.mark.parametrize("wrong", ["period", "chain rule"])
def test_a_wrong_map_is_noticed(monkeypatch, framework, wrong):
    """A period off by a factor of two; a box whose derivatives lack the chain rule."""
    network = "box_3_tanh_4_3"
    case = small(framework, CONVECTION, network)
    right = input_maps.of

    def mutant(problem, network, seed):
        (made,) = right(problem, network, seed)
        matrix = made.matrix.copy()
        rows = made.waves if wrong == "period" else ~made.waves
        matrix[rows, :-1] /= 2
        return (replace(made, matrix=matrix),)

    monkeypatch.setattr(input_maps, "of", mutant)
    broken = case._replace(objective=case.framework.Objective(CONVECTION, network))
    with pytest.raises(AssertionError):
        assert_gradient(broken)
    monkeypatch.undo()
    assert_gradient(case)


def assert_gradient(case):
    problem, network = case.objective.problem, case.objective.network
    made, batch = oracle.network(problem, network), drawn(problem)
    J, r = oracle.weighted_rows(problem, case.start, batch, made)
    _, gradient = case.objective.gradient(case.params, case.batch)
    assert relative(vector(case.numpy(gradient)), J.T @ r) <= 1e-11
