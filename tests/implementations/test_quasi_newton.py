"""Quasi-Newton methods against torch.optim and SciPy, H against B, and what ends them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import optimize
from small import drawn, frameworks, needs, relative, small, vector

from optbench import problems
from optbench.implementations.failures import Stalled
from optbench.implementations.protocol import Losses
from optbench.training.memory import foresee

SINE = problems.get("poisson_sine_2d")
DENSE = ("bfgs", "ssbfgs", "ssbroyden")
every_one = pytest.mark.parametrize("optimizer", ["lbfgs_wolfe", *DENSE])


def counted(made, state):
    return {name: int(count) for name, count in state.counts._asdict().items()}


@frameworks
@pytest.mark.parametrize("history_size", [3, 50])
def test_lbfgs_wolfe_is_torch_s_without_its_constants(framework, history_size):
    torch = pytest.importorskip("torch")
    case = small(framework, SINE, "tanh_8", interior=40, boundary=20)
    differentiate = case.framework.backend.compile(case.objective.gradient)
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    optimizer = torch.optim.LBFGS(
        theirs,
        max_iter=1,
        max_eval=26,  # newer versions give the search what is left of it
        history_size=history_size,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        here = [matrix.detach().numpy() for matrix in theirs]
        losses, gradient = case.numpy(
            differentiate(case.framework.backend.from_numpy_tree(here), case.batch)
        )
        for matrix, entries in zip(theirs, gradient, strict=True):
            matrix.grad = torch.tensor(entries)
        return torch.tensor(float(losses.total), dtype=torch.float64)

    _, state, step = case.prepare("lbfgs_wolfe", history_size=history_size)
    params = case.params
    for _ in range(20):
        optimizer.step(closure)
        params, state, _ = step(params, state, case.batch)
        ours = case.numpy(params)
        assert relative(ours, [matrix.detach().numpy() for matrix in theirs]) <= 1e-12
    assert relative(ours, case.start) > 0.1


def theta_and_tau(name, a, b, h, D):
    """The formulas of Al-Baali and Khalfan, in NumPy."""
    q = min(1, 1 / b)
    if name != "ssbroyden" or a <= 1e-12:
        return 0.0, {"bfgs": 1.0}.get(name, q)
    rho = min(1, h * (1 - np.sqrt(a / (1 + a))))
    theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))
    sigma = 1 + a * theta
    sigma_D = abs(sigma) ** (1 / (1 - D))
    return theta, min(q * sigma_D, sigma) if theta <= 0 else q * min(sigma_D, 1 / theta)


def b_form_errors(framework, name, initial_scaling):
    """Update H ten times; how far each is from the inverse of B's update, in NumPy."""
    case = small(framework, SINE)
    put, pair = case.framework.backend.from_numpy, case.part("solvers.quasi_newton").Pair
    made = case.framework.OPTIMIZERS[name](initial_scaling=initial_scaling)
    random, D = np.random.default_rng(0), 6
    memory, B = made.identity(put(np.zeros(D))), np.eye(D)
    hessian = np.diag(4.0 ** np.arange(-2, D - 2))
    thetas = []
    for number in range(10):
        gradient, t = random.normal(size=D), random.uniform(0.2, 2)
        H = np.linalg.inv(B)
        s = -t * H @ gradient
        y = hessian @ s + 1e-3 * np.abs(s).max() * random.normal(size=D)
        ys, sBs, yHy = y @ s, s @ B @ s, y @ H @ y
        assert ys > 0
        a, b, h = sBs * yHy / ys**2 - 1, sBs / ys, yHy / ys
        theta, tau = theta_and_tau(name, a, b, h, D)
        if initial_scaling and number == 0:
            tau = h / (1 + a * theta)
        thetas.append(theta)
        w = y / ys - B @ s / sBs
        B = tau * (B - np.outer(B @ s, B @ s) / sBs + theta * sBs * np.outer(w, w))
        B = B + np.outer(y, y) / ys
        model = put(np.array(-t * s @ gradient))
        curvature, decrease = put(np.array(ys)), put(np.array(0.5))
        memory = made.update(memory, pair(put(s), put(y), curvature, model, decrease))
        assert float(memory.decrease) == 0.5
        H = case.numpy(memory.inverse)
        assert np.array_equal(H, H.T)
        yield np.abs(H @ B - np.eye(D)).max() / np.linalg.cond(B)
        yield relative(H @ y, s)
        yield float(np.linalg.eigvalsh(H).min() <= 0)
    # DFP's side, BFGS's and beyond it: all are there
    assert (min(thetas) < 0 < max(thetas)) == (name == "ssbroyden")


