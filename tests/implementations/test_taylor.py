"""Jets of any order, and all that is computed from them, against slow obvious ones."""

from dataclasses import replace
from functools import cache
from math import factorial

import numpy as np
import oracle
import posed
import pytest
from autodiff import autodiff, nested, nested_channels, nested_residual, plain_network
from made_up import DIFFUSION, coupled_2d
from numpy.polynomial import Polynomial
from small import drawn, frameworks, relative, small, vector

from optbench import problems
from optbench.problems.jets import along, partial, trace
from optbench.problems.problem import DIRICHLET, Operator, Term


def outer(x):
    """A full matrix at every point."""
    return x[:, :, None] * x[:, None, :]


def squares(x):
    """A diagonal matrix at every point."""
    return 1 + x * x


def turned(x):
    """A direction at every point."""
    return [1 + x[:, 0], x[:, 1] - x[:, 0]]


LAYOUTS = {
    "first order": {"a": partial(1)},
    "lines to order 4": {
        "a": along([1.0, -0.5], 4),
        "b": along([0.3, 2.0], 3),
        "c": along([1.0, 0.0], 2),
        "d": along([0.0, 2.0], 1),
    },
    "a line that turns": {"a": along(turned, 4), "b": along(turned, 2)},
    "mixed partials": {"a": partial(0, 1), "b": partial(0, 0, 1), "c": partial(0, 0, 1, 1)},
    "three and one": {"a": partial(0, 1, 1, 1)},
    "a full trace": {"a": trace(DIFFUSION)},
    "a diagonal trace": {"a": trace([1.0, -0.5])},
    "a trace on one axis": {"a": trace([0.0, 2.0]), "b": partial(0)},
    "a full trace at every point": {"a": trace(outer, axes=[0, 1])},
    "a diagonal trace at every point": {"a": trace(squares, axes=[1, 0])},
    "traces that share lines": {
        "a": trace(outer, axes=[0, 1]),
        "b": trace([1.0, -0.5]),
        "c": partial(0, 0, 0, 0),
        "d": partial(1),
        "e": trace(DIFFUSION),
        "f": along(turned, 2),
        "g": partial(0, 0, 1),
    },
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
activations = pytest.mark.parametrize("activation", ["tanh", "sin"])


@cache
def posed_with(layout):
    """A system of two unknowns and three components that reads a layout."""

    def residual(jet, x, y):
        read = [getattr(jet, name) for name in LAYOUTS[layout]]
        total = sum((k + 1) * part for k, part in enumerate(read))
        products = jet.value[:, :1] * read[-1][:, 1:] + read[0][:, :1] * read[-1][:, :1]
        return total[:, :1] - y[:, :1], total[:, 1:] * x[:, :1], products

    def points(generator, n):
        return generator.uniform(-1, 1, (n, 2)), generator.normal(size=(n, 3))

    terms = {
        "interior": Term(Operator(residual, reads=LAYOUTS[layout]), points, weight=0.5),
        "first": coupled_2d.terms["boundary"],
        "second": replace(coupled_2d.terms["boundary"], weight=4.0),
    }
    return replace(
        coupled_2d, terms=terms, interior=None, boundary=None, name=f"{layout} 2d"
    )


def equation_of(case, term):
    """A term as the passes read it."""
    like = [] if case.framework.name == "jax" else [case.params[0]]
    return case.objective.equation(term, *like)


@frameworks
@every_layout
@activations
def test_every_channel_is_nested_differentiation_s(framework, layout, activation):
    problem = posed_with(layout)
    case = small(framework, problem, f"{activation}_4_3", interior=3, boundary=1)
    term, (x, y) = problem.terms["interior"], case.batch["interior"]
    objective = case.part("passes.objective")
    at = objective.evaluate(equation_of(case, term), case.params, x, y)
    ours = case.numpy(at.forward_pass.outputs[-1])
    exact = case.numpy(nested_channels(case, term.operator, case.params, x))
    assert len(ours) == term.operator.channels
    for channel, expected in zip(ours, exact, strict=True):
        assert relative(channel, expected) <= 1e-12


@frameworks
@every_layout
@activations
def test_every_cotangent_is_the_transpose_of_the_way_there(framework, layout, activation):
    problem = posed_with(layout)
    case = small(framework, problem, interior=4, boundary=1)
    jets = equation_of(case, problem.terms["interior"]).jets(case.batch["interior"][0])
    part, put = case.part("passes.activations"), case.framework.backend.from_numpy
    sigma = part.ACTIVATIONS[activation]
    generator = np.random.default_rng(0)
    S = problem.terms["interior"].operator.channels
    jet = put(generator.normal(size=(S, 4, 3)))
    cotangents = generator.normal(size=(2, S, 4, 3))
    kept = jets.activate(sigma, jet)[1]
    ours = case.numpy(jets.activate_transposed(sigma, kept, jet, put(cotangents)))

    def there(jet):
        return jets.activate(sigma, jet)[0]

    whole = case.numpy(autodiff(framework).jacobian(there)(jet))
    expected = np.einsum("rsnh,snhtmk->rtmk", cotangents, whole)
    for channel in range(S):
        assert relative(ours[:, channel], expected[:, channel]) <= 1e-12


def square(case):
    """σ(z) = z², whose networks are polynomials."""
    part = case.part("passes.activations")
    higher = (
        lambda value, first: 0 * first + 2,
        *[lambda value, first: 0 * first] * 3,
    )
    return part.Activation(lambda z: (z * z, 2 * z), higher)


@frameworks
def test_a_line_of_a_polynomial_has_its_coefficients(framework, monkeypatch):
    problem = posed_with("lines to order 4")
    case = small(framework, problem, "tanh_3_2", interior=3, boundary=1)
    activations = case.part("passes.network").ACTIVATIONS
    monkeypatch.setitem(activations, "tanh", square(case))
    term, (x, y) = problem.terms["interior"], case.batch["interior"]
    at = case.part("passes.objective").evaluate(equation_of(case, term), case.params, x, y)
    ours = case.numpy(at.forward_pass.outputs[-1])
    layout = term.operator.layout
    for line, start in zip(layout.lines, layout.starts, strict=True):
        v = np.zeros(2)
        for axis, component in line.direction:
            v[axis] = component
        for n, point in enumerate(case.numpy(x)):
            z = [Polynomial([at, slope]) for slope, at in zip(v, point, strict=True)]
            for layer, matrix in enumerate(case.start):
                W, b = matrix[:, :-1], matrix[:, -1]
                z = [sum(w * p for w, p in zip(row, z, strict=True)) + c
                     for row, c in zip(W, b, strict=True)]  # fmt: skip
                if layer < len(case.start) - 1:
                    z = [p * p for p in z]
            coefficients = np.array([np.pad(p.coef, (0, 5))[:5] for p in z])
            for k in range(1, line.order + 1):
                derivative = factorial(k) * coefficients[:, k]
                assert ours[start + k - 1, n] == pytest.approx(derivative, rel=1e-12)


NETWORKS = {"black_scholes_barenblatt_100d": "tanh_3", "poisson_norm_100d": "tanh_3"}
every_problem = pytest.mark.parametrize("name", problems.names())


@cache
def of_registry(framework, name):
    problem = problems.get(name)
    weights = {term: 1 + k / 2 for k, term in enumerate(problem.terms)}
    network = NETWORKS.get(name, "tanh_4_3")
    return small(framework, problem.with_weights(weights), network, interior=3, boundary=2)


@cache
def exact_of_registry(name):
    """The oracle's linearization and Jacobian of every term, in NumPy."""
    problem = problems.get(name)
    params = problems.networks.initial_parameters(
        NETWORKS.get(name, "tanh_4_3"), problem.inputs, problem.outputs, 1
    )
    network = oracle.network(problem, NETWORKS.get(name, "tanh_4_3"))
    batch = drawn(problem, 3, 2)
    return {
        key: (
            oracle.linearized(term, params, batch[key], network),
            oracle.jacobian(term, params, batch[key], network),
        )
        for key, term in problem.terms.items()
    }


@frameworks
@every_problem
def test_a_problem_s_linearization_is_the_oracle_s(framework, name):
    """Residual, gradient, rows of J, cotangents and Kronecker factors of every term."""
    case = of_registry(framework, name)
    part = case.part("passes.linearization")
    terms = case.objective.linearize(case.params, case.batch)
    weighted = 0
    for key, (exact, J) in exact_of_registry(name).items():
        ours = terms[key]
        rows = np.concatenate(case.numpy(part.jacobian_blocks(ours)), axis=1)
        residual = exact.residual.ravel()
        scale = max(np.abs(residual).max(), np.abs(exact.residual).max())
        assert np.abs(case.numpy(ours.residual).ravel() - residual).max() <= 1e-11 * scale
        assert relative(rows, J) <= 1e-11
        slope = J.T @ residual / len(exact.residual)
        assert relative(vector(case.numpy(part.gradient(ours))), slope) <= 1e-11
        weighted = weighted + case.objective.problem.weights[key] * slope
        for q, expected in zip(case.numpy(ours.cotangents), exact.cotangents, strict=True):
            assert relative(q, expected) <= 1e-11
        for kind in ("expand", "reduce"):
            factors = case.numpy(part.kronecker_factors(ours, kind, "type-2"))
            pairs = zip(factors, oracle.kronecker_factors(exact, kind), strict=True)
            for (A, B), (A_exact, B_exact) in pairs:
                assert relative(A, A_exact) <= 1e-11
                assert relative(B, B_exact) <= 1e-11
    losses, gradient = case.objective.gradient(case.params, case.batch)
    assert relative(vector(case.numpy(gradient)), weighted) <= 1e-11
    assert list(losses.terms) == list(case.objective.problem.terms)


slow_in_jax = pytest.mark.parametrize(
    "framework",
    ["torch", pytest.param("jax", marks=pytest.mark.slow)],
)


@slow_in_jax
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in NETWORKS else [])
        for name in problems.names()
    ],
)
def test_a_problem_s_jacobian_is_nested_differentiation_s(framework, name):
    pytest.importorskip(framework)
    case = of_registry(framework, name)
    part, tools = case.part("passes.linearization"), autodiff(framework)
    layers = tuple(range(len(case.params)))
    for key, term in case.objective.problem.terms.items():
        x, y = case.batch[key]

        read = oracle.channels(term.operator, case.numpy(x))

        def residual(*params, term=term, x=x, y=y, read=read):
            return nested_residual(case, term, list(params), x, y, read)

        ours = case.objective.linearize(case.params, case.batch)[key]
        r = case.numpy(residual(*case.params))
        assert relative(case.numpy(ours.residual), r) <= 1e-11
        exact = case.numpy(tools.jacobian(residual, argnums=layers)(*case.params))
        exact = np.concatenate([block.reshape(r.size, -1) for block in exact], axis=1)
        rows = np.concatenate(case.numpy(part.jacobian_blocks(ours)), axis=1)
        assert relative(rows, exact) <= 1e-11


