"""Nyström-Newton, its sketch and its conjugate gradients against NumPy and SciPy."""

from functools import cache, partial

import hashed
import numpy as np
import oracle
import oracle_steps
import pytest
from autodiff import autodiff
from made_up import coupled_2d
from pydantic import ValidationError
from scipy.sparse.linalg import LinearOperator
from scipy.sparse.linalg import cg as scipy_cg
from small import drawn, frameworks, needs, needs_both, relative, small, vector

from optbench import implementations, problems
from optbench.implementations import memory_estimates
from optbench.measure import parity

HEAT = problems.get("heat_sum_2d")
FIRST = implementations.installed()[0]


@cache
def case(framework, problem=HEAT):
    return small(framework, problem, "tanh_4_3", interior=6, boundary=4)


@cache
def prepared(framework, problem, **fields):
    """The optimizer, its first state and its step, compiled once."""
    return case(framework, problem).prepare("nystrom_newton", **fields)


@cache
def matrices(problem=HEAT):
    """A function of θ [D] that gives the dense G, ∇²L and g, and one that gives L."""
    here, batch = case(FIRST, problem), drawn(problem, 6, 4)
    start, put = here.start, here.framework.backend.from_numpy
    parameters = here.part("passes.parameters")

    def loss(theta):
        return here.objective.loss(parameters.split_like(here.params, theta), here.batch)

    here.objective.loss(here.params, here.batch)  # fills the caches
    hessian = autodiff(FIRST).hessian(loss)  # by the framework, of the loss alone

    def expand(theta):
        J, r = oracle.weighted_rows(problem, oracle.like(start, theta), batch)
        H = here.framework.backend.to_numpy(hessian(put(theta)))
        return {"ggn": J.T @ J, "hessian": H}, J.T @ r

    return expand, lambda theta: oracle.loss(problem, oracle.like(start, theta), batch)


def signs(k, size, rank, seed=0):
    """The random signs of a refresh by the plain rule, by rows."""
    return hashed.signs(seed, k, 3, size * rank).reshape(size, rank)