@frameworks
@pytest.mark.parametrize("initial_scaling", [False, True])
@pytest.mark.parametrize("name", DENSE)
def test_an_update_of_h_is_the_inverse_of_b_s(framework, name, initial_scaling):
    assert max(b_form_errors(framework, name, initial_scaling)) <= 1e-12


@frameworks
@pytest.mark.parametrize("name", DENSE)
def test_a_wrong_scaling_is_noticed(framework, name, monkeypatch):
    case = small(framework, SINE)
    right = case.framework.OPTIMIZERS[name].scaling

    def wrong(self, a, b, h, size):
        theta, tau = right(self, a, b, h, size + 1)  # σ to the power 1/(1 − D), and …
        return theta, tau if name == "ssbroyden" else tau * 1.01

    monkeypatch.setattr(case.framework.OPTIMIZERS[name], "scaling", wrong)
    assert max(b_form_errors(framework, name, False)) > 1e-6


@frameworks
@pytest.mark.parametrize("name", DENSE)
def test_a_search_begins_where_the_last_decrease_says(framework, name):
    case = small(framework, SINE)
    put, made = case.framework.backend.from_numpy, case.framework.OPTIMIZERS[name]

    def first(slope, **fields):
        memory = made(**fields).identity(put(np.zeros(4)))
        memory = memory._replace(decrease=put(np.array(0.5)))
        return float(made(**fields).trial(memory, put(np.array(slope))))

    assert first(-4.0, first_trial="decrease") == pytest.approx(1.01 * 2 * 0.5 / 4)
    assert first(-0.5, first_trial="decrease") == 1
    assert first(-4.0) == 1


@needs["torch"]
def test_what_is_tried_first_is_of_the_step_before(monkeypatch):
    case, tried = small("torch", SINE), []
    module = case.part("solvers.quasi_newton")

    def noted(along, start, size, search=module.strong_wolfe):
        tried.append((float(size), float(start.slope)))
        return search(along, start, size)

    monkeypatch.setattr(module, "strong_wolfe", noted)
    _, state, step = case.prepare("bfgs", first_trial="decrease")
    params, decreases = case.params, []
    for _ in range(8):
        params, state, before = step(params, state, case.batch)
        decreases.append(float(before.total) - float(state.loss))
    for (size, slope), decrease in zip(tried[1:], decreases, strict=False):
        assert size == pytest.approx(min(1, 2.02 * decrease / -slope), rel=1e-12)
    assert min(size for size, _ in tried[1:]) < 1


def evaluations_until(case, name, levels, **fields):
    """How many evaluations each level of the loss takes."""
    _, state, step = case.prepare(name, **fields)
    params, seen = case.params, []
    while not seen or seen[-1][1] > min(levels):
        params, state, _ = step(params, state, case.batch)
        assert not state.ended
        seen.append((int(state.counts.evaluations), float(state.loss)))
    return [next(count for count, loss in seen if loss <= level) for level in levels]


def of_scipy(case, method, levels, **options):
    """The same of `scipy.optimize.minimize`, every gradient counted."""
    put = case.framework.backend.from_numpy
    differentiate = case.framework.backend.compile(case.objective.gradient)
    split, seen = case.part("passes.parameters").split_like, []

    def value(theta):
        losses, gradient = differentiate(split(case.params, put(theta)), case.batch)
        seen.append(float(losses.total))
        return seen[-1], vector(case.numpy(gradient))

    options |= {"maxiter": 2000}
    optimize.minimize(value, vector(case.start), jac=True, method=method, options=options)
    return [next(n for n, loss in enumerate(seen, 1) if loss <= level) for level in levels]


