"""Hessian-free and its conjugate gradients against SciPy, autodiff and plain NumPy."""

from functools import cache, partial
from itertools import pairwise

import numpy as np
import oracle_steps
import pytest
from made_up import coupled_2d
from oracle import flat, gramian_and_gradient, like
from scipy.sparse.linalg import cg as scipy_cg
from small import drawn, frameworks, needs, relative, small, vector

from optbench import problems

HEAT = problems.get("heat_sum_2d")


@cache
def case(framework, problem=HEAT):
    return small(framework, problem, "tanh_4_3", interior=6, boundary=4)


@cache
def prepared(framework, problem=HEAT, **fields):
    """The optimizer, its state and its step, compiled once; λ is the state's."""
    return case(framework, problem).prepare("hessian_free", **fields)


def numpy_case(framework, problem=HEAT):
    """The parameters and the batch in NumPy."""
    return case(framework, problem).start, drawn(problem, 6, 4)


def solve(framework, A, b, start, cap):
    """Our conjugate gradients of a dense system, compiled, in NumPy."""
    here = case(framework)
    part, put = here.part("solvers.conjugate_gradients"), here.framework.backend.from_numpy

    def of(A, b, start):
        return part.conjugate_gradients(lambda v: A @ v, b, start, cap)

    return here.numpy(here.framework.backend.compile(of)(*map(put, (A, b, start))))


def kept(solution, cap):
    """The kept iterates by iteration."""
    last = int(solution.at.iteration)
    stored = oracle_steps.stored_iterations(last, cap)
    return dict(zip(stored, solution.iterates[: len(stored)], strict=True))


def laplacian(shift):
    """−d²/dx² on 300 points, shifted: a long way for CG with little rounding."""
    return np.diag(np.full(300, 2.0 + shift)) - np.eye(300, k=1) - np.eye(300, k=-1)


@frameworks
@pytest.mark.parametrize("operator", ["network", "laplacian"])
def test_iterates_are_scipy_s(framework, operator):
    G = gramian_and_gradient(HEAT, *numpy_case(framework))[0]
    A = G + 2.0 * np.eye(len(G)) if operator == "network" else laplacian(1.0)
    b, x0 = np.random.default_rng(0).normal(size=(2, len(A)))
    theirs = [x0]
    scipy_cg(A, b, x0, rtol=1e-5, maxiter=50, callback=lambda x: theirs.append(x.copy()))
    solution = solve(framework, A, b, x0, 50)
    assert solution.at.iteration == len(theirs) - 1 >= 4
    for iteration, x in kept(solution, 50).items():
        assert relative(x, theirs[iteration]) <= 1e-10


@frameworks
@pytest.mark.parametrize(
    ("shift", "cap", "why", "reached"),
    [
        (1.0, 50, "solved", 13),
        (3e-3, 500, "progress", 77),
        (1e-4, 500, "progress", 262),  # beyond the hundredth the window grows
        (1e-4, 8, "cap", 8),  # an iteration of the grid
        (1e-4, 9, "cap", 9),
    ],
)
def test_truncation_is_the_plain_one(framework, shift, cap, why, reached):
    A, b, x0 = laplacian(shift), np.random.default_rng(0).normal(size=300), np.zeros(300)
    xs, models, plain_why = oracle_steps.truncated_cg(A, b, x0, cap)
    solution = solve(framework, A, b, x0, cap)
    assert plain_why == why
    assert solution.at.iteration == len(xs) - 1 == reached
    assert relative(solution.models[: len(models)], np.array(models)) <= 1e-10
    for iteration, x in kept(solution, cap).items():
        assert np.linalg.norm(x - xs[iteration]) <= 1e-10 * np.linalg.norm(xs[-1])


@frameworks
def test_memory_is_bounded_and_zero_is_solved(framework):
    part = case(framework).part("solvers.conjugate_gradients")
    assert part.slots(250) == 21
    assert part.slots(10**6) < 55
    solution = solve(framework, np.eye(4), np.zeros(4), np.zeros(4), 20)
    assert solution.at.iteration == 0
    assert not solution.at.x.any()


