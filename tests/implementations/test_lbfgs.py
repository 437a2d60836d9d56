"""L-BFGS against torch.optim.LBFGS without a line search, its direction pair by pair."""

from functools import partial

import numpy as np
import pytest
from oracle_lbfgs import descended, two_loop
from small import drawn, frameworks, relative, small

from optbench import problems

torch = pytest.importorskip("torch")
CURVED = 1e-10  # of torch.optim.LBFGS


def torch_lbfgs(case, fields, batches):
    """torch.optim.LBFGS on our gradients: parameters, inner iterations per step."""
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    optimizer = torch.optim.LBFGS(
        theirs,
        lr=fields["learning_rate"],
        max_iter=fields["inner_iterations"],
        history_size=fields["history_size"],
        tolerance_grad=fields.get("tolerance_gradient", 1e-7),
        tolerance_change=fields.get("tolerance_change", 1e-9),
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
    framework, steps, problem="poisson_sine_2d", redrawn=False, **fields
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
    _, state, step = case.prepare("lbfgs", **fields)
    params, iterations = case.params, []
    walk = torch_lbfgs(case, fields, batches)
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
    assert_equal_walks(framework, 10, **fields)


@frameworks
def test_equals_torch_with_new_points_every_step(framework):
    fields = {"learning_rate": 0.05, "inner_iterations": 4, "history_size": 5}
    assert assert_equal_walks(framework, 5, redrawn=True, **fields)[-1] == 20


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
        2,
        problem,
        inner_iterations=12,
        history_size=100,
        **fields,
    )
    assert counts[0] == iterations


@frameworks
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("dimension", "slots", "decades"), [(30, 40, 3), (30, 40, 8), (100, 20, 6)]
)
def test_the_direction_is_the_two_loop_recursion_s(
    framework, dimension, slots, decades, dtype
):
    case = small(framework, problems.get("poisson_sine_2d"))
    part, backend = case.part("solvers.lbfgs_history"), case.framework.backend
    remember, quasi_newton = map(backend.compile, (part.remember, part.quasi_newton))
    put, pairs, errors = backend.from_numpy, [], []
    history = part.empty(slots, put(np.zeros(dimension, dtype)))
    if framework == "torch":
        history = part.owned(history)
    # at first with free slots, at last with the second pair in each
    for pair, gradient in descended(dimension, decades, slots, 2 * slots, dtype):
        history = remember(history, *map(put, pair), 0.0)
        pairs = [*pairs, pair][-slots:]
        ours = case.numpy(quasi_newton(history, put(gradient)))
        exact = two_loop(pairs, gradient, np.longdouble)
        theirs = two_loop(pairs, gradient, dtype)
        errors.append([relative(direction, exact) for direction in (ours, theirs)])
    assert int(history.stored) == 2 * slots
    worst, of_the_recursion = np.max(errors, axis=0)
    assert worst <= 4 * of_the_recursion


@frameworks
def test_a_pair_without_curvature_is_not_kept(framework):
    case = small(framework, problems.get("poisson_sine_2d"))
    part, put = case.part("solvers.lbfgs_history"), case.framework.backend.from_numpy
    gradient, pairs = put(np.array([1.0, -2.0, 3.0])), part.empty(2, put(np.zeros(3)))
    for step in np.eye(3):  # one more than are kept
        pairs = part.remember(pairs, put(step), put(2 * step + 0.1), CURVED)
    direction = case.numpy(part.quasi_newton(pairs, gradient))
    for curvature, kept in ((-1.0, False), (0.0, False), (0.5e-10, False), (2e-10, True)):
        again = part.owned(pairs) if framework == "torch" else pairs
        again = part.remember(
            again,
            put(np.array([1e-5, 0, 0])),
            put(np.array([1e5 * curvature, 1e-6, 0])),
            CURVED,
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
    pairs = part.remember(
        part.empty(2, put(np.zeros(2))), put(np.ones(2)), put(np.ones(2)), CURVED
    )
    with np.errstate(all="ignore"):
        pairs = part.remember(
            pairs, put(np.array([1e120, 0])), put(np.array([far, 0])), CURVED
        )
    assert int(pairs.stored) == 1
    direction = part.quasi_newton(pairs, put(np.ones(2)))
    assert np.isfinite(case.numpy(direction)).all()


@frameworks
@pytest.mark.parametrize("inner_iterations", [4, 20])
def test_the_first_step_equals_torch(framework, inner_iterations):
    fields = {"learning_rate": 0.1, "inner_iterations": inner_iterations, "history_size": 3}
    assert_equal_walks(framework, 1, **fields)


@frameworks
def test_a_solved_problem_stays(framework):
    case = small(framework, problems.get("poisson_sine_2d"))
    _, state, step = case.prepare("lbfgs", tolerance_gradient=1e6)
    params, after, _ = step(case.params, state, case.batch)
    assert relative(case.numpy(params), case.start) == 0
    assert int(after.iterations) == 0
