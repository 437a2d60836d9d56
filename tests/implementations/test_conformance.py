"""What every optimizer promises, in both frameworks."""

import re
from copy import deepcopy
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
from made_up import coupled_2d
from pydantic import ValidationError
from small import (
    OPTIMIZERS,
    arrays,
    default,
    every_optimizer_in_jax,
    frameworks,
    needs,
    relative,
    small,
    vector,
)

from optbench import implementations, problems
from optbench.campaign import expansion, single_run
from optbench.campaign.errors import CampaignError
from optbench.implementations.failures import FactorisationFailed, spectrum
from optbench.implementations.protocol import Losses
from optbench.problems import UnknownName
from optbench.training.status import classify

every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)
SINE = problems.get("poisson_sine_2d")


def run(case, optimizer, steps, **hyperparameters):
    made, state, step = case.prepare(optimizer, **hyperparameters)
    params, losses = case.params, []
    for _ in range(steps):
        params, state, before = step(params, state, case.batch)
        made.check(state)
        losses.append(float(before.total))
    return case.numpy(params), losses


@frameworks
@every_optimizer
def test_a_step_is_pure(framework, optimizer):
    case, _, state, step = default(framework, optimizer)
    # beyond the first step, where memory matters
    params, state, _ = step(case.params, state, case.batch)
    # not a view of what the step writes into
    before = deepcopy(case.numpy((params, state, case.batch)))
    assert np.isfinite(vector(before[0])).all()  # NaN over NaN would look untouched
    once, again = (case.numpy(step(params, state, case.batch)) for _ in range(2))
    assert_same_bits(case.numpy((params, state, case.batch)), before)
    assert_same_bits(once, again)


@frameworks
@every_optimizer
def test_state_goes_through_numpy(framework, optimizer):
    case, _, state, step = default(framework, optimizer)
    params, state, _ = step(case.params, state, case.batch)
    restored = case.framework.backend.from_numpy_tree(case.numpy((params, state)))
    direct, back = step(params, state, case.batch), step(*restored, case.batch)
    assert_same_bits(case.numpy(direct), case.numpy(back))


def leaves(tree):
    parts = tree.values() if isinstance(tree, dict) else tree
    return (
        [leaf for part in parts for leaf in leaves(part)]
        if isinstance(tree, tuple | list | dict)
        else [np.asarray(tree)]
    )


def assert_same_bits(one, other):
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    assert pairs


@needs["jax"]
@every_optimizer_in_jax
def test_nothing_is_compiled_twice(optimizer):
    case, _, state, step = default("jax", optimizer)
    params = case.params
    for _ in range(3):
        params, state, _ = step(params, state, case.batch)
    assert step._cache_size() == 1


@frameworks
@every_optimizer
def test_the_loss_decreases(framework, optimizer):
    losses = run(
        small(framework, SINE, "tanh_16", interior=60, boundary=20), optimizer, 25
    )[1]
    assert losses[-1] < 0.99 * losses[0]


@frameworks
@every_optimizer
def test_a_system_of_two_equations_is_trained(framework, optimizer):
    losses = run(small(framework, coupled_2d, interior=20, boundary=8), optimizer, 10)[1]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@frameworks
@every_optimizer
def test_losses_are_those_before_the_step(framework, optimizer):
    case, _, state, step = default(framework, optimizer)
    expected = at_the_start(framework)
    losses = case.numpy(step(case.params, state, case.batch)[2]).terms
    assert list(losses) == list(expected) == ["interior", "boundary"]
    for name, loss in expected.items():
        assert float(losses[name]) == pytest.approx(float(loss), rel=1e-12)


@cache
def at_the_start(framework):
    """The terms of the loss of the case that all defaults have."""
    case = small(framework, SINE)
    losses = case.framework.backend.compile(case.objective.losses)
    return case.numpy(losses(case.params, case.batch)).terms