@frameworks
@pytest.mark.parametrize("problem", [HEAT, coupled_2d], ids=lambda problem: problem.name)
def test_products_are_those_of_dense_matrices(framework, problem):
    here = case(framework, problem)
    part, put = here.part("passes.curvature"), here.framework.backend.from_numpy

    def both(v, params, batch):
        chunks = here.objective.linearize_chunks(params, batch)
        return part.gauss_newton(here.objective, params, chunks, v), part.hessian(
            here.objective, params, batch, v
        )

    start, batch = numpy_case(framework, problem)
    v = np.random.default_rng(0).normal(size=len(flat(start)))
    result = here.numpy(
        here.framework.backend.compile(both)(put(v), here.params, here.batch)
    )
    assert relative(result[0], gramian_and_gradient(problem, start, batch)[0] @ v) <= 1e-12
    ahead, behind = (
        gramian_and_gradient(problem, like(start, flat(start) + h * v), batch)[1]
        for h in (1e-5, -1e-5)
    )
    assert relative(result[1], (ahead - behind) / 2e-5) <= 1e-7
    assert relative(*result) > 1e-3


STEPS = [  # between them every branch: see `test_the_cases_go_everywhere`
    (HEAT, {"damping": 1e-2, "cg_max_iterations": 12}, 3),
    (
        coupled_2d,
        {"damping": 0.1, "adapt_damping": False, "cg_decay": 0.5, "cg_max_iterations": 6},
        4,
    ),
]
ONE = STEPS[0][1]  # the hyperparameters of the step that all tests share


@frameworks
@pytest.mark.parametrize(("problem", "fields", "steps"), STEPS)
def test_steps_equal_the_oracle(framework, problem, fields, steps):
    here = case(framework, problem)
    _, state, step = prepared(framework, problem, **fields)
    params = here.params
    path = oracle_steps.hessian_free_steps(
        problem, *numpy_case(framework, problem), steps, **fields
    )
    for theirs, damping, _ in path:
        params, state, _ = step(params, state, here.batch)
        # longer runs amplify rounding without bound
        assert relative(here.numpy(params), theirs) <= 1e-7
        assert float(state.damping) == pytest.approx(damping, rel=1e-12)
    assert relative(here.numpy(params), here.start) > 1e-3


def test_the_cases_go_everywhere():
    events, factors = [], set()
    for problem, fields, steps in STEPS:
        path = oracle_steps.hessian_free_steps(
            problem, *numpy_case("torch", problem), steps, **fields
        )
        events += [event for *_, event in path]
        dampings = [fields["damping"], *(damping for _, damping, _ in path)]
        factors |= {round(new / old, 3) for old, new in pairwise(dampings)}
    why, back, powers = (set(column) for column in zip(*events, strict=True))
    assert why == {"solved", "cap"}
    assert factors == {0.667, 1.0, 1.5}
    assert min(back) == min(powers) == 0
    assert max(back) > 1
    assert max(powers) > 1


@frameworks
@pytest.mark.parametrize(("damping", "shortened"), [(0.2, 0), (0.02, 3), (3e-3, 8)])
def test_a_converged_step_goes_along_engd_s_direction(framework, damping, shortened):
    here = case(framework)
    _, state, step = prepared(framework, **ONE)
    before, _, _ = step(here.params, state, here.batch)
    params, after, _ = step(
        before, state._replace(damping=0 * state.damping + damping), here.batch
    )
    start, batch = here.numpy(before), numpy_case(framework)[1]
    direction = oracle_steps.engd_direction(
        *gramian_and_gradient(HEAT, start, batch),
        oracle_steps.blocks("engd", start),
        damping,
    )
    assert (
        relative(vector(here.numpy(params)) - vector(start), 0.8**shortened * direction)
        <= 1e-4
    )
    # the losses at both ends of CG and one iterate back
    assert int(after.search.evaluations) == 3 + shortened


@frameworks
def test_the_search_and_the_damping_are_the_plain_ones_on_a_quadratic(framework):
    here = case(framework)
    part, put = here.part("optimizers.hessian_free"), here.framework.backend.from_numpy
    generator = np.random.default_rng(0)
    root = generator.normal(size=(5, 5))
    H, g = root @ root.T + np.eye(5), generator.normal(size=5)
    newton = -np.linalg.solve(H, g)

    def quadratic(size, s, H, g):
        return 3.0 + size * (g @ s) + size**2 * (s @ H @ s) / 2

    def search(s, H, g):
        return here.part("solvers.armijo").armijo(
            lambda size: quadratic(size, s, H, g),
            part.SIZES,
            part.SUFFICIENT,
            quadratic(1.0, s, H, g),
            put(np.array(3.0)),
            g @ s,
        )

    compiled, powers = here.framework.backend.compile(search), []
    for length in (1.0, 1.97, 1.985, 2.5, 20.0, 120.0, 140.0):
        s = length * newton
        trial, accepted = here.numpy(compiled(put(s), put(H), put(g)))
        _, power = oracle_steps.armijo_size(partial(quadratic, s=s, H=H, g=g), g @ s)
        powers.append(power)
        assert accepted == (power is not None)
        assert trial.power == (19 if power is None else power)
    assert powers == [0, 0, 1, 2, 11, 19, None]
    for ratio in (-1.0, 0.2, 0.25, 0.5, 0.75, 0.8, 3.0, -np.inf, np.nan):
        result = part.adapted(put(np.array(0.3)), put(np.array(ratio)))
        assert float(result) == pytest.approx(
            oracle_steps.changed_damping(0.3, ratio), rel=1e-15
        )