def symmetric(values, seed=0):
    """A dense matrix with these eigenvalues."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    return (basis * values) @ basis.T


# two cases that JAX compiles once each
GGN = {
    **{"curvature": "ggn", "rank": 5, "sketch_interval": 2, "damping": 0.1},
    **{"cg_max_iterations": 9, "seed": 0},
}
HESSIAN = {
    **{"curvature": "hessian", "rank": 2, "sketch_interval": 20, "damping": 3.0},
    "seed": 2,
}
DECAYING = 10.0 ** -np.linspace(0, 9, 40)
INDEFINITE = np.concatenate([DECAYING[:20], -0.3 * DECAYING[:20]])


def sketched(framework, C, rank, seed=0, k=0):
    """Our U and Λ of a dense C, and Ω."""
    here = case(framework)
    part, put = here.part("solvers.nystrom"), here.framework.backend.from_numpy
    device = [here.params[0].device] if framework == "torch" else []

    def of(C):
        directions = part.directions(seed, k, len(C), rank, *device)
        return part.approximate(lambda v: C @ v, directions), directions

    return here.numpy(here.framework.backend.compile(of)(put(C)))


@frameworks
def test_the_directions_are_the_factor_of_the_agreed_signs(framework):
    for seed, k in ((0, 0), (7, 3)):
        _, directions = sketched(framework, symmetric(DECAYING), 6, seed, k)
        expected = signs(k, 40, 6, seed)
        np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=1e-14)
        inside = directions @ (directions.T @ expected)
        assert relative(inside, expected) <= 1e-14


@frameworks
def test_the_sketch_is_the_dense_one(framework):
    """U Λ Uᵀ = CΩ (ΩᵀCΩ)⁻¹ (CΩ)ᵀ, where nothing is ill-conditioned."""
    C = symmetric(np.linspace(1, 3, 40))
    (U, values), directions = sketched(framework, C, 6)
    images = C @ directions
    dense = images @ np.linalg.solve(directions.T @ images, images.T)
    assert relative((U * values) @ U.T, dense) <= 1e-14
    np.testing.assert_allclose(U.T @ U, np.eye(6), atol=1e-14)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense)[:-7:-1], rtol=1e-13)


@frameworks
@pytest.mark.parametrize("fields", [GGN, HESSIAN])
def test_the_sketch_of_a_network_s_curvature_is_the_dense_one(framework, fields):
    here = case(framework)
    _, state, step = prepared(framework, HEAT, **fields)
    _, after, _ = step(here.params, state, here.batch)
    C = matrices()[0](vector(here.start))[0][fields["curvature"]]
    directions = np.linalg.qr(signs(0, len(C), fields["rank"], fields["seed"]))[0]
    images = C @ directions
    core = directions.T @ images
    assert np.linalg.eigvalsh(core)[0] > 0  # nothing to raise
    dense = images @ np.linalg.solve(core, images.T)
    U, values = here.numpy(after.sketch)
    assert relative((U * values) @ U.T, dense) <= 1e-12


@frameworks
def test_an_indefinite_matrix_is_shifted(framework):
    C = symmetric(INDEFINITE)
    (U, values), directions = sketched(framework, C, 12)
    _, expected, shift = oracle_steps.nystrom_sketch(C, directions)
    assert shift > 0.01
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    np.testing.assert_allclose(U.T @ U, np.eye(12), atol=1e-13)
    # the largest is as large as rounding makes it: 1 over what is left of the core
    np.testing.assert_allclose(values[2:], expected[2:], rtol=1e-6)
    spanned = C @ directions + shift * directions
    assert relative(U @ (U.T @ spanned), spanned) <= 1e-12


@frameworks
def test_the_preconditioner_inverts_the_dense_one(framework):
    here = case(framework)
    part, put = here.part("solvers.nystrom"), here.framework.backend.from_numpy
    (U, values), _ = sketched(framework, symmetric(DECAYING), 8)
    within = (U * (values + 1e-3)) @ U.T / (values[-1] + 1e-3)
    dense = within + np.eye(40) - U @ U.T
    v = np.random.default_rng(1).normal(size=40)
    sketch = part.Sketch(put(U), put(values))
    ours = here.numpy(part.preconditioner(sketch, 1e-3)(put(v)))
    assert relative(dense @ ours, v) <= 1e-11
    explicit = oracle_steps.nystrom_inverse(U, values, 1e-3)
    assert relative(ours, explicit @ v) <= 1e-13


def solve(framework, A, inverse, b, start, tolerance, cap):
    """Our preconditioned conjugate gradients of a dense system, compiled, in NumPy."""
    here = case(framework)
    part, put = here.part("solvers.conjugate_gradients"), here.framework.backend.from_numpy

    def of(A, inverse, b, start, tolerance):
        return part.preconditioned(
            lambda v: A @ v, lambda v: inverse @ v, b, start, tolerance, cap
        )

    arrays = map(put, (A, inverse, b, start, np.array(tolerance)))
    return here.numpy(here.framework.backend.compile(of)(*arrays))


@frameworks
def test_preconditioned_iterates_are_scipy_s(framework):
    C = symmetric(DECAYING)
    A = C + 1e-4 * np.eye(40)
    U, values, _ = oracle_steps.nystrom_sketch(C, np.linalg.qr(signs(0, 40, 12))[0])
    inverse = oracle_steps.nystrom_inverse(U, values, 1e-4)
    b, x0 = np.random.default_rng(0).normal(size=(2, 40))
    theirs = [x0]
    scipy_cg(
        A,
        b,
        x0,
        rtol=1e-9,
        atol=0,
        M=LinearOperator(A.shape, lambda v: inverse @ v),
        callback=lambda x: theirs.append(x.copy()),
    )
    tolerance = 1e-9 * np.linalg.norm(b)
    whole = solve(framework, A, inverse, b, x0, tolerance, 100)
    assert whole.at.iteration == len(theirs) - 1 >= 6
    assert relative(whole.at.x, theirs[-1]) <= 1e-10
    assert relative(whole.at.x, np.linalg.solve(A, b)) <= 1e-7
    assert not whole.flat
    for cap in (1, 4):
        cut = solve(framework, A, inverse, b, x0, tolerance, cap)
        assert relative(cut.at.x, theirs[cap]) <= 1e-12
    # the residual's own norm ends it, whatever the preconditioner's scale is
    scaled = solve(framework, A, 1e-6 * inverse, b, x0, tolerance, 100)
    assert np.linalg.norm(A @ scaled.at.x - b) <= 2 * tolerance
    plain = solve(framework, A, np.eye(40), b, x0, tolerance, 100)
    assert plain.at.iteration > 2 * whole.at.iteration  # the preconditioner is worth it


@frameworks
def test_a_flat_direction_ends_it_where_it_is(framework):
    A, b = symmetric(INDEFINITE), np.random.default_rng(0).normal(size=40)
    x, iterations, flat = oracle_steps.preconditioned_cg(
        A, b, np.zeros(40), np.eye(40), 1e-9, 50
    )
    assert flat
    assert 0 < iterations < 50
    ours = solve(framework, A, np.eye(40), b, np.zeros(40), 1e-9, 50)
    assert (bool(ours.flat), int(ours.at.iteration)) == (True, iterations)
    assert relative(ours.at.x, x) <= 1e-12
    at_once = solve(framework, -np.eye(40), np.eye(40), b, b, 1e-9, 50)
    assert (bool(at_once.flat), int(at_once.at.iteration)) == (True, 0)
    assert np.array_equal(at_once.at.x, b)
    solved = solve(framework, np.eye(40), np.eye(40), 0 * b, 0 * b, 1e-16, 50)
    assert (bool(solved.flat), int(solved.at.iteration)) == (False, 0)


INDEFINITE_CORE = HESSIAN | {"sketch_interval": 3, "damping": 1e-2, "seed": 0}
BEYOND = {"rank": 100, "damping": 1e-2, "sketch_interval": 1}  # more than parameters
STEPS = [  # between them every branch: see `test_the_cases_go_everywhere`
    (HEAT, GGN, 5),
    (HEAT, HESSIAN, 4),
    (HEAT, INDEFINITE_CORE, 6),
    (coupled_2d, BEYOND, 3),
]


def path(problem, fields, steps):
    """The oracle's parameters and events."""
    expand, loss = matrices(problem)
    plain = {key: fields[key] for key in fields if key not in ("curvature", "seed")}
    which, drawn_signs = (
        fields.get("curvature", "ggn"),
        partial(signs, seed=fields.get("seed", 0)),
    )

    def expanded(theta):
        curvatures, g = expand(theta)
        return curvatures[which], g

    return oracle_steps.nystrom_newton_steps(
        expanded, loss, vector(case(FIRST, problem).start), steps, drawn_signs, **plain
    )


