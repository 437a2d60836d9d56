"""Differential operators of a network by every way to compute them.

Ours are beside nested automatic differentiation in either framework, and in JAX beside folx
(a forward Laplacian) and `jax.experimental.jet` (Taylor mode along lines). Each is held
against nested differentiation before it is timed. `problem` is the operator, `optimizer`
none: the tables have these columns.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest

from optbench import implementations, problems
from optbench.problems import networks
from optbench.problems.jets import partial
from optbench.problems.problem import Operator, Term

NETWORK, POINTS = "tanh_64_64_48_48", 300  # if no others are given
AGREEMENT = 1e-8  # ‖a − b‖ / ‖b‖ over the points

KDV = {"t": partial(0), "x": partial(1), "xxx": partial(1, 1, 1)}
BIHARMONIC = {
    "xxxx": partial(0, 0, 0, 0),
    "xxyy": partial(0, 0, 1, 1),
    "yyyy": partial(1, 1, 1, 1),
}
# by name, with the number of inputs
OPERATORS = {
    "laplacian_2d": (2, Operator(lambda jet, x, y: jet.curvature, np.eye(2))),
    "laplacian_10d": (10, Operator(lambda jet, x, y: jet.curvature, np.eye(10))),
    "biharmonic_2d": (
        2,
        Operator(lambda jet, x, y: jet.xxxx + 2 * jet.xxyy + jet.yyyy, reads=BIHARMONIC),
    ),
    "kdv_1d": (
        2,
        Operator(lambda jet, x, y: jet.t + 6 * jet.value * jet.x + jet.xxx, reads=KDV),
    ),
}
WAYS = {"torch": ("ours", "nested"), "jax": ("ours", "nested", "folx", "jet")}


class Applied(NamedTuple):
    """An operator to be applied to a network at points of a framework."""

    framework: implementations.Framework
    name: str
    params: list[Any]
    x: Any  # [n, d]


@pytest.mark.parametrize("optimizer", ["any"])
@pytest.mark.parametrize("problem", OPERATORS)
@pytest.mark.parametrize(
    ("framework", "way"), [(name, way) for name in WAYS for way in WAYS[name]]
)
def test_operator(benchmark, request, framework, way, problem, optimizer):
    try:
        applied = make(
            framework,
            problem,
            request.config.getoption("network") or NETWORK,
            request.config.getoption("interior") or POINTS,
        )
    except implementations.FrameworkMissing as missing:
        pytest.skip(str(missing))
    function = checked(applied, way)
    benchmark(function)


def make(framework: str, operator: str, network: str, points: int) -> Applied:
    """Draw parameters and points; raises FrameworkMissing."""
    loaded = implementations.load(framework)
    inputs, _ = OPERATORS[operator]
    params = networks.initial_parameters(network, inputs, 1, seed=0)
    x = np.random.default_rng(0).uniform(-1, 1, (points, inputs))
    return Applied(
        loaded,
        operator,
        loaded.backend.from_numpy_tree(params),
        loaded.backend.from_numpy(x),
    )


def checked(applied: Applied, way: str) -> Callable[[], Any]:
    """Compile a way to compute the operator [n]; a call waits for it.

    Skips where its package is missing, or where it cannot do the operator; fails where its
    numbers are not those of nested differentiation.
    """
    known = ways(applied)
    function, expected = (compiled(applied, known[name]) for name in (way, "nested"))
    numbers = (applied.framework.backend.to_numpy(each()) for each in (function, expected))
    assert relative(*numbers) <= AGREEMENT
    return function


def relative(found: np.ndarray, known: np.ndarray) -> float:
    """Give ‖a − b‖ / ‖b‖."""
    return float(np.linalg.norm(found - known) / np.linalg.norm(known))


def compiled(applied: Applied, way: Callable[[Applied], Callable]) -> Callable[[], Any]:
    """Compile the function of parameters and points that a way makes."""
    backend = applied.framework.backend
    function = backend.compile(way(applied))

    def call() -> Any:
        result = function(applied.params, applied.x)
        backend.wait(result)
        return result

    return call


def ways(applied: Applied) -> dict[str, Callable[[Applied], Callable]]:
    """Name the ways of a framework."""
    known = {"ours": ours, "nested": nested, "folx": folx, "jet": jet}
    return {name: known[name] for name in WAYS[applied.framework.name]}


def ours(applied: Applied) -> Callable:
    """Push all points' jets through the layers."""
    backend: Any = applied.framework.backend  # a module
    passes = import_module(f"{backend.__package__}.passes.objective")
    # of this problem the network's activation alone matters here
    objective: Any = applied.framework.Objective(problems.get("poisson_sine_2d"), NETWORK)
    _, operator = OPERATORS[applied.name]
    term = Term(operator, lambda generator, n: (np.empty((n, 0)), np.empty((n, 1))))

    def apply(params, x):
        equation = objective.equation(term, params[0])
        return passes.evaluate(equation, params, x, x[:, :1]).residual[:, 0]

    return apply


