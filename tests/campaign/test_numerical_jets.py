"""Derivatives from values are those of formulas, to an accuracy that is known."""

import math
from itertools import combinations_with_replacement

import numpy as np
import pytest

from optbench.campaign.numerical_jets import jet_of
from optbench.problems import jets
from optbench.problems.domains import outward_normal
from optbench.problems.jets import along, partial, trace
from optbench.problems.problem import Operator

X = np.random.default_rng(0).random((7, 2))
ORDERS = (1, 2, 3, 4)
EXTENDED = np.finfo(np.longdouble).eps < 1e-18  # not on every platform
SLACK = 1 if EXTENDED else 10_000
# of a derivative's largest value, by order: where the function keeps extended precision,
# and where its values are float64
ACCURACY = {1: 1e-14, 2: 1e-13, 3: 1e-12, 4: 1e-11}
ROUNDED = {1: 1e-13, 2: 1e-12, 3: 1e-10, 4: 1e-9}


def pole(x, order=0):
    """Of 1/(1 + s²) = -Im 1/(s + i) with s = 5 (x - 0.3): poles at a distance of 0.2."""
    s = 5 * (x[:, :1] - 0.3)
    return -((-5.0) ** order) * math.factorial(order) * np.imag((s + 1j) ** -(order + 1))


# functions of the first input, and their derivatives of an order
FUNCTIONS = {
    "exp": (
        lambda x: np.exp(3 * x[:, :1]),
        lambda x, order: 3**order * np.exp(3 * x[:, :1]),
    ),
    "sin": (
        lambda x: np.sin(9 * x[:, :1]),
        lambda x, order: 9**order * np.sin(9 * x[:, :1] + order * np.pi / 2),
    ),
    "pole": (lambda x: 1 / (1 + 25 * (x[:, :1] - 0.3) ** 2), pole),
    "power": (
        lambda x: x[:, :1] ** 3,
        lambda x, order: math.perm(3, order) * x[:, :1] ** max(0, 3 - order),
    ),
}


def reading(**reads):
    return Operator(lambda jet, x, y: jet.value - y, reads=reads)


def read(function, operator, x=X, widths=1.0):
    """What an operator reads, by name."""
    return operator.jet(jet_of(function, operator, x, widths).channels)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("extended", [True, False], ids=["extended", "float64"])
def test_derivatives_of_every_order_are_those_of_formulas(function, order, extended):
    of_values, derivative = FUNCTIONS[function]

    def given(x):
        return of_values(x) if extended else of_values(x).astype(np.float64)

    found = jet_of(given, reading(u=partial(*[0] * order)), X)
    expected = derivative(X, order)
    size = 1 + np.abs(expected).max()
    accuracy = (ACCURACY if extended and EXTENDED else ROUNDED)[order] * SLACK * size
    off = np.abs(found.channels[order] - expected)
    assert off.max() <= accuracy
    # the error that it states is not too small, and not much too large
    assert (off <= found.errors[order] + 1e-14 * size).all()
    assert found.errors[order].max() <= 100 * accuracy


def product(x):
    """With derivatives of every order in both inputs, and a second output."""
    u = np.exp(2 * x[:, :1]) * np.sin(3 * x[:, 1:2] + 0.4)
    return np.concatenate([u, np.cos(x[:, :1] - 2 * x[:, 1:2])], 1)


def product_derivative(x, first, second):
    a = 2**first * np.exp(2 * x[:, :1])
    b = 3**second * np.sin(3 * x[:, 1:2] + 0.4 + second * np.pi / 2)
    c = (-2.0) ** second * np.cos(x[:, :1] - 2 * x[:, 1:2] + (first + second) * np.pi / 2)
    return np.concatenate([a * b, c], 1)


EVERY_PARTIAL = [
    axes for order in ORDERS for axes in combinations_with_replacement((0, 1), order)
]