def ours(framework, problem, fields, steps):
    """Our parameters after each step, and what was counted in it."""
    here = case(framework, problem)
    _, state, step = prepared(framework, problem, **fields)
    params = here.params
    for _ in range(steps):
        before = here.numpy(tuple(state.search))
        params, state, _ = step(params, state, here.batch)
        after = here.numpy(tuple(state.search))
        yield (
            vector(here.numpy(params)),
            [int(a) - int(b) for a, b in zip(after, before, strict=True)],
        )


def as_the_oracle(framework, problem, fields, steps):
    """Whether parameters and counts are the oracle's."""
    pairs = zip(
        ours(framework, problem, fields, steps), path(problem, fields, steps), strict=True
    )
    for (theta, counted), (expected, (iterations, reset, halvings)) in pairs:
        stalls = halvings is None
        if counted != [iterations, 62 if stalls else 2 + halvings, stalls, reset]:
            return False
        if not relative(theta, expected) <= 1e-9:
            return False
    return True


@frameworks
@pytest.mark.parametrize(("problem", "fields", "steps"), STEPS[:2])
def test_steps_equal_the_oracle(framework, problem, fields, steps):
    assert as_the_oracle(framework, problem, fields, steps)


@needs["torch"]
@pytest.mark.parametrize(("problem", "fields", "steps"), STEPS[2:])
def test_steps_of_the_other_branches_equal_the_oracle(problem, fields, steps):
    assert as_the_oracle("torch", problem, fields, steps)


def test_the_cases_go_everywhere():
    found = [event for args in STEPS for _, event in path(*args)]
    iterations, resets, halvings = (set(column) for column in zip(*found, strict=True))
    assert resets == {False, True}
    assert {1, 9} < iterations
    assert {0, 1, 3} <= halvings


@frameworks
@pytest.mark.parametrize("fields", [GGN, HESSIAN])
def test_a_solved_step_is_the_dense_one(framework, fields):
    """−(C + μI)⁻¹ g, shortened by halves."""
    here = case(framework)
    _, state, step = prepared(framework, HEAT, **fields)
    theta = vector(here.start)
    params, after, _ = step(here.params, state, here.batch)
    curvatures, g = matrices()[0](theta)
    C = curvatures[fields["curvature"]]
    dense = -np.linalg.solve(C + fields["damping"] * np.eye(len(g)), g)
    moved = vector(here.numpy(params)) - theta
    halvings = round(np.log2(np.linalg.norm(dense) / np.linalg.norm(moved)))
    assert relative(moved, dense / 2**halvings) <= 1e-7
    assert int(after.search.evaluations) == 2 + halvings
    np.testing.assert_allclose(here.numpy(after.start), dense, rtol=1e-6, atol=1e-9)