def nested(applied: Applied) -> Callable:
    """Differentiate derivatives, as a user writes it first, at each point."""
    arrays, transforms = libraries(applied)

    def laplacian(function):
        return lambda x: arrays.trace(transforms.hessian(function)(x))

    def along(axis, function):
        def derivative(x):
            unit = arrays.eye(len(x), dtype=x.dtype)[axis]
            return transforms.jvp(function, (x,), (unit,))[1]

        return derivative

    def kdv(u):
        slope = partial_of(along, u, 1)
        third = partial_of(along, u, 1, 1, 1)
        return lambda x: along(0, u)(x) + 6 * u(x) * slope(x) + third(x)

    operators = {
        "laplacian_2d": laplacian,
        "laplacian_10d": laplacian,
        "biharmonic_2d": lambda u: laplacian(laplacian(u)),
        "kdv_1d": kdv,
    }

    def apply(params, x):
        operator = operators[applied.name](network(arrays, params))
        return transforms.vmap(operator)(x)

    return apply


def partial_of(along: Callable, function: Callable, *axes: int) -> Callable:
    """Take one derivative after another."""
    for axis in axes:
        function = along(axis, function)
    return function


def folx(applied: Applied) -> Callable:
    """Propagate the Laplacian forward, of it once more for the biharmonic operator."""
    library: Any = pytest.importorskip("folx", reason="folx is missing")
    arrays, transforms = libraries(applied)
    times = {"laplacian_2d": 1, "laplacian_10d": 1, "biharmonic_2d": 2}
    if applied.name not in times:
        pytest.skip(f"folx has no derivative as {applied.name} needs")

    def laplacian(function):
        return lambda x: library.forward_laplacian(function)(x).laplacian

    def apply(params, x):
        function = network(arrays, params)
        for _ in range(times[applied.name]):
            function = laplacian(function)
        return transforms.vmap(function)(x)

    return apply


def jet(applied: Applied) -> Callable:
    """Take derivatives along lines by JAX's own Taylor mode."""
    library: Any = pytest.importorskip("jax.experimental.jet")
    arrays, transforms = libraries(applied)

    def derivatives(function, x, direction, order):
        """Give f and its derivatives along v up to an order."""
        series = [arrays.asarray(direction, x.dtype)]
        series += [arrays.zeros_like(x)] * (order - 1)
        value, along = library.jet(function, (x,), (series,))
        return [value, *along]

    def laplacian(u, x):
        def second(unit):
            return derivatives(u, x, unit, 2)[2]

        return transforms.vmap(second)(arrays.eye(len(x))).sum()

    def biharmonic(u, x):
        # Δ² from four lines: u_xxyy = (D⁴₊ + D⁴₋ − 2 D⁴_x − 2 D⁴_y) / 12
        def fourth(direction):
            return derivatives(u, x, direction, 4)[4]

        lines = arrays.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
        weights = arrays.asarray([2 / 3, 2 / 3, 1 / 6, 1 / 6])
        return weights @ transforms.vmap(fourth)(lines)

    def kdv(u, x):
        _, t = derivatives(u, x, [1.0, 0.0], 1)
        value, slope, _, third = derivatives(u, x, [0.0, 1.0], 3)
        return t + 6 * value * slope + third

    operators = {
        "laplacian_2d": laplacian,
        "laplacian_10d": laplacian,
        "biharmonic_2d": biharmonic,
        "kdv_1d": kdv,
    }

    def apply(params, x):
        u = network(arrays, params)
        return transforms.vmap(lambda point: operators[applied.name](u, point))(x)

    return apply


def libraries(applied: Applied) -> tuple[Any, Any]:
    """Import the framework's modules of arrays and of transforms."""
    names = {"torch": ("torch", "torch.func"), "jax": ("jax.numpy", "jax")}
    arrays, transforms = map(import_module, names[applied.framework.name])
    return arrays, transforms


def network(arrays: Any, params: list[Any]) -> Callable:
    """Make u of a point x [d] as a user writes it."""

    def u(x):
        for matrix in params[:-1]:
            x = arrays.tanh(matrix[:, :-1] @ x + matrix[:, -1])
        return (params[-1][:, :-1] @ x + params[-1][:, -1])[0]

    return u