@frameworks
@pytest.mark.parametrize(
    ("losses", "slot"),
    [
        ([4, 3, 2, 1], 3),
        ([4, 2, 2, 3], 2),
        ([0, 5, 1, 2], 2),
        ([1, 2, 3, np.inf], 0),
        ([2, 1, np.inf, np.inf], 1),
    ],
)
def test_backtracking_stops_at_the_first_that_is_no_better(framework, losses, slot):
    here = case(framework)
    table = here.framework.backend.from_numpy(np.array(losses, float))
    walk = here.part("optimizers.hessian_free").backtrack(lambda at: table[at], 3, table[3])
    assert (int(walk.slot), float(walk.loss)) == (slot, losses[slot])


@frameworks
def test_a_step_passes_the_network_once_and_never_for_a_product(monkeypatch, framework):
    here = case(framework)
    made, state, _ = prepared(framework, **ONE)
    objective, cg = here.part("passes.objective"), here.part("solvers.conjugate_gradients")
    passes, within = [], []
    for name in ("forward", "backward", "linearize"):
        right = getattr(objective, name)

        def counted(*args, name=name, right=right):
            passes.append(name)
            return right(*args)

        monkeypatch.setattr(objective, name, counted)
    right_cg = cg.conjugate_gradients

    def watched(product, *args):
        before, calls = len(passes), []

        def called(vector):
            calls.append(vector)
            return product(vector)

        solution = right_cg(called, *args)
        within.append((len(calls), len(passes) - before))
        return solution

    monkeypatch.setattr(cg, "conjugate_gradients", watched)
    step = partial(made.step, here.objective)
    if framework == "jax":
        import jax

        jax.eval_shape(step, here.params, state, here.batch)
    else:
        _, after, _ = here.framework.backend.compile(step)(here.params, state, here.batch)
    ((products, passes_in_cg),) = within
    assert passes.count("linearize") == passes.count("backward") == 2  # one a term
    assert passes_in_cg == 0
    # a compiled program holds the first product and the loop's; the others are the loss:
    # both ends, two searches
    assert products == (2 if framework == "jax" else int(after.search.iterations) + 1) > 1
    losses = 4 if framework == "jax" else int(after.search.evaluations)
    assert passes.count("forward") == 2 + 2 * losses


@needs["torch"]
@pytest.mark.parametrize("adapts", [True, False])
def test_torch_asks_once_an_iteration_and_once_a_decision(adapts):
    here = case("torch")
    _, state, step = here.prepare("hessian_free", damping=1e-2, adapt_damping=adapts)
    params = here.params
    for _ in range(4):
        before, reads = state.search, here.framework.backend.reads
        params, state, _ = step(params, state, here.batch)
        iterations, evaluations = (
            int(a) - int(b) for a, b in zip(state.search[:2], before[:2], strict=True)
        )
        # whether CG goes on: once more than it did; of the losses those of the ends need no
        # answer; whether it suffices
        assert (
            here.framework.backend.reads - reads
            == iterations + 1 + evaluations - (1 + adapts) + 1
        )


@frameworks
def test_a_start_that_overflowed_moves_nothing_and_is_dropped(framework):
    here = case(framework)
    _, state, step = prepared(framework, **ONE)
    params, after, losses = step(
        here.params, state._replace(start=state.start + np.inf), here.batch
    )
    assert relative(here.numpy(params), here.start) == 0
    assert not here.numpy(after.start).any()
    assert int(after.search.stalls) == 1
    assert np.isfinite(here.numpy(losses.total))
    assert relative(here.numpy(step(params, after, here.batch)[0]), here.start) > 1e-6