@pytest.mark.parametrize("name", ["kdv_1d", "kuramoto_sivashinsky_1d", "biharmonic_2d"])
def test_a_partial_is_the_derivative_that_its_name_says(name):
    """u_xxyy of the jet, by axes that are differentiated one after the other."""
    torch = pytest.importorskip("torch")
    case = of_registry("torch", name)
    problem = case.objective.problem
    operator, (x, y) = problem.terms["interior"].operator, case.batch["interior"]
    objective = case.part("passes.objective")
    at = objective.evaluate(equation_of(case, problem.terms["interior"]), case.params, x, y)
    jet, checked = operator.jet(at.forward_pass.outputs[-1]), 0
    for read in operator.reads:
        axes = [problem.axes.index(axis) for axis in read.partition("_")[2]]
        units = [torch.zeros_like(x) for _ in axes]
        for unit, axis in zip(units, axes, strict=True):
            unit[:, axis] = 1
        exact = nested(case, lambda x: plain_network(case, case.params, x), x, units)
        assert relative(getattr(jet, read).numpy(), exact.numpy()) <= 1e-11
        checked += 1
    assert checked == len(operator.reads) > 0


MIXED = {
    "kdv": posed.kdv(),
    "kovasznay": posed.kovasznay(),
    "convection": posed.convection(),
    "plate": posed.plate(),
    "shared": posed_with("traces that share lines"),
}