class Mutant:
    """Errors that are planted in PyTorch, each noticed by one of the cases."""

    @staticmethod
    def another_stream(here, monkeypatch):
        monkeypatch.setattr(here.part("solvers.nystrom"), "STREAM", 2)

    @staticmethod
    def a_weak_condition(here, monkeypatch):
        monkeypatch.setattr(here.part("optimizers.nystrom_newton"), "SUFFICIENT", 1e-4)

    @staticmethod
    def thirds_in_place_of_halves(here, monkeypatch):
        part = here.part("optimizers.nystrom_newton")
        monkeypatch.setattr(part, "SIZES", [3.0**-power for power in range(61)])

    @staticmethod
    def no_shift(here, monkeypatch):
        part = here.part("solvers.nystrom")
        right = part.eigh
        monkeypatch.setattr(part, "eigh", lambda T: (0 * right(T)[0], right(T)[1]))

    @staticmethod
    def the_largest_eigenvalue_outside(here, monkeypatch):
        part = here.part("solvers.nystrom")
        right = part.preconditioner

        def wrong(sketch, damping):
            vectors, values = sketch
            ratio = (values[0] + damping) / (values[-1] + damping)
            precondition = right(sketch, damping)

            def scaled(v):
                inside = vectors @ (vectors.T @ v)
                return v - inside + ratio * (precondition(v) - (v - inside))

            return scaled

        monkeypatch.setattr(part, "preconditioner", wrong)

    @staticmethod
    def a_first_direction_without_the_preconditioner(here, monkeypatch):
        part = here.part("solvers.conjugate_gradients")
        right = part.first
        monkeypatch.setattr(part, "first", lambda *given: right(*given[:3]))


@needs["torch"]
@pytest.mark.parametrize(
    "mutant", [mutant for name, mutant in vars(Mutant).items() if name[0] != "_"]
)
def test_a_mutant_is_noticed(monkeypatch, mutant):
    mutant = mutant.__func__
    mutant(case("torch"), monkeypatch)
    assert not all(as_the_oracle("torch", *args) for args in STEPS[:3])


@frameworks
def test_a_step_without_a_finite_loss_is_a_stall(framework):
    here = case(framework)
    _, state, step = prepared(framework, HEAT, **GGN)
    x, y = here.batch["interior"]
    params, after, _ = step(here.params, state, here.batch | {"interior": (x, y + np.inf)})
    assert relative(here.numpy(params), here.start) == 0
    assert not here.numpy(after.start).any()
    assert [int(count) for count in after.search[1:]] == [62, 1, 1]
    # G knows no targets: the next step is as the first would have been
    again, _, _ = step(params, after, here.batch)
    plain, _, _ = step(here.params, state, here.batch)
    assert relative(here.numpy(again), here.numpy(plain)) == 0


class NoDescent:
    """An objective whose loss is infinite wherever the search looks."""

    def __init__(self, right):
        self.right = right

    def __getattr__(self, name):
        return getattr(self.right, name)

    def loss(self, params, batch):
        return self.right.loss(params, batch) + np.inf


@needs["torch"]
def test_a_search_without_a_decrease_is_a_stall():
    here = case("torch")
    made, state, _ = prepared("torch", HEAT, **GGN)
    step = here.framework.backend.compile(partial(made.step, NoDescent(here.objective)))
    params, after, losses = step(here.params, state, here.batch)
    assert relative(here.numpy(params), here.start) == 0
    assert not here.numpy(after.start).any()
    assert [int(count) for count in after.search[1:]] == [62, 1, 0]
    assert np.isfinite(here.numpy(losses.total))


@needs["torch"]
def test_a_step_that_rounding_swallows_is_a_stall():
    here = case("torch")
    _, state, step = prepared("torch", HEAT, damping=1e30)
    params, after, _ = step(here.params, state, here.batch)
    assert relative(here.numpy(params), here.start) == 0
    assert not here.numpy(after.start).any()
    assert [int(count) for count in after.search[1:]] == [2, 1, 0]


