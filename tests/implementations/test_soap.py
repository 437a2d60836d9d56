"""SOAP against NumPy, pytorch-optimizer and Adam."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import oracle_first_order
import pytest
from small import drawn, frameworks, needs, needs_both, relative, small

from optbench import implementations, problems
from optbench.implementations.protocol import Losses
from optbench.measure import parity

SINE = problems.get("poisson_sine_2d")
# what is left of rounding is divided by eps: 1e-10 of it with 1e-4
CASES = [
    ({"interval": 3, "eps": 1e-4}, 20, 1e-10),
    ({"interval": 2, "eps": 1e-4, "beta1": 0.8, "beta2": 0.9, "shift": 1e-2}, 12, 1e-10),
    pytest.param({}, 20, 1e-6, marks=pytest.mark.slow),
]


def walk(case, steps, **fields):
    _, state, step = case.prepare("soap", **fields)
    params = case.params
    for _ in range(steps):
        params, state, _ = step(params, state, case.batch)
        yield case.numpy(params)


@frameworks
@pytest.mark.parametrize(("fields", "steps", "tolerance"), CASES, ids=str)
def test_equals_the_formulas(framework, fields, steps, tolerance):
    case = small(framework, SINE)
    expected = oracle_first_order.soap_steps(SINE, case.start, drawn(SINE), steps, **fields)
    ours = list(walk(case, steps, **fields))
    assert relative(ours[0], case.start) == 0 < relative(ours[1], case.start)
    for here, there in zip(ours, expected, strict=True):
        assert relative(here, there) <= tolerance


@frameworks
def test_in_the_parameters_basis_it_is_adam_one_call_late(framework):
    torch = pytest.importorskip("torch")
    case = small(framework, SINE)
    # eps stands elsewhere in Adam
    made, state, step = case.prepare("soap", interval=1000, eps=1e-30)
    params, state, _ = step(case.params, state, case.batch)
    own = made.init(case.objective, case.params).layers
    state = state._replace(
        layers=[
            layer._replace(Q_L=at_first.Q_L, Q_R=at_first.Q_R)
            for layer, at_first in zip(state.layers, own, strict=True)
        ]
    )
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    adam = torch.optim.Adam(theirs, lr=1e-2, betas=(0.95, 0.95), eps=1e-30)
    differentiate = case.framework.backend.compile(case.objective.gradient)
    for _ in range(20):
        put = case.framework.backend.from_numpy
        here = [put(matrix.detach().numpy()) for matrix in theirs]
        slopes = case.numpy(differentiate(here, case.batch)[1])
        for matrix, slope in zip(theirs, slopes, strict=True):
            matrix.grad = torch.tensor(slope)
        adam.step()
        params, state, _ = step(params, state, case.batch)
        assert (
            relative(case.numpy(params), [matrix.detach().numpy() for matrix in theirs])
            <= 1e-11
        )


def quadratic(size=4):
    """P and Q, positive definite, C, and a start, of ½ tr(XᵀPXQ) − tr(CᵀX).

    The gradient P X Q − C is not singular: no factor has a null space.
    """
    random = np.random.default_rng(3)
    A, B, C, start = random.standard_normal((4, size, size))
    P, Q = (M @ M.T / size + np.eye(size) for M in (A, B))
    return P, Q, C, start


@frameworks
@pytest.mark.parametrize(("eps", "tolerance"), [(1e-8, 1e-6), (1e-3, 1e-10)])
def test_equals_pytorch_optimizer_where_no_factor_is_singular(
    framework, eps, tolerance, monkeypatch
):
    """With its QR in float64, and in its eigenvectors after the first step."""
    torch = pytest.importorskip("torch")
    others = pytest.importorskip("pytorch_optimizer.optimizer.soap")
    in_double = SimpleNamespace(**vars(torch) | {"float32": torch.float64})
    monkeypatch.setattr(others, "torch", in_double)
    P, Q, C, start = quadratic()
    loaded = implementations.load(framework)
    put, numpy = loaded.backend.from_numpy, loaded.backend.to_numpy
    p, q, c = map(put, (P, Q, C))
    objective = SimpleNamespace(
        gradient=lambda params, _: (Losses({}), [p @ params[0] @ q - c])
    )
    made = loaded.OPTIMIZERS["soap"](interval=3, eps=eps, shift=0.0)
    step = loaded.backend.compile(partial(made.step, objective))
    params = [put(start)]
    state = made.init(objective, params)
    params, state, _ = step(params, state, None)
    (layer,) = state.layers
    bases = (put(np.linalg.eigh(numpy(F))[1][:, ::-1].copy()) for F in layer[:2])
    state = state._replace(
        layers=[layer._replace(**dict(zip(("Q_L", "Q_R"), bases, strict=True)))]
    )
    theirs = torch.tensor(start, requires_grad=True)
    soap = others.SOAP(
        [theirs], lr=1e-2, weight_decay=0.0, precondition_frequency=3, eps=eps
    )
    for number in range(21):
        if number:
            params, state, _ = step(params, state, None)
        theirs.grad = torch.tensor(P @ theirs.detach().numpy() @ Q - C)
        soap.step()
        assert relative(numpy(params[0]), theirs.detach().numpy()) <= tolerance


@frameworks
def test_bases_stay_orthogonal_and_in_order(framework):
    case = small(framework, SINE)
    _, state, step = case.prepare("soap", interval=1)
    params = case.params
    for _ in range(20):
        params, state, _ = step(params, state, case.batch)
    for layer in case.numpy(state.layers):
        for factor, basis in ((layer.L, layer.Q_L), (layer.R, layer.Q_R)):
            assert np.abs(basis.T @ basis - np.eye(len(basis))).max() <= 1e-13
            turned = basis.T @ factor @ basis
            assert np.abs(np.triu(turned, 1)).max() <= 0.1 * turned[0, 0]
            assert turned[0, 0] == pytest.approx(np.linalg.norm(factor, 2), rel=1e-2)


@needs["torch"]
def test_without_a_shift_rounding_chooses_in_the_null_spaces():
    """The order of the points changes nothing but rounding."""
    torch = implementations.load("torch")
    walks = (
        parity.walker(torch, parity.Case(SINE, "soap", {"shift": shift}, steps=10))
        for shift in (1e-4, 0.0)
    )
    shifted, not_shifted = (parity.difference(walk(0), walk(1)) for walk in walks)
    assert shifted <= 1e-6
    assert not_shifted > 1e-3


@needs_both
def test_twins_with_the_defaults_agree_as_rounding_lets_them():
    """parity.CONDITIONED has a larger eps, under which they agree to 1e-10."""
    certificate = parity.certify(parity.Case(SINE, "soap"), parity.both())
    assert certificate.difference <= 1e-6
    assert certificate.agrees


def no_order(part, monkeypatch):
    def wrong(options, factor, Q):
        shift = options.shift * factor.trace() / len(factor)
        return part.torch.linalg.qr(factor @ Q + shift * Q).Q, range(len(Q))

    monkeypatch.setattr(part, "iterated", wrong)


def squares_stay(part, monkeypatch):
    right = part.turned
    monkeypatch.setattr(
        part, "turned", lambda options, layer: right(options, layer)._replace(V=layer.V)
    )


def moments_stay(part, monkeypatch):
    right = part.turned
    monkeypatch.setattr(
        part, "turned", lambda options, layer: right(options, layer)._replace(M=layer.M)
    )


def one_iteration_at_first(part, monkeypatch):
    monkeypatch.setattr(part, "BEGINNING", 1)


def factors_decay_like_the_first_moment(part, monkeypatch):
    right = part.gathered
    monkeypatch.setattr(
        part,
        "gathered",
        lambda options, layer, G: right(replace(options, beta2=options.beta1), layer, G),
    )


def a_step_too_late(part, monkeypatch):
    """t counts the first call too."""
    right = part.descended
    monkeypatch.setattr(
        part,
        "descended",
        lambda options, params, gradient, state: right(
            options, params, gradient, state._replace(step=state.step + 1)
        ),
    )


MUTANTS = [
    no_order,
    squares_stay,
    moments_stay,
    one_iteration_at_first,
    factors_decay_like_the_first_moment,
    a_step_too_late,
]


@needs["torch"]
@pytest.mark.parametrize("plant", MUTANTS)
def test_a_planted_error_is_noticed(plant, monkeypatch):
    case = small("torch", SINE)
    fields, steps, tolerance = CASES[1]
    expected = oracle_first_order.soap_steps(SINE, case.start, drawn(SINE), steps, **fields)
    plant(case.part("optimizers.soap"), monkeypatch)
    *_, ours = walk(case, steps, **fields)
    assert relative(ours, expected[-1]) > 1e3 * tolerance
