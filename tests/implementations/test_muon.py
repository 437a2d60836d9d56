"""Muon against torch.optim, optax and singular values."""

import numpy as np
import oracle_first_order
import pytest
from small import drawn, frameworks, needs, relative, small

from optbench import problems

SINE = problems.get("poisson_sine_2d")
NETWORK = "tanh_4_6_3_3"  # layers between that are tall, wide and square
STEPS = 20


def walk(case, steps=STEPS, **fields):
    _, state, step = case.prepare("muon", **fields)
    params = case.params
    for _ in range(steps):
        params, state, _ = step(params, state, case.batch)
        yield case.numpy(params)


def split(matrices):
    """The weights that are Muon's, and the rest."""
    first, *between, last = matrices
    return [m[:, :-1] for m in between], [first, *(m[:, -1:] for m in between), last]


def joined(weights, rest):
    first, *biases, last = rest
    pairs = zip(weights, biases, strict=True)
    return [first, *(np.concatenate(pair, 1) for pair in pairs), last]


def differentiated(case):
    """The function from NumPy's parameters to the gradient."""
    backend = case.framework.backend
    gradient = backend.compile(case.objective.gradient)
    return lambda params: case.numpy(
        gradient([backend.from_numpy(m) for m in params], case.batch)[1]
    )


@frameworks
@pytest.mark.parametrize("nesterov", [True, False])
def test_equals_iterations_on_singular_values(framework, nesterov):
    case = small(framework, SINE, NETWORK)
    fields = {"momentum": 0.9, "learning_rate": 0.01, "nesterov": nesterov}
    expected = oracle_first_order.muon_steps(
        SINE, case.start, drawn(SINE), STEPS, adam_learning_rate=5e-3, **fields
    )
    ours = walk(case, adam_learning_rate=5e-3, **fields)
    for here, there in zip(ours, expected, strict=True):
        assert relative(here, there) <= 1e-11


def path_of_torch(slopes, start, nesterov):
    """torch.optim.Muon and Adam on our gradients."""
    import torch

    weights, rest = (
        [torch.tensor(m, requires_grad=True) for m in part] for part in split(start)
    )
    optimizers = (
        torch.optim.Muon(
            weights, lr=2e-2, momentum=0.95, nesterov=nesterov, weight_decay=0
        ),
        torch.optim.Adam(rest, lr=1e-2),
    )
    for _ in range(STEPS):
        here = joined(*([m.detach().numpy() for m in part] for part in (weights, rest)))
        for part, found in zip((weights, rest), split(slopes(here)), strict=True):
            for matrix, slope in zip(part, found, strict=True):
                matrix.grad = torch.tensor(slope)
        for optimizer in optimizers:
            optimizer.step()
        yield joined(*([m.detach().numpy() for m in part] for part in (weights, rest)))


@frameworks
@pytest.mark.parametrize("nesterov", [True, False])
def test_equals_torch_optim_whose_bfloat16_is_float64(framework, nesterov, monkeypatch):
    torch = pytest.importorskip("torch")
    case = small(framework, SINE, NETWORK)
    ours, slopes = list(walk(case, nesterov=nesterov)), differentiated(case)
    assert relative(ours[-1], list(path_of_torch(slopes, case.start, nesterov))[-1]) > 1e-4
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda matrix: matrix.clone())
    for here, there in zip(ours, path_of_torch(slopes, case.start, nesterov), strict=True):
        assert relative(here, there) <= 1e-12