@frameworks
@every_optimizer
def test_single_precision_stays_single_or_is_refused(framework, optimizer):
    case = small(framework, SINE, dtype=np.float32)
    if case.framework.OPTIMIZERS[optimizer].float64_only:
        plan = single_run.campaign(
            problem=SINE.name,
            network="tanh_5_4",
            optimizer=optimizer,
            framework=framework,
            settings=[],
            steps=1,
            precision="float32",
        )
        with pytest.raises(CampaignError, match=f"{optimizer} runs in float64 alone"):
            expansion.requests(plan, "single", single_run.SOURCE)
        return
    _, state, step = case.prepare(optimizer)
    params, state, losses = typed(case, step)(case.params, state, case.batch)
    # curvature alone is in float64, whatever the parameters are
    if hasattr(state, "preconditioner"):
        kept = state.preconditioner
        assert float_types((kept.factors, kept.inverses)) == {"float64"}
        state = state._replace(preconditioner=kept._replace(factors=[], inverses=[]))
    assert float_types((params, state, losses)) == {"float32"}


def typed(case, step):
    """A step whose results have their types, if not their numbers.

    JAX's types are known without compiling.
    """
    if case.framework.name == "jax":
        import jax

        return partial(jax.eval_shape, step)
    return lambda *arguments: case.numpy(step(*arguments))


def float_types(tree):
    if isinstance(tree, tuple | list | dict):
        parts = tree.values() if isinstance(tree, dict) else tree
        return set().union(*map(float_types, parts))
    return {str(tree.dtype)} if np.dtype(tree.dtype).kind == "f" else set()


@frameworks
@every_optimizer
@pytest.mark.parametrize("which", ["points", "targets", "columns", "dtype", "network"])
def test_a_wrong_shape_is_named(framework, optimizer, which):
    case = small(framework, SINE)
    x, y = case.batch["interior"]
    wrong = {
        "points": case.batch | {"interior": (x[:, :1], y)},
        "targets": case.batch | {"interior": (x, y[1:])},
        "columns": case.batch | {"interior": (x, x)},
        "dtype": arrays(
            case.framework, SINE, case.start, case.numpy(case.batch), dtype=np.float32
        ).batch,
        "network": case.batch,
    }[which]
    params = case.params[1:] if which == "network" else case.params
    named = {
        "points": "interior points",
        "targets": "interior targets",
        "columns": "interior targets",
        "dtype": "float32",
        "network": "2 inputs",
    }
    _, state, step = case.prepare(optimizer)
    with pytest.raises(ValueError, match=named[which]) as caught:
        step(params, state, wrong)
    assert "\n" not in str(caught.value)


WRONG = [
    ("sgd", {"learning_rate": -1.0}, "greater than 0"),
    ("sgd", {"schedule_end": 0.0}, "greater than 0"),
    ("adam", {"beta1": 1.0}, "less than 1"),
    ("adam", {"beta1": float("nan")}, "finite"),
    ("soap", {"interval": 0}, "greater than or equal to 1"),
    ("soap", {"shift": -1e-4}, "greater than or equal to 0"),
    ("muon", {"adam_learning_rate": 0.0}, "greater than 0"),
    ("lbfgs", {"history_size": 0}, "greater than or equal to 1"),
    ("lbfgs_wolfe", {"history_size": 2.5}, "valid integer"),
    ("ssbroyden", {"initial_scaling": 1}, "valid boolean"),
    ("engd", {"damping": -1e-8}, "greater than or equal to 0"),
    ("engd_per_layer", {"identity_init": "yes"}, "valid boolean"),
    ("spring", {"norm_constraint": 0.0}, "greater than 0"),
    ("kfac", {"approximation": "shrink"}, "'expand' or 'reduce'"),
    ("kfac", {"learning_rate": "auto"}, "valid number"),
    ("kfac_star", {"momentum": 0.5}, "Unexpected keyword"),
    ("hessian_free", {"curvature": "fisher"}, "'ggn' or 'hessian'"),
]


@frameworks
@pytest.mark.parametrize(("optimizer", "fields", "allowed"), WRONG)
def test_a_wrong_hyperparameter_is_named(framework, optimizer, fields, allowed):
    with pytest.raises(ValidationError, match=allowed) as caught:
        implementations.load(framework).OPTIMIZERS[optimizer](**fields)
    (error,) = caught.value.errors()
    assert error["loc"] == tuple(fields)


