"""Optimizers on several weighted terms; KFAC's merged factors, damping and guards."""

from types import SimpleNamespace

import numpy as np
import oracle
import oracle_steps
import posed
import pytest
from small import OPTIMIZERS, drawn, frameworks, needs, needs_both, relative, small, vector

from optbench import implementations, problems
from optbench.implementations.failures import FactorisationFailed
from optbench.measure.parity import CONDITIONED

KDV = posed.kdv().with_weights({"interior": 0.5, "initial": 10.0, "slope": 3.0})
CONVECTION = posed.convection().with_weights({"interior": 2.0, "initial": 30.0})
NETWORK = "tanh_4_3"
every_problem = pytest.mark.parametrize(
    "problem", [KDV, CONVECTION], ids=lambda problem: problem.name
)
ORDERS = {  # the problems of order three and four, and the systems
    "kdv_1d": "box_3_tanh_6_6",
    "kuramoto_sivashinsky_1d": "tanh_6_6",
    "biharmonic_2d": "box_1_tanh_6_6",
    "kovasznay_2d": "box_1_tanh_6_6",
    "taylor_green_2d": "box_1_tanh_6_6",
    "nls_1d": "box_3_tanh_6_6",
}


def exact(problem):
    """The start, the batch and the network, in NumPy."""
    start = problems.networks.initial_parameters(
        NETWORK, problem.inputs, problem.outputs, 1
    )
    return start, drawn(problem, 6, 4), oracle.network(problem, NETWORK)


def case(framework, problem):
    return small(framework, problem, NETWORK, interior=6, boundary=4)


def direction(here, optimizer, **fields):
    """θ₁ − θ₀ after a step of size one."""
    _, state, step = here.prepare(optimizer, learning_rate=1.0, **fields)
    moved, _, _ = step(here.params, state, here.batch)
    return vector(here.numpy(moved)) - vector(here.start)


@frameworks
@every_problem
def test_natural_gradients_weigh_the_terms_under_the_root(framework, problem):
    """−(G + λI)⁻¹ ∇L of the rows times √(w/n), by the Gramian and by the kernel."""
    here = case(framework, problem)
    start, batch, network = exact(problem)
    J, r = oracle.weighted_rows(problem, start, batch, network)
    dense = -np.linalg.solve(J.T @ J + 0.1 * np.eye(J.shape[1]), J.T @ r)
    assert relative(direction(here, "engd_woodbury", damping=0.1), dense) <= 1e-9
    assert relative(direction(here, "engd", damping=0.1), dense) <= 1e-9
    unconstrained = {"damping": 0.1, "norm_constraint": None}
    assert relative(direction(here, "spring", **unconstrained), dense) <= 1e-9
    roots = [
        np.full(batch[name][1].size, np.sqrt(weight))
        for name, weight in problem.weights.items()
    ]
    wrong, s = np.concatenate(roots)[:, None] * J, np.concatenate(roots) * r
    mutant = -np.linalg.solve(wrong.T @ wrong + 0.1 * np.eye(J.shape[1]), wrong.T @ s)
    assert relative(mutant, dense) > 1e-2


@frameworks
def test_a_weight_that_is_not_under_the_root_is_noticed(framework, monkeypatch):
    here = case(framework, KDV)
    start, batch, network = exact(KDV)
    J, r = oracle.weighted_rows(KDV, start, batch, network)
    dense = -np.linalg.solve(J.T @ J + 0.1 * np.eye(J.shape[1]), J.T @ r)
    kernel = here.part("passes.kernel")

    def wrong(objective, batch):
        weights = objective.problem.weights.items()
        return {name: len(batch[name][0]) / weight**2 for name, weight in weights}

    monkeypatch.setattr(kernel, "row_counts", wrong)
    assert relative(direction(here, "engd_woodbury", damping=0.1), dense) > 1e-2


