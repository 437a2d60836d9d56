"""L-BFGS against torch.optim.LBFGS: trajectories, and the line search on its own."""

from functools import cache, partial

import numpy as np
import pytest
from small import drawn, frameworks, relative, small

from optbench import problems

torch = pytest.importorskip("torch")


def torch_lbfgs(case, fields, line_search, batches):
    """torch.optim.LBFGS on our gradients: parameters, inner iterations per step."""
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    optimizer = torch.optim.LBFGS(
        theirs,
        lr=fields["learning_rate"],
        max_iter=fields["inner_iterations"],
        history_size=fields["history_size"],
        tolerance_grad=fields.get("tolerance_gradient", 1e-7),
        tolerance_change=fields.get("tolerance_change", 1e-9),
        line_search_fn=line_search,
    )
    differentiate = case.framework.backend.compile(case.objective.gradient)

    def closure(batch):
        here = [
            case.framework.backend.from_numpy(matrix.detach().numpy()) for matrix in theirs
        ]
        losses, gradient = case.numpy(differentiate(here, batch))
        for matrix, entries in zip(theirs, gradient, strict=True):
            matrix.grad = torch.tensor(entries)
        return torch.tensor(float(sum(losses.terms.values())), dtype=torch.float64)

    for batch in batches:
        optimizer.step(partial(closure, batch))
        yield (
            [matrix.detach().numpy().copy() for matrix in theirs],
            optimizer.state[theirs[0]]["n_iter"],
        )


def assert_equal_walks(
    framework, name, line_search, steps, problem="poisson_sine_2d", redrawn=False, **fields
):
    """Returns the inner iterations done after each step."""
    problem = problems.get(problem)
    case = small(framework, problem, interior=20, boundary=12)
    batches = [
        case.framework.backend.from_numpy_tree(
            drawn(problem, 20, 12, index=index * redrawn)
        )
        for index in range(steps)
    ]
    _, state, step = case.prepare(name, **fields)
    params, iterations = case.params, []
    walk = torch_lbfgs(case, fields, line_search, batches)
    for batch, (theirs, theirs_iterations) in zip(batches, walk, strict=True):
        params, state, _ = step(params, state, batch)
        assert relative(case.numpy(params), theirs) <= 1e-10
        iterations.append(int(state.iterations))
        assert iterations[-1] == theirs_iterations
    assert relative(case.numpy(params), case.start) > 1e-4
    return iterations


@frameworks
@pytest.mark.parametrize("history_size", [3, 100])
def test_equals_torch_without_line_search(framework, history_size):
    fields = {"learning_rate": 0.05, "inner_iterations": 2, "history_size": history_size}
    assert_equal_walks(framework, "lbfgs", None, 10, **fields)


@frameworks
def test_equals_torch_with_new_points_every_step(framework):
    fields = {"learning_rate": 0.05, "inner_iterations": 4, "history_size": 5}
    assert assert_equal_walks(framework, "lbfgs", None, 5, redrawn=True, **fields)[-1] == 20


# where each condition alone ends a step, after how many of its twelve inner iterations
STOPS = {
    "step": (1, "poisson_sine_2d", {"learning_rate": 0.05, "tolerance_change": 0.01}),
    "loss": (6, "heat_sine_1d", {"learning_rate": 0.5, "tolerance_change": 2e-3}),
    "gradient": (4, "heat_sine_1d", {"learning_rate": 0.5, "tolerance_gradient": 0.1}),
    "slope": (3, "heat_sine_1d", {"learning_rate": 1.0, "tolerance_change": 0.01}),
}


@frameworks
@pytest.mark.parametrize("condition", STOPS)
def test_each_condition_ends_a_step_as_torch_s(framework, condition):
    iterations, problem, fields = STOPS[condition]
    counts = assert_equal_walks(
        framework,
        "lbfgs",
        None,
        2,
        problem,
        inner_iterations=12,
        history_size=100,
        **fields,
    )
    assert counts[0] == iterations


@frameworks
def test_a_pair_without_curvature_is_not_kept(framework):
    case = small(framework, problems.get("poisson_sine_2d"))
    part, put = case.part("solvers.lbfgs_history"), case.framework.backend.from_numpy
    gradient, pairs = put(np.array([1.0, -2.0, 3.0])), part.empty(2, put(np.zeros(3)))
    for step in np.eye(3):  # one more than are kept
        pairs = part.remember(pairs, put(step), put(2 * step + 0.1))
    direction = case.numpy(part.quasi_newton(pairs, gradient))
    for curvature, kept in ((-1.0, False), (0.0, False), (0.5e-10, False), (2e-10, True)):
        again = part.owned(pairs) if framework == "torch" else pairs
        again = part.remember(
            again, put(np.array([1e-5, 0, 0])), put(np.array([1e5 * curvature, 1e-6, 0]))
        )
        assert int(again.stored) == 3 + kept
        assert (
            np.array_equal(case.numpy(part.quasi_newton(again, gradient)), direction)
            != kept
        )