def path_of_optax(slopes, start, nesterov):
    """optax's Muon and Adam on our gradients."""
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    params = [[jax.numpy.asarray(m) for m in part] for part in split(start)]
    axes = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
    optimizers = (
        optax.contrib.muon(
            2e-2,
            eps=0.0,
            nesterov=nesterov,
            muon_weight_dimension_numbers=[axes for _ in params[0]],
        ),
        optax.adam(1e-2),
    )
    states = [one.init(part) for one, part in zip(optimizers, params, strict=True)]
    updates = [jax.jit(one.update) for one in optimizers]
    for _ in range(STEPS):
        found = split(slopes(joined(*([np.array(m) for m in p] for p in params))))
        for k, update in enumerate(updates):
            slope = [jax.numpy.asarray(m) for m in found[k]]
            change, states[k] = update(slope, states[k], params[k])
            params[k] = optax.apply_updates(params[k], change)
        yield joined(*([np.array(m) for m in part] for part in params))


@frameworks
def test_equals_optax_without_nesterov(framework):
    pytest.importorskip("optax")
    case = small(framework, SINE, NETWORK)
    ours, slopes = walk(case, nesterov=False), differentiated(case)
    for here, there in zip(
        ours, path_of_optax(slopes, case.start, nesterov=False), strict=True
    ):
        assert relative(here, there) <= 1e-12


@needs["torch"]
@pytest.mark.medium
def test_optax_corrects_nesterov_s_bias_in_its_own_way():
    pytest.importorskip("optax")
    case = small("torch", SINE, NETWORK)
    slopes = differentiated(case)
    (*_, here), (*_, there) = walk(case), path_of_optax(slopes, case.start, nesterov=True)
    assert 1e-6 < relative(here, there) < 1e-2


@frameworks
def test_with_one_hidden_layer_it_is_adam(framework):
    case = small(framework, SINE, "tanh_5")
    _, state, step = case.prepare("adam", learning_rate=3e-3)
    params = case.params
    for ours in walk(case, steps=3, adam_learning_rate=3e-3, learning_rate=0.5):
        params, state, _ = step(params, state, case.batch)
        assert all(map(np.array_equal, ours, case.numpy(params)))


@frameworks
def test_singular_values_end_near_one_and_zero_stays_zero(framework):
    case = small(framework, SINE)
    orthogonalized = case.part("optimizers.muon").orthogonalized
    put = case.framework.backend.from_numpy
    U, _, Vt = np.linalg.svd(
        np.random.default_rng(0).standard_normal((7, 4)), full_matrices=False
    )
    matrix = 1e3 * U @ np.diag([1.0, 0.3, 0.1, 0.02]) @ Vt
    values = np.linalg.svd(case.numpy(orthogonalized(put(matrix))), compute_uv=False)
    assert ((values > 0.68) & (values < 1.14)).all()
    assert not case.numpy(orthogonalized(put(np.zeros((3, 2))))).any()


def no_widening(part, monkeypatch):
    monkeypatch.setattr(part, "widening", lambda weights: 1.0)


def another_coefficient(part, monkeypatch):
    monkeypatch.setattr(part, "COEFFICIENTS", (3.4445, -4.7750, 2.0312))


def an_iteration_less(part, monkeypatch):
    monkeypatch.setattr(part, "ITERATIONS", 4)


def the_last_layer_too(part, monkeypatch):
    def split(params):
        first, *others = params
        return [m[:, :-1] for m in others], [first, *(m[:, -1:] for m in others)]

    def joined(weights, rest):
        import torch

        first, *biases = rest
        return [first, *(torch.cat(p, 1) for p in zip(weights, biases, strict=True))]

    monkeypatch.setattr(part, "split", split)
    monkeypatch.setattr(part, "joined", joined)


MUTANTS = [
    no_widening,
    another_coefficient,
    an_iteration_less,
    the_last_layer_too,
]


@needs["torch"]
@pytest.mark.parametrize("plant", MUTANTS)
def test_a_planted_error_is_noticed(plant, monkeypatch):
    case = small("torch", SINE, NETWORK)
    (expected,) = oracle_first_order.muon_steps(SINE, case.start, drawn(SINE), 1)
    assert relative(next(walk(case)), expected) <= 1e-12
    plant(case.part("optimizers.muon"), monkeypatch)
    assert relative(next(walk(case)), expected) > 1e-8