@frameworks
@pytest.mark.parametrize("name", MIXED)
@activations
def test_all_that_comes_from_a_linearization_is_its_dense_jacobian_s(
    framework, name, activation
):
    """The kernel, products, the diagonal, the weighted gradient, factors by the blocks."""
    problem = MIXED[name]
    case = small(framework, problem, f"{activation}_4_3", interior=4, boundary=3)
    part, kernel = case.part("passes.linearization"), case.part("passes.kernel")
    put = case.framework.backend.from_numpy
    made = oracle.network(problem, f"{activation}_4_3")
    batch = drawn(problem, 4, 3)
    terms = case.objective.linearize(case.params, case.batch)
    dense = {
        key: oracle.jacobian(term, case.start, batch[key], made)
        for key, term in problem.terms.items()
    }
    generator = np.random.default_rng(0)
    v = generator.normal(size=len(vector(case.start)))
    direction = case.framework.backend.from_numpy_tree(oracle.like(case.start, v))
    for key, J in dense.items():
        n, r = batch[key][1].shape
        along_v = case.numpy(part.products(terms[key], direction)).ravel()
        assert relative(along_v, J @ v) <= 1e-11
        w = generator.normal(size=(n, r))
        back = vector(case.numpy(part.transposed_products(terms[key], put(w))))
        assert relative(back, w.ravel() @ J) <= 1e-11
        diagonal = vector(case.numpy(part.squared_columns(terms[key])))
        assert relative(diagonal, (J**2).sum(0) / n) <= 1e-11
    J, r = oracle.weighted_rows(problem, case.start, batch, made)
    counts = kernel.row_counts(case.objective, case.batch)
    assert relative(case.numpy(kernel.scaled_kernel(counts, terms)), J @ J.T) <= 1e-11
    w = generator.normal(size=len(r))
    back = vector(case.numpy(kernel.transposed(counts, terms, put(w))))
    assert relative(back, w @ J) <= 1e-11
    losses, gradient = case.objective.gradient(case.params, case.batch)
    assert relative(vector(case.numpy(gradient)), J.T @ r) <= 1e-11
    assert float(losses.total) == pytest.approx(r @ r / 2, rel=1e-11)