@frameworks
@pytest.mark.parametrize("optimizer", ["kfac", "kfac_star"])
def test_a_failed_factorisation_says_what_is_singular(framework, optimizer):
    # one point, a network far too large for it and no damping: the factors are singular
    case = small(framework, SINE, "tanh_9_9", interior=1, boundary=1)
    made, state, step = case.prepare(optimizer, damping=0.0, identity_init=False)
    params, state, losses = step(case.params, state, case.batch)
    assert relative(case.numpy(params), case.start) == 0
    assert np.isfinite(case.numpy(losses.total))
    with pytest.raises(
        FactorisationFailed,
        match=r"layer 0 A: .*(condition|not positive definite)",
    ):
        made.check(state)


@frameworks
@pytest.mark.parametrize(
    ("optimizer", "fields", "named"),
    [
        ("engd", {"learning_rate": 1e-3}, "block 0"),
        ("engd_per_layer", {}, "block 2"),
        ("engd_diagonal", {}, "block 2"),
        ("kfac", {"learning_rate": 1e-3}, "layer 2"),
        ("kfac_star", {}, "layer 2"),
    ],
)
def test_a_failed_factorisation_moves_nothing_and_names_the_layer(
    framework, optimizer, fields, named
):
    case = small(framework, SINE, "tanh_5_4")
    made, state, step = case.prepare(optimizer, decay=0.5, damping=1e-2, **fields)
    before, state, _ = step(case.params, state, case.batch)
    made.check(state)
    after, state, losses = step(before, last_layer_poisoned(state), case.batch)
    assert_same_bits(case.numpy(after), case.numpy(before))
    assert np.isfinite(case.numpy(losses.total))
    with pytest.raises(
        FactorisationFailed, match=f"with damping 0.01: .*{named}.*not finite"
    ):
        made.check(state)


@pytest.mark.parametrize("diagonal", [[3.0, 0.5, 2.0], [1.0, -1.0], [0.0, np.inf]])
def test_a_diagonal_fails_in_the_words_of_its_matrix(diagonal):
    assert spectrum(np.array(diagonal)) == spectrum(np.diag(diagonal))


SINGULAR = np.ones((3, 3))
FAILURES = {
    "condition 1.0e.00; they have inverses": [np.eye(3)],
    "not finite$": [np.eye(3), np.nan * np.eye(3)],
    "no finite solution$": [None],
    r"\[3, 3\], smallest diagonal entry 1.0e\+00, eigenvalues .*, not positive definite "
    "beyond rounding; a larger damping helps$": [SINGULAR],
    r"entry 0.0e\+00, not positive definite; a .* helps$": [np.diag([1.0, 0.0])],
    "not positive definite beyond rounding; layer 1: .*; a .* helps$": [
        SINGULAR,
        np.eye(3),
    ],
    r"^no inverse .*: layer 0: \[4097, 4097\], .* too large [^;]*$": [
        np.broadcast_to(1.0, (4097, 4097))
    ],
}


@pytest.mark.parametrize("words", FAILURES)
def test_damping_is_advised_where_a_finite_matrix_lacks_it_and_nowhere_else(words):
    matrices = {f"layer {number}": m for number, m in enumerate(FAILURES[words])}
    said = str(FactorisationFailed(matrices, 1e-8))
    assert re.search(words, said), said
    assert ("a larger damping helps" in said) == ("helps" in words)


@pytest.mark.parametrize("error", ["false INTERNAL ASSERT FAILED", "can't allocate memory"])
def test_an_eigenvalue_solver_that_refuses_a_matrix_names_its_size(monkeypatch, error):
    torch = pytest.importorskip("torch")
    from optbench.implementations.torch.solvers import linear_algebra

    def refuse(matrix):
        raise RuntimeError(error)

    monkeypatch.setattr(torch.linalg, "eigh", refuse)
    with pytest.raises(RuntimeError) as caught:
        linear_algebra.eigh(torch.eye(5))
    status, text = classify(caught.value)
    assert status == ("failed" if "ASSERT" in error else "out-of-memory")
    assert text.startswith(f"eigenvalues of a matrix [5, 5]: RuntimeError: {error}")