@needs["torch"]
def test_a_flat_first_direction_is_a_reset_even_where_the_start_descends(monkeypatch):
    here = case("torch")
    _, state, step = prepared("torch", HEAT, **GGN)
    _, after, _ = step(here.params, state, here.batch)
    # the same point with half the direction found there
    again = state._replace(start=after.start / 2)
    assert int(step(here.params, again, here.batch)[1].search.resets) == 0
    part = here.part("solvers.conjugate_gradients")
    right = part.first

    def turned(product, *given):
        at = right(product, *given)
        return at._replace(direction=at.direction * np.nan)

    monkeypatch.setattr(part, "first", turned)
    _, reset, _ = step(here.params, again, here.batch)
    assert [int(count) for count in reset.search] == [0, 2, 0, 1]
    assert not here.numpy(reset.start).any()


@needs["torch"]
def test_a_sketch_that_cannot_be_made_leaves_the_last_one(monkeypatch):
    here = case("torch")
    _, state, step = prepared("torch", HEAT, **GGN)
    params, after, _ = step(here.params, state, here.batch)
    part = here.part("solvers.nystrom")
    monkeypatch.setattr(part, "cholesky", lambda matrix: matrix * np.nan)
    _, kept, _ = step(params, after._replace(step=2), here.batch)
    for one, other in zip(kept.sketch, after.sketch, strict=True):
        assert np.array_equal(here.numpy(one), here.numpy(other))
    # and at first there is none: P = I
    moved, plain, _ = step(here.params, state, here.batch)
    assert not here.numpy(plain.sketch.values).any()
    assert relative(here.numpy(moved), here.start) > 1e-6


@needs["torch"]
def test_sketches_are_made_at_their_interval():
    here = case("torch")
    _, state, step = prepared("torch", HEAT, **GGN)
    params, before, changed = here.params, state, []
    for _ in range(5):
        params, state, _ = step(params, before, here.batch)
        pair = here.numpy((before.sketch.values, state.sketch.values))
        changed.append(not np.array_equal(*pair))
        before = state
    assert changed == [True, False, True, False, True]


@needs["torch"]
def test_torch_asks_once_an_iteration_and_once_a_decision():
    here = case("torch")
    _, state, step = prepared("torch", HEAT, **GGN)
    params = here.params
    for number in range(4):
        before, reads = state.search, here.framework.backend.reads
        params, state, _ = step(params, state, here.batch)
        iterations, evaluations = (
            int(a) - int(b) for a, b in zip(state.search[:2], before[:2], strict=True)
        )
        # whether CG goes on, once more than it did; whether each trial suffices; whether
        # the sketch's core is positive definite
        assert here.framework.backend.reads - reads == (
            iterations + 1 + evaluations - 1 + (number % 2 == 0)
        )


@frameworks
def test_a_rank_has_no_more_columns_than_there_are_parameters(framework):
    here = case(framework)
    made = here.framework.OPTIMIZERS["nystrom_newton"](rank=1000)
    D = len(vector(here.start))
    state = made.init(here.objective, here.params)
    assert here.numpy(state.sketch.vectors).shape == (D, D)
    assert made.working(here.objective, here.params, here.batch) == 6 * D * D
    assert memory_estimates.sketch(here.params, 5) == 6 * D * 5


@frameworks
def test_the_damping_is_the_curvature_s(framework):
    kind = implementations.load(framework).OPTIMIZERS["nystrom_newton"]
    assert kind.float64_only
    assert (kind().damping, kind(curvature="hessian").damping) == (1e-6, 1e-4)
    assert kind(curvature="hessian", damping=1e-6).damping == 1e-6
    for wrong in ({"damping": 0.0}, {"damping": None}, {"seed": -1}, {"seed": 2**32}):
        with pytest.raises(ValidationError):
            kind(**wrong)


@needs_both
@pytest.mark.slow
def test_the_twins_walk_the_same_path_with_the_hessian():
    """With a core that needs no shift: what a shift leaves of it is rounding."""
    fields = {"curvature": "hessian", "rank": 2, "damping": 10.0, "seed": 1}
    case_ = parity.Case(problems.get("heat_sine_1d"), "nystrom_newton", fields, steps=10)
    one, other = (parity.trajectory(framework, case_) for framework in parity.both())
    assert parity.difference(one, other) <= 1e-10
    assert parity.difference(one[:1], one[-1:]) > 1e-2