@frameworks
@every_problem
def test_hessian_free_multiplies_by_the_weighted_gramian(framework, problem):
    here = case(framework, problem)
    start, batch, network = exact(problem)
    J, _ = oracle.weighted_rows(problem, start, batch, network)
    v = np.random.default_rng(0).normal(size=J.shape[1])
    chunks = here.objective.linearize_chunks(here.params, here.batch)
    ours = here.part("passes.curvature").gauss_newton(
        here.objective, here.params, chunks, here.framework.backend.from_numpy(v)
    )
    assert relative(here.numpy(ours), J.T @ (J @ v)) <= 1e-11


def merged(here, factors):
    """The implementation's merging of NumPy's factors by term, in NumPy."""
    put = here.framework.backend.from_numpy
    terms = {
        name: SimpleNamespace(factors=[(put(A), put(B)) for A, B in layers])
        for name, layers in factors.items()
    }
    weights = here.objective.problem.weights
    return here.numpy(here.part("optimizers.kfac").merged(weights, terms))


@frameworks
@every_problem
def test_conditions_are_merged_by_their_weights(framework, problem):
    """A_c = Σ w A / Σ w, B_c = Σ w B; the equation's pair is A, w B."""
    here = case(framework, problem)
    start, batch, network = exact(problem)
    factors = {
        name: oracle.kronecker_factors(oracle.linearized(term, start, batch[name], network))
        for name, term in problem.terms.items()
    }
    ours, theirs = merged(here, factors), oracle.merged_factors(problem, factors)
    for layer, expected in zip(ours, theirs, strict=True):
        for factor, by_hand in zip(layer, expected, strict=True):
            assert relative(factor, by_hand) <= 1e-13
    (w, *weights), names = problem.weights.values(), list(problem.conditions)
    A_c = np.average([factors[k][0][0] for k in names], axis=0, weights=weights)
    assert relative(ours[0][2], A_c) <= 1e-13
    assert relative(ours[0][1], w * factors["interior"][0][1]) <= 1e-13


@frameworks
def test_equal_conditions_are_one_over_all_their_points(framework):
    problem = posed.convection().with_weights({"initial": 1.0, "gauge": 1.0})
    here = case(framework, problem)
    start, batch, network = exact(problem)
    ours = merged(
        here,
        {
            name: oracle.kronecker_factors(
                oracle.linearized(term, start, batch[name], network)
            )
            for name, term in problem.terms.items()
        },
    )
    names = problem.conditions
    joined = tuple(np.concatenate([batch[name][i] for name in names]) for i in (0, 1))
    term = problem.terms[names[0]]
    together = oracle.kronecker_factors(oracle.linearized(term, start, joined, network))
    for (_, _, A_c, B_c), (A, B) in zip(ours, together, strict=True):
        assert relative(A_c, A) <= 1e-12
        assert relative(B_c, len(names) * B) <= 1e-12


STEPS = [
    ("kfac", {"damping": 1e-2, "decay": 0.5, "line_search": "grid_exhaustive"}),
    ("kfac", {"damping": 1e-2, "damping_rule": "relative", "guard": True}),
    ("kfac_star", {"damping": 1.0, "decay": 0.5}),
    ("kfac_star", {"damping": 1e-2, "damping_rule": "relative", "guard": True}),
]


@frameworks
@every_problem
@pytest.mark.parametrize(("optimizer", "fields"), STEPS)
def test_steps_equal_the_oracle(framework, problem, optimizer, fields):
    here = case(framework, problem)
    start, batch, network = exact(problem)
    walk = {"kfac": oracle_steps.kfac_steps, "kfac_star": oracle_steps.kfac_star_steps}
    plain = {key: value for key, value in fields.items() if key != "line_search"}
    expected = walk[optimizer](problem, start, batch, 3, network=network, **plain)
    made, state, step = here.prepare(optimizer, **fields)
    params = here.params
    for theirs in expected:
        params, state, _ = step(params, state, here.batch)
        made.check(state)
        assert relative(here.numpy(params), list(theirs)) <= 1e-8
    assert relative(here.numpy(params), here.start) > 1e-6