def last_layer_poisoned(state):
    """The state with a last block, or a last layer's factors, that are not numbers."""
    if hasattr(state, "gramian"):
        return state._replace(gramian=[*state.gramian[:-1], state.gramian[-1] * np.nan])
    *factors, last = state.preconditioner.factors
    factors.append(type(last)(*(factor * np.nan for factor in last)))
    return state._replace(preconditioner=state.preconditioner._replace(factors=factors))


both_searches = pytest.mark.parametrize("kind", ["grid", "grid_exhaustive"])


def searched(case, kind, objective, params, directions, losses, choice=None):
    """Where a line search leads and what it remembers; compiled as in a step."""
    part = case.part("solvers.line_search")
    options, last = SimpleNamespace(learning_rate=None, line_search=kind), part.never()
    last = (
        last
        if choice is None
        else last._replace(choice=case.framework.backend.from_numpy(np.array(choice)))
    )

    def follow(params, directions, batch, losses, last):
        return part.follow(options, objective, params, directions, batch, losses, last)

    params, result = case.framework.backend.compile(follow)(
        params, directions, case.batch, losses, last
    )
    return params, int(result.stalls) == 0, result


@frameworks
@both_searches
def test_the_line_search_decides_as_it_says(framework, kind):
    case = small(framework, SINE)
    search = case.part("solvers.line_search")
    losses, gradient = case.objective.gradient(case.params, case.batch)
    downhill = [-g for g in gradient]
    trials = [
        float(
            case.objective.loss(
                case.part("passes.parameters").advance(case.params, downhill, a), case.batch
            )
        )
        for a in search.GRID
    ]
    moved_to, moved, result = searched(
        case, kind, case.objective, case.params, downhill, losses
    )
    step = (vector(case.numpy(moved_to)) - vector(case.start)) / vector(
        case.numpy(downhill)
    )
    assert moved
    assert int(result.choice) == int(np.argmin(trials))
    assert np.nanmedian(step) == pytest.approx(
        search.GRID[int(np.argmin(trials))], rel=1e-6
    )
    assert len(search.GRID) == 31
    assert (search.GRID[0], search.GRID[-1]) == (2.0**-30, 1.0)
    if kind == "grid":  # from its last choice on: there and at the two neighbours
        again = searched(
            case,
            kind,
            case.objective,
            case.params,
            downhill,
            losses,
            choice=int(result.choice),
        )[2]
        assert int(again.choice) == int(result.choice)
        assert int(again.evaluations) == 3


@frameworks
@both_searches
@pytest.mark.parametrize("case_of", ["uphill", "nan direction", "nan start", "nan tail"])
def test_the_line_search_s_rules(framework, kind, case_of):
    case = small(framework, SINE)
    losses, gradient = case.objective.gradient(case.params, case.batch)
    directions = {
        "uphill": gradient,
        "nan direction": [g * np.nan for g in gradient],
        "nan start": [-g for g in gradient],
        "nan tail": [-g * 1e300 for g in gradient],  # overflows from the first candidate on
    }[case_of]
    if case_of == "nan start":
        losses = type(losses)({name: loss * np.nan for name, loss in losses.terms.items()})
    params, moved, _ = searched(case, kind, case.objective, case.params, directions, losses)
    assert moved == (case_of == "nan start")
    assert np.isfinite(vector(case.numpy(params))).all()
    if case_of != "nan start":
        assert relative(case.numpy(params), case.start) == 0