@needs["torch"]
@pytest.mark.parametrize(
    ("name", "fields", "method", "options", "times"),
    [
        (
            "lbfgs_wolfe",
            {"history_size": 50},
            "L-BFGS-B",
            {"maxcor": 50, "ftol": 0, "gtol": 0, "maxfun": 5000},
            1.25,
        ),
        ("bfgs", {}, "BFGS", {"gtol": 0}, 1.6),
        ("bfgs", {"first_trial": "decrease"}, "BFGS", {"gtol": 0}, 1.25),
    ],
)
@pytest.mark.parametrize(
    ("problem", "levels"),
    [
        ("heat_sine_1d", [1e-2, 1e-3, 1e-4]),
        ("poisson_sine_2d", [1e-2, 1e-3]),
    ],
)
@pytest.mark.slow  # the certificate of docs/methods/baselines.md is of the same
def test_scipy_needs_no_fewer_evaluations(
    problem, levels, name, fields, method, options, times
):
    # wide enough, and with more points than parameters: else paths differ by chance
    case = small(
        "torch", problems.get(problem), "tanh_32", interior=200, boundary=60, seed=0
    )
    ours = evaluations_until(case, name, levels, **fields)
    theirs = of_scipy(case, method, levels, **options)
    assert (np.array(ours) <= times * np.array(theirs)).all(), (ours, theirs)


@needs["torch"]
@every_one
def test_small_slopes_end_nothing(optimizer):
    case = small("torch", SINE, "tanh_12", interior=12, boundary=8)
    made, state, step = case.prepare(optimizer)
    params, beyond = case.params, 0
    while beyond < 10:
        loss = float(state.loss)
        params, state, _ = step(params, state, case.batch)
        made.check(state)
        slope = state.gradient.dot(made.direction(state.memory, state.gradient))
        beyond += bool(slope > -1e-9)  # torch.optim.LBFGS takes no step from here
        assert not beyond or float(state.loss) < loss
    assert counted(made, state)["stalls"] == 0


@frameworks
@every_one
def test_only_another_batch_is_evaluated_anew(framework, optimizer):
    case = small(framework, SINE, interior=20, boundary=12)
    made, state, step = case.prepare(optimizer)
    params, state, _ = step(case.params, state, case.batch)
    put, before = case.framework.backend.from_numpy_tree, counted(made, state)
    other = drawn(SINE, 20, 12)
    other["boundary"][1][-1] = np.nextafter(other["boundary"][1][-1], 9)  # the last bit
    _, same, losses = step(params, state, case.batch)
    _, new, others = step(params, state, put(other))
    assert counted(made, new)["evaluations"] == counted(made, same)["evaluations"] + 1
    assert float(losses.total) == pytest.approx(float(others.total), rel=1e-12)
    redrawn = put(drawn(SINE, 20, 12, index=1))
    after, state, losses = step(params, state, redrawn)
    expected = case.objective.losses(params, redrawn)
    assert float(losses.total) == pytest.approx(float(expected.total), rel=1e-12)
    assert counted(made, state)["resets"] == before["resets"] == 0
    # y is the change on that batch alone
    if optimizer == "lbfgs_wolfe":
        _, one = case.objective.gradient(params, redrawn)
        _, two = case.objective.gradient(after, redrawn)
        y = vector(case.numpy(two)) - vector(case.numpy(one))
        assert int(state.memory.stored) == 2
        assert relative(case.numpy(state.memory.changes)[1], y) <= 1e-9


@frameworks
def test_batches_that_differ_in_a_bit_have_other_fingerprints(framework):
    case = small(framework, SINE)
    put, part = case.framework.backend.from_numpy_tree, case.part("solvers.quasi_newton")
    random = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        numbers = np.concatenate([np.zeros(4), np.ones(4), random.random(8)]).astype(dtype)
        others = [numbers[::-1], np.roll(numbers, 1), 0.5 * numbers, -numbers]
        for place in range(16):
            for value in (1 - numbers[place], np.nextafter(numbers[place], dtype(2))):
                others.append(numbers.copy())
                others[-1][place] = value
        found = [
            int(part.fingerprint(put({"interior": (one[:8], one[8:])})))
            for one in map(np.ascontiguousarray, [numbers, numbers.copy(), *others])
        ]
        assert found[0] == found[1]
        assert len(set(found)) == len(found) - 1
        if dtype == np.float64:
            assert found[0] == FINGERPRINT