def by_roots(A, B, A_c, B_c, gradient):
    """Section 6 of the rule in plain NumPy: inverse roots with floors."""

    def pair(reference, matrix):
        values, vectors = np.linalg.eigh(reference)
        values = np.maximum(values, 1e-15 * len(values) * values[-1])
        root = vectors / np.sqrt(values) @ vectors.T
        s, turn = np.linalg.eigh(root @ matrix @ root)
        return np.maximum(s, 0), root @ turn

    (s, left), (t, right) = pair(B, B_c), pair(A, A_c)
    return left @ ((left.T @ gradient @ right) / (1 + np.outer(s, t))) @ right.T


@frameworks
@pytest.mark.parametrize("damping", [1e-4, 1e-26])
def test_relative_damping_is_the_written_one(framework, damping):
    generator = np.random.default_rng(0)
    here = case(framework, KDV)
    put, kfac = here.framework.backend.from_numpy, here.part("optimizers.kfac")
    roots = [generator.normal(size=(n, n - 2)) * scale for n, scale in
             ((6, 1e3), (4, 1e2), (6, 1.0), (4, 1e-1))]  # fmt: skip
    factors = [root @ root.T for root in roots]
    made = here.framework.OPTIMIZERS["kfac"](damping=damping, damping_rule="relative")
    (shifted,) = kfac.damped(made, [kfac.Factors(*map(put, factors))])
    by_hand = [
        M + np.sqrt(damping) * np.trace(M) / len(M) * np.eye(len(M)) for M in factors
    ]
    for ours, expected in zip(here.numpy(tuple(shifted)), by_hand, strict=True):
        assert relative(ours, expected) <= 1e-14
    gradient = generator.normal(size=(4, 6))
    (inverse,) = kfac.invert(made, [kfac.Factors(*map(put, factors))])
    ours = here.numpy(inverse.solve(put(gradient)))
    assert np.isfinite(ours).all()
    tolerance = 1e-8 if damping > 1e-10 else 0.3  # rounding over a floor of 1e-15
    assert relative(ours, by_roots(*by_hand, gradient)) <= tolerance
    if damping > 1e-10:
        A, B, A_c, B_c = by_hand
        dense = np.linalg.solve(np.kron(B, A) + np.kron(B_c, A_c), gradient.ravel())
        assert relative(ours.ravel(), dense) <= 1e-6


@frameworks
def test_the_guard_refuses_a_step_that_does_not_lower_the_loss(framework):
    """Parameters stay, the previous direction is zero, the stall is counted."""
    here = case(framework, KDV)
    fields = {"damping": 1e-3, "damping_rule": "relative", "guard": True}
    made, state, step = here.prepare("kfac_star", **fields)
    params, state, _ = step(here.params, state, here.batch)
    assert made.counters(state)["stalls"] == 0
    # a loss that is not a number is not below any other
    x, y = here.batch["initial"]
    nowhere = here.batch | {"initial": (x, y * np.nan)}
    after, stalled, _ = step(params, state, nowhere)
    assert relative(here.numpy(after), here.numpy(params)) == 0
    assert not vector(here.numpy(stalled.update)).any()
    assert int(here.numpy(stalled.guard.stalls)) == 1


@frameworks
def test_the_guard_takes_the_best_length_and_the_longer_on_ties(framework):
    here = case(framework, KDV)
    part, put = here.part("optimizers.kfac_star"), here.framework.backend.from_numpy
    start, update = [put(np.zeros((1, 1)))], [put(np.ones((1, 1)))]
    for loss, length in (
        (lambda t: (t - 0.2) ** 2, 0.25),
        (lambda t: 0 * t, None),
        (lambda t: -1.0 * (t != 0), 1.0),
        (lambda t: -t * (t <= 0.1) / (t <= 0.1), 4.0**-2),  # 0/0 from 0.1 on
        (lambda t: t, None),
    ):
        made_up = SimpleNamespace(loss=lambda params, _, f=loss: f(params[0][0, 0]))
        begin = SimpleNamespace(total=loss(start[0][0, 0]))
        taken, accepted = part.shortened(made_up, start, update, None, begin)
        assert bool(here.numpy(accepted)) == (length is not None)
        assert float(here.numpy(taken[0])[0, 0]) == (length or 0.0)