@frameworks
@pytest.mark.parametrize("name", ["kdv", "shared"])
def test_the_product_with_the_hessian_is_the_gradient_s_slope(framework, name):
    problem = MIXED[name]
    case = small(framework, problem, "tanh_4_3", interior=4, boundary=3)
    made, batch = oracle.network(problem, "tanh_4_3"), drawn(problem, 4, 3)
    v = np.random.default_rng(0).normal(size=len(vector(case.start)))
    direction = case.framework.backend.from_numpy_tree(oracle.like(case.start, v))
    ours = case.objective.hessian_product(case.params, case.batch, direction)
    ahead, behind = (
        oracle.gramian_and_gradient(
            problem, oracle.like(case.start, vector(case.start) + h * v), batch, made
        )[1]
        for h in (1e-5, -1e-5)
    )
    assert relative(vector(case.numpy(ours)), (ahead - behind) / 2e-5) <= 1e-7


@frameworks
@pytest.mark.parametrize("name", ["kdv", "kovasznay", "shared"])
def test_chunks_are_the_whole(monkeypatch, framework, name):
    problem = MIXED[name]
    case = small(framework, problem, interior=11, boundary=7)
    part, objective = case.part("passes.linearization"), case.part("passes.objective")

    def everything(term):
        return (
            part.gradient(term),
            part.kronecker_factors(term, "expand", "type-2"),
            part.kronecker_factors(term, "reduce", "empirical"),
            part.squared_columns(term),
        )

    ends = []
    for most in (10**6, 25):
        monkeypatch.setattr(objective, "most_channels", lambda *_, most=most: most)
        means = case.objective.mean_over_points(everything, case.params, case.batch)
        joined = case.objective.joined_over_points(
            lambda term: term.residual, case.params, case.batch
        )
        losses, gradient = case.objective.gradient(case.params, case.batch)
        ends.append(case.numpy((means, joined, losses.terms, gradient)))
    for one, other in zip(*map(leaves, ends), strict=True):
        assert relative(one, other) <= 1e-12


def leaves(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [np.asarray(tree)]


@frameworks
def test_a_value_alone_is_one_channel(framework):
    problem = posed_with("first order")
    case = small(framework, problem)
    term = case.objective.linearize(case.params, case.batch)["first"]
    assert DIRICHLET.channels == 1
    assert all(a.channels() == 1 for a in term.inputs)
    assert all(q.shape[1] == 1 for q in term.cotangents)