@frameworks
@pytest.mark.parametrize("uphill", [False, True])
def test_an_accelerator_looks_at_eight_step_sizes_in_a_pass(monkeypatch, framework, uphill):
    """And chooses and counts as a CPU that looks at one at a time."""
    case = small(framework, SINE)
    losses, gradient = case.objective.gradient(case.params, case.batch)
    directions = gradient if uphill else [-matrix for matrix in gradient]
    asked = case, "grid_exhaustive", case.objective, case.params, directions, losses
    params, moved, last = searched(*asked)
    passes = []
    search = case.part("solvers.grid_search")
    monkeypatch.setattr(search, "together", lambda: passes.append(8) or 8)
    together, also_moved, also_last = searched(*asked)
    assert passes == [8]
    assert moved == also_moved == (not uphill)
    assert last == also_last
    np.testing.assert_array_equal(vector(case.numpy(together)), vector(case.numpy(params)))


@frameworks
@both_searches
def test_a_candidate_that_is_not_a_number_loses(framework, kind):
    case = small(framework, SINE)
    put = case.framework.backend.from_numpy
    # decreasing up to α = 2⁻⁵, not a number beyond
    falling = SimpleNamespace(
        problem=SINE,
        loss=lambda params, batch: 0 * (2.0**-5 - params[0][0, 0]) ** 0.5 - params[0][0, 0],
    )
    losses = Losses({name: put(np.array(0.0)) for name in SINE.terms})
    start, directions = [put(np.zeros((1, 1)))], [put(np.ones((1, 1)))]
    params, moved, _ = searched(case, kind, falling, start, directions, losses)
    assert moved
    assert case.numpy(params)[0] == 2.0**-5


@frameworks
@pytest.mark.parametrize(
    ("valley", "choice"), [(12, 30), (12, 0), (0, 30), (30, 0), (30, 30)]
)
def test_the_lazy_search_walks_to_the_minimum_from_anywhere(framework, valley, choice):
    case = small(framework, SINE)
    put = case.framework.backend.from_numpy
    bowl = SimpleNamespace(
        problem=SINE,
        loss=lambda params, batch: (params[0][0, 0] / 2.0 ** (valley - 30) - 1) ** 2,
    )
    losses = Losses({"interior": put(np.array(1.0)), "boundary": put(np.array(0.0))})
    start, directions = [put(np.zeros((1, 1)))], [put(np.ones((1, 1)))]
    params, moved, result = searched(case, "grid", bowl, start, directions, losses, choice)
    assert moved
    assert case.numpy(params)[0] == 2.0 ** (valley - 30)
    assert int(result.evaluations) <= abs(valley - choice) + 3


@frameworks
@both_searches
def test_the_smallest_step_wins_ties(framework, kind):
    case = small(framework, SINE)
    search = case.part("solvers.line_search")
    losses, gradient = case.objective.gradient(case.params, case.batch)
    flat = SimpleNamespace(
        problem=SINE, loss=lambda params, batch: params[0][0, 0] * 0 + losses.total
    )
    params, moved, _ = searched(case, kind, flat, case.params, gradient, losses)
    smallest = case.part("passes.parameters").advance(case.params, gradient, search.GRID[0])
    assert moved
    assert relative(case.numpy(params), case.numpy(smallest)) <= 1e-15


@frameworks
@pytest.mark.parametrize("optimizer", ["engd", "kfac"])
def test_stalls_are_counted(framework, optimizer):
    case = small(framework, SINE)
    _, state, step = case.prepare(optimizer, damping=1e-2, decay=0.0)
    nowhere = [matrix * np.nan for matrix in case.params]
    for params, stalls in ((case.params, 0), (nowhere, 1), (nowhere, 2)):
        _, state, _ = step(params, state, case.batch)
        assert int(state.search.stalls) == stalls


@frameworks
def test_an_unknown_activation_is_answered(framework):
    with pytest.raises(UnknownName, match="tanh"):
        implementations.load(framework).Objective(SINE, "tanhh_5")


def test_an_unknown_framework_is_answered():
    with pytest.raises(UnknownName, match="torch"):
        implementations.load("pytorch")


def test_a_missing_framework_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(implementations, "is_installed", lambda name: name != "jax")
    with pytest.raises(
        implementations.FrameworkMissing, match=r"pip install 'pinn-optbench\[jax\]'"
    ):
        implementations.load("jax")