slow_in_jax = pytest.mark.parametrize(
    "framework",
    [
        pytest.param("torch", marks=needs["torch"]),
        pytest.param("jax", marks=[needs["jax"], pytest.mark.slow]),
    ],
)
MONOTONE = {
    "kfac_star": {"damping": 1e-6},
    "kfac": {"damping": 1e-8, "momentum": 0.5},
}


def losses_of(here, optimizer, steps, **fields):
    made, state, step = here.prepare(optimizer, **fields)
    params, losses = here.params, []
    for _ in range(steps):
        params, state, before = step(params, state, here.batch)
        made.check(state)
        losses.append(float(before.total))
    return [*losses, float(here.objective.loss(params, here.batch))]


@slow_in_jax
@pytest.mark.parametrize("method", MONOTONE)
@pytest.mark.parametrize("name", ORDERS)
def test_with_both_options_the_loss_never_rises(framework, method, name):
    problem = problems.get(name)
    here = small(framework, problem, ORDERS[name], interior=40, boundary=20)
    options = {"damping_rule": "relative", "guard": True, "decay": 0.9}
    losses = losses_of(here, method, 60, **MONOTONE[method], **options)
    assert np.isfinite(losses).all()
    assert (np.diff(losses) <= 0).all()
    assert losses[-1] < 0.9 * losses[0]


WELL = ("burgers_1d", "wave_1d", "kovasznay_2d", "taylor_green_2d")


@needs_both
@pytest.mark.slow
@pytest.mark.parametrize("name", WELL)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_twins_walk_the_same_path_on_weighted_terms(name, optimizer):
    problem = problems.get(name)
    weights = {term: 1 + k / 2 for k, term in enumerate(problem.terms)}
    problem = problem.with_weights(weights)
    paths = [walk(framework, problem, optimizer) for framework in ("torch", "jax")]
    difference = apart(*paths)
    if difference > 1e-10:  # rounding is amplified: by how much, other orders tell
        others = [walk("torch", problem, optimizer, order) for order in (1, 2, 3)]
        drift = max(apart(paths[0], other) for other in others)
        assert difference <= 10 * drift
    assert apart(paths[0][:1], paths[0][-1:]) > 1e-9


def walk(framework, problem, optimizer, order=0):
    loaded = implementations.load(framework)
    batch = drawn(problem, 12, 8)
    if order:
        new = {
            name: np.random.default_rng(order).permutation(len(x))
            for name, (x, _) in batch.items()
        }
        batch = {name: (x[new[name]], y[new[name]]) for name, (x, y) in batch.items()}
    here = small(framework, problem, "tanh_5_4", interior=12, boundary=8)
    here = here._replace(batch=loaded.backend.from_numpy_tree(batch))
    made, state, step = here.prepare(optimizer, **CONDITIONED[optimizer])
    params, path = here.params, [vector(here.start)]
    for _ in range(10):
        params, state, _ = step(params, state, here.batch)
        made.check(state)
        path.append(vector(here.numpy(params)))
    return np.array(path)


def apart(one, other):
    return (np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)).max()


@slow_in_jax
def test_without_the_options_the_plate_s_loss_rises_or_is_not_a_number(framework):
    problem = problems.get("biharmonic_2d")
    here = small(framework, problem, "box_1_tanh_6_6", interior=40, boundary=20)
    try:
        losses = losses_of(here, "kfac_star", 30, damping=1e-6)
    except FactorisationFailed:
        return
    assert not np.isfinite(losses).all() or (np.diff(losses) > 0).any()