@frameworks
@pytest.mark.parametrize("far", [1e200, np.inf, np.nan])
def test_a_pair_that_is_not_finite_is_not_kept(framework, far):
    case = small(framework, problems.get("poisson_sine_2d"))
    part, put = case.part("solvers.lbfgs_history"), case.framework.backend.from_numpy
    pairs = part.remember(part.empty(2, put(np.zeros(2))), put(np.ones(2)), put(np.ones(2)))
    with np.errstate(all="ignore"):
        pairs = part.remember(pairs, put(np.array([1e120, 0])), put(np.array([far, 0])))
    assert int(pairs.stored) == 1
    direction = part.quasi_newton(pairs, put(np.ones(2)))
    assert np.isfinite(case.numpy(direction)).all()


@frameworks
def test_equals_torch_with_the_wolfe_search(framework):
    fields = {"learning_rate": 0.05, "inner_iterations": 1, "history_size": 100}
    assert_equal_walks(framework, "lbfgs_wolfe", "strong_wolfe", 10, **fields)


@frameworks
@pytest.mark.parametrize("inner_iterations", [4, 20])
@pytest.mark.parametrize(
    ("name", "line_search"), [("lbfgs", None), ("lbfgs_wolfe", "strong_wolfe")]
)
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
    "ripples": (
        lambda t: 0.1 * t * t - np.sin(3 * t) - t,
        lambda t: 0.2 * t - 3 * np.cos(3 * t) - 1,
    ),
    "kink": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "cliff": (lambda t: np.exp(5 * (t - 2)) - t, lambda t: 5 * np.exp(5 * (t - 2)) - 1),
    # no numbers beyond: the loss is none, or its slope alone, or the loss is infinite
    "root": (
        lambda t: np.sqrt(1.5 - t) - t if t < 1.5 else np.nan,
        lambda t: -0.5 / np.sqrt(1.5 - t) - 1 if t < 1.5 else np.nan,
    ),
    "corner": (lambda t: -t, lambda t: -1.0 if t < 1.5 else np.nan),
    "wall": (lambda t: -t if t < 1.5 else np.inf, lambda t: -1.0),
    "nowhere": (lambda t: 0.0 if t == 0 else np.nan, lambda t: -1.0),
}


@frameworks
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("size", [1e-4, 0.03, 0.6, 2.5, 40.0])
@pytest.mark.parametrize("budget", [0, 1, 3, 25])
def test_the_line_search_equals_torch(framework, function, size, budget):
    from torch.optim.lbfgs import _strong_wolfe

    value, slope = FUNCTIONS[function]

    def theirs(x, t, d):
        loss, gradient = float(value(float(t))), float(slope(float(t)))
        usable = np.isfinite(loss) and np.isfinite(gradient)
        return loss if usable else np.inf, torch.tensor(
            # not a number, where it would give their cubic a minimum that is none
            [gradient if usable else np.nan],
            dtype=torch.float64,
        )

    f, g = theirs(None, 0.0, None)
    one = torch.ones(1, dtype=torch.float64)
    _, _, expected, evaluations = _strong_wolfe(
        theirs, None, size, one, f, g, g.dot(one), max_ls=budget
    )
    point_at_end, count = search(framework, function)(size, budget)
    assert int(count) == evaluations
    assert np.isfinite(float(point_at_end.loss))
    assert float(point_at_end.size) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


@cache
def search(framework, function):
    """Our search along a function, by its first size and its budget, compiled once."""
    value, slope = FUNCTIONS[function]
    case = small(framework, problems.get("poisson_sine_2d"))
    put, part = case.framework.backend.from_numpy, case.part("solvers.strong_wolfe")

    def point(t):
        t = float(t)
        numbers = (np.array(float(v)) for v in (t, value(t), slope(t)))
        t, loss, gradient = map(put, numbers)
        return part.Point(t, loss, gradient.reshape(1), gradient)

    if framework == "jax":
        point = traceable(value, slope, part.Point)

    def along(size, budget):
        return part.strong_wolfe(point, point(put(np.array(0.0))), size, one, budget)

    one, along = put(np.array(1.0)), case.framework.backend.compile(along)
    return lambda size, budget: along(put(np.array(size)), budget)


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
