"""L-BFGS against torch.optim.LBFGS: trajectories, and the line search on its own."""

import numpy as np
import pytest
from small import frameworks, relative, small

import problems

torch = pytest.importorskip("torch")


def torch_lbfgs(case, fields, line_search, steps):
    """torch.optim.LBFGS on the framework's own losses and gradients."""
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    optimizer = torch.optim.LBFGS(
        theirs,
        lr=fields["learning_rate"],
        max_iter=fields["inner_iterations"],
        history_size=fields["history_size"],
        line_search_fn=line_search,
    )
    gradient = case.framework.backend.compile(case.objective.gradient)

    def closure():
        here = [case.framework.backend.from_numpy(matrix.detach().numpy()) for matrix in theirs]
        losses, slopes = case.numpy(gradient(here, case.batch))
        for matrix, slope in zip(theirs, slopes, strict=True):
            matrix.grad = torch.tensor(slope)
        return torch.tensor(float(sum(losses)), dtype=torch.float64)

    for _ in range(steps):
        optimizer.step(closure)
        yield [matrix.detach().numpy().copy() for matrix in theirs]


def assert_equal_walks(framework, name, line_search, steps, tolerance=1e-10, **fields):
    case = small(framework, problems.get("poisson_sine_2d"), interior=20, boundary=12)
    _, state, step = case.prepare(name, **fields)
    params = case.params
    for theirs in torch_lbfgs(case, fields, line_search, steps):
        params, state, _ = step(params, state, case.batch)
        assert relative(case.numpy(params), theirs) <= tolerance
    assert relative(case.numpy(params), case.start) > 1e-4


@frameworks
@pytest.mark.parametrize("history_size", [3, 100])
def test_equals_torch_without_line_search(framework, history_size):
    fields = {"learning_rate": 0.05, "inner_iterations": 2, "history_size": history_size}
    assert_equal_walks(framework, "lbfgs", None, 10, **fields)


@frameworks
def test_equals_torch_with_the_wolfe_search(framework):
    fields = {"learning_rate": 0.05, "inner_iterations": 1, "history_size": 100}
    assert_equal_walks(framework, "lbfgs_wolfe", "strong_wolfe", 10, **fields)


@frameworks
@pytest.mark.parametrize("inner_iterations", [4, 20])
@pytest.mark.parametrize(("name", "line_search"), [("lbfgs", None), ("lbfgs_wolfe", "strong_wolfe")])
def test_the_first_step_equals_torch(framework, name, line_search, inner_iterations):
    fields = {"learning_rate": 0.1, "inner_iterations": inner_iterations, "history_size": 3}
    assert_equal_walks(framework, name, line_search, 1, **fields)


@frameworks
def test_a_solved_problem_stays(framework):
    case = small(framework, problems.get("poisson_sine_2d"))
    _, state, step = case.prepare("lbfgs", tolerance_gradient=1e6)
    params, after, _ = step(case.params, state, case.batch)
    assert relative(case.numpy(params), case.start) == 0
    assert int(after.iterations) == 0


FUNCTIONS = {
    "bowl": (lambda t: (t - 1.0) ** 2, lambda t: 2 * (t - 1.0)),
    "valley": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "ripples": (lambda t: 0.1 * t * t - np.sin(3 * t) - t, lambda t: 0.2 * t - 3 * np.cos(3 * t) - 1),
    "kink": (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
    "cliff": (lambda t: np.exp(5 * (t - 2)) - t, lambda t: 5 * np.exp(5 * (t - 2)) - 1),
}


@frameworks
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("size", [1e-4, 0.03, 0.6, 2.5, 40.0])
@pytest.mark.parametrize("budget", [0, 1, 3, 25])
def test_the_line_search_equals_torch(framework, function, size, budget):
    from torch.optim.lbfgs import _strong_wolfe

    value, slope = FUNCTIONS[function]
    case = small(framework, problems.get("poisson_sine_2d"))
    put = case.framework.backend.from_numpy
    search, Point = case.part("strong_wolfe").strong_wolfe, case.part("strong_wolfe").Point

    def point(t):
        t = float(t)
        numbers = (np.array(float(v)) for v in (t, value(t), slope(t)))
        t, loss, gradient = map(put, numbers)
        return Point(t, loss, gradient.reshape(1), gradient)

    def theirs(x, t, d):
        return float(value(float(t))), torch.tensor([float(slope(float(t)))], dtype=torch.float64)

    f, g = theirs(None, 0.0, None)
    one = torch.ones(1, dtype=torch.float64)
    _, _, expected, evaluations = _strong_wolfe(theirs, None, size, one, f, g, g.dot(one), max_ls=budget)
    if framework == "jax":
        point = traceable(value, slope, Point)
    found, count = search(point, point(put(np.array(0.0))), put(np.array(size)), put(np.array(1.0)), 1e-9, budget)
    assert int(count) == evaluations
    assert float(found.size) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def traceable(value, slope, Point):
    """The same function for a compiled loop."""
    import jax

    def call(t):
        return tuple(np.array(float(f(float(t)))) for f in (value, slope))

    def point(t):
        shape = jax.ShapeDtypeStruct((), np.float64)
        loss, gradient = jax.pure_callback(call, (shape, shape), t)
        return Point(t, loss, gradient.reshape(1), gradient)

    return point