@pytest.mark.parametrize("axes", EVERY_PARTIAL)
def test_every_partial_derivative_is_that_of_the_formula(axes):
    named = read(product, reading(u=partial(*axes)))
    expected = product_derivative(X, axes.count(0), axes.count(1))
    assert np.abs(named.u - expected).max() <= 1e-11 * SLACK * np.abs(expected).max()


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1, 2, 2), (3, 0, 1, 0), (0, 1, 2, 3)])
def test_partial_derivatives_by_more_inputs(axes):
    x = np.random.default_rng(1).random((5, 4))
    slopes = np.array([4.0, 2.0, 1.0, 0.5])
    named = read(lambda x: np.sin(x @ slopes)[:, None], reading(u=partial(*axes)), x)
    expected = np.prod(slopes[list(axes)]) * np.sin(x @ slopes + len(axes) * np.pi / 2)
    np.testing.assert_allclose(named.u[:, 0], expected, rtol=0, atol=1e-11 * SLACK)


@pytest.mark.parametrize("form", jets.FORMS)
def test_a_form_that_is_off_by_a_millionth_is_seen(form, monkeypatch):
    axes = [axis for axis, count in enumerate(form) for _ in range(count)]
    x = np.random.default_rng(1).random((5, 4))
    slopes = np.array([4.0, 2.0, 1.0, 0.5])
    expected = np.prod(slopes[axes]) * np.sin(x @ slopes + len(axes) * np.pi / 2)

    def off():
        named = read(lambda x: np.sin(x @ slopes)[:, None], reading(u=partial(*axes)), x)
        return np.abs(named.u[:, 0] - expected).max()

    assert off() <= 1e-11 * SLACK
    for number, (weight, line) in enumerate(jets.FORMS[form]):
        spoiled = list(jets.FORMS[form])
        spoiled[number] = (weight * (1 + 1e-6), line)
        monkeypatch.setitem(jets.FORMS, form, tuple(spoiled))
        assert off() > 1e-10
        spoiled[number] = (weight, tuple(2 * c for c in line))
        monkeypatch.setitem(jets.FORMS, form, tuple(spoiled))
        assert off() > 1e-4
        spoiled[number] = (weight, line)
        monkeypatch.setitem(jets.FORMS, form, tuple(spoiled))


def test_a_short_form_has_the_channels_of_a_jet():
    A = np.array([[2.0, 0.5], [0.5, 1.0]])
    jet = read(product, Operator(lambda jet, x, y: jet.value - y, A))
    slopes = [product_derivative(X, 1, 0), product_derivative(X, 0, 1)]
    second = {axes: product_derivative(X, *axes) for axes in ((2, 0), (1, 1), (0, 2))}
    curvature = 2 * second[2, 0] + second[1, 1] + second[0, 2]
    np.testing.assert_array_equal(jet.value, product(X))
    np.testing.assert_allclose(
        jet.gradient, np.stack(slopes, 1), rtol=0, atol=1e-12 * SLACK
    )
    np.testing.assert_allclose(jet.curvature, curvature, rtol=0, atol=1e-11 * SLACK)


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[2.0, 0.5], [0.5, 1.0]]),
        np.array([3.0, -1.0]),
        np.array([0.0, 1.0]),
        np.zeros(2),
        lambda x: np.stack([x[:, 0] ** 2, 1 + x[:, 1]], 1),
        lambda x: x[:, :, None] * x[:, None, :] + np.eye(2),
    ],
)
def test_traces_are_sums_of_second_derivatives(matrix):
    read_trace = trace(matrix, (0, 1)) if callable(matrix) else trace(matrix)
    A = matrix(X) if callable(matrix) else np.broadcast_to(matrix, (7, *matrix.shape))
    A = A if A.ndim == 3 else A[:, :, None] * np.eye(2)
    if A.any():
        named = read(product, reading(lap=read_trace))
        expected = sum(
            A[:, i, j, None] * product_derivative(X, 2 - i - j, i + j)
            for i in (0, 1)
            for j in (0, 1)
        )
        np.testing.assert_allclose(named.lap, expected, rtol=0, atol=1e-11 * SLACK)