FINGERPRINT = -776813324847587501  # of both frameworks


def poisoned(memory):
    """A memory whose direction is not a number."""
    if hasattr(memory, "inverse"):
        return memory._replace(inverse=memory.inverse * np.nan)
    return memory._replace(scale=memory.scale * np.nan)


@frameworks
@every_one
def test_after_a_failure_it_begins_again(framework, optimizer):
    case = small(framework, SINE)
    made, first, step = case.prepare(optimizer)
    fresh, _, _ = step(case.params, first, case.batch)
    state = first._replace(memory=poisoned(first.memory))
    params, state, losses = step(case.params, state, case.batch)
    made.check(state)
    assert relative(case.numpy(params), case.start) == 0
    assert np.isfinite(float(losses.total))
    assert counted(made, state) == {
        "steps": 1,
        "evaluations": 1,  # of the start: without a direction nothing is tried
        "stalls": 1,
        "resets": 1,
        "skipped": 0,
    }
    params, state, _ = step(params, state, case.batch)
    assert relative(case.numpy(params), case.numpy(fresh)) <= 1e-15
    assert int(state.failed) == 0
    # so that one more failure is a first one again
    _, state, _ = step(params, state._replace(memory=poisoned(state.memory)), case.batch)
    made.check(state)


@frameworks
@every_one
def test_a_second_failure_in_a_row_is_the_end(framework, optimizer):
    case = small(framework, SINE)
    made, state, step = case.prepare(optimizer)
    params, state, _ = step(case.params, state, case.batch)
    nowhere = [matrix * np.nan for matrix in params]
    put = case.framework.backend.from_numpy_tree
    other, another = (put(drawn(SINE, index=index)) for index in (1, 2))
    _, state, _ = step(nowhere, state, other)
    made.check(state)
    _, state, _ = step(nowhere, state, other)
    evaluations = counted(made, state)["evaluations"]
    with pytest.raises(Stalled, match=r"^step 2 found no smaller loss") as caught:
        made.check(state)
    assert "\n" not in str(caught.value)
    after, state, _ = step(params, state, other)
    assert relative(case.numpy(after), case.numpy(params)) == 0
    count = counted(made, state)
    assert (count["evaluations"], count["stalls"], count["resets"]) == (evaluations, 3, 2)
    assert {name: int(n) for name, n in made.counters(state).items()} == {
        "stalls": 3,
        "evaluations": evaluations,
    }
    # other points are another question
    after, state, _ = step(params, state, another)
    assert relative(case.numpy(after), case.numpy(params)) > 0
    made.check(state)


@frameworks
@every_one
def test_a_pair_without_curvature_leaves_h_as_it_was(framework, optimizer):
    case = small(framework, SINE)
    slope = case.framework.backend.from_numpy(np.array([[-1.0, 0.25]]))

    def gradient(params, batch):
        half = (slope * params[0]).sum() / 2
        return Losses({"interior": half, "boundary": half}), [slope]

    plane = SimpleNamespace(problem=SINE, gradient=gradient)
    start = [case.framework.backend.from_numpy(np.ones((1, 2)))]
    case = case._replace(objective=plane, params=start)
    made, state, step = case.prepare(optimizer)
    params, after, _ = step(start, state, case.batch)
    assert float((slope * params[0]).sum()) < -0.75
    assert counted(made, after)["skipped"] == 1
    assert counted(made, after)["stalls"] == 0
    for one, other in zip(
        map(np.asarray, case.numpy(after.memory)), case.numpy(state.memory), strict=True
    ):
        assert np.array_equal(one, other)


@frameworks
@pytest.mark.parametrize("name", DENSE)
def test_a_dense_method_says_what_it_needs(framework, name):
    case = small(framework, SINE)
    put, made = case.framework.backend.from_numpy, case.framework.OPTIMIZERS[name]()
    with pytest.raises(ValueError, match=f"^{name} needs at least two parameters"):
        made.init(case.objective, [put(np.ones((1, 1)))])
    wide = [put(np.ones((100, 100)))]
    with pytest.raises(MemoryError, match=f"{name} needs 2.4 GB for a step, and 1 GB"):
        foresee(made, case.objective, wide, case.batch, case.framework.backend, 1e9)