def test_directions_may_depend_on_the_point():
    def turning(x):
        return [x[:, 1], 2 - x[:, 0]]

    x = X.copy()
    x[:, 1] = X[:, 1].round()  # on two faces of the square
    normal = outward_normal(np.zeros(2), np.ones(2), [1])
    named = read(
        product,
        reading(u_v=along(turning, 2), u_n=along(normal), u_c=along([3.0, -4.0], 3)),
        x,
    )
    a, b = turning(x)[0][:, None], turning(x)[1][:, None]
    second = [product_derivative(x, *axes) for axes in ((2, 0), (1, 1), (0, 2))]
    expected = a**2 * second[0] + 2 * a * b * second[1] + b**2 * second[2]
    np.testing.assert_allclose(named.u_v, expected, rtol=0, atol=1e-10 * SLACK)
    outward = np.where(x[:, 1:] == 1, 1, -1)
    np.testing.assert_allclose(
        named.u_n, outward * product_derivative(x, 0, 1), rtol=0, atol=1e-12 * SLACK
    )
    powers = [math.comb(3, k) * 3 ** (3 - k) * (-4.0) ** k for k in range(4)]
    third = sum(w * product_derivative(x, 3 - k, k) for k, w in enumerate(powers))
    np.testing.assert_allclose(named.u_c, third, rtol=1e-10, atol=1e-8 * SLACK)


def test_a_direction_that_is_0_has_derivatives_that_are_0():
    found = jet_of(product, reading(u=along(lambda x: 0 * x, 3)), X)
    np.testing.assert_array_less(np.abs(found.channels[1:]), 1e-10 * SLACK)
    np.testing.assert_array_less(found.errors[1:], 1e-8 * SLACK)


def test_the_box_may_be_of_any_size():
    """Lines are as long as the box allows in every input."""
    stretch = np.array([1e-4, 1e4])
    operator = reading(u_xxx=partial(0, 0, 0), u_yyyy=partial(1, 1, 1, 1))
    named = read(lambda x: product(x / stretch), operator, X * stretch, stretch)
    for found, axes in ((named.u_xxx, (3, 0)), (named.u_yyyy, (0, 4))):
        expected = product_derivative(X, *axes)
        scaled = found * np.prod(stretch ** np.array(axes))
        np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-11 * SLACK)


@pytest.mark.parametrize(
    "function",
    [lambda x: np.log(x[:, :1]), lambda x: np.linalg.norm(x, axis=1, keepdims=True)],
)
def test_derivatives_are_found_where_a_line_leaves_the_domain_or_is_not_analytic(function):
    x = np.array([[0.05, 0.3], [0.6, 0.02]])
    operator = reading(u=trace([1.0, 1.0]))
    found = jet_of(function, operator, x)
    r = np.linalg.norm(x, axis=1, keepdims=True)
    expected = -1 / x[:, :1] ** 2 if function(x)[0] < 0 else 1 / r
    np.testing.assert_allclose(found.channels[-1], expected, rtol=1e-9)
    assert (np.abs(found.channels[-1] - expected) <= found.errors[-1] + 1e-13).all()


def test_derivatives_at_the_edge_of_a_function_that_fails_beyond_it():
    def strict(x):
        if (x[:, 0] < 0).any() or (x[:, 0] > 1).any():
            raise ValueError("beyond the box")
        return np.exp(x[:, :1] + 2 * x[:, 1:])

    x = np.array([[0.0, 0.3], [1.0, 0.6], [1e-9, 0.5]])
    named = read(strict, reading(u_t=partial(0), u_tt=partial(0, 0)), x)
    np.testing.assert_allclose(named.u_t, strict(x), rtol=1e-11 * SLACK)
    np.testing.assert_allclose(named.u_tt, strict(x), rtol=1e-9 * SLACK)


def test_what_is_not_known_is_said_to_be_unknown():
    def noise(x):
        return np.random.default_rng(len(x)).random((len(x), 1))

    found = jet_of(noise, reading(u=partial(0, 0)), X)
    assert (found.errors[2] > np.abs(found.channels[2]) / 1e3).all()
    nowhere = jet_of(lambda x: np.sqrt(x[:, :1] - 5), reading(u=partial(0)), X)
    assert np.isinf(nowhere.errors[1]).all()
