"""SGD and Adam against torch.optim and optax, step for step."""

import numpy as np
import pytest
from small import frameworks, relative, small

from optbench import problems

HYPERPARAMETERS = [
    ("sgd", {"learning_rate": 3e-3, "momentum": 0.9}),
    ("sgd", {"learning_rate": 3e-3, "momentum": 0.0}),
    ("adam", {"learning_rate": 1e-2}),
    ("adam", {"learning_rate": 1e-2, "beta1": 0.5, "beta2": 0.7, "eps": 1e-3}),
]


def torch_optimizer(name, fields, params):
    import torch

    if name == "sgd":
        return torch.optim.SGD(
            params, lr=fields["learning_rate"], momentum=fields["momentum"]
        )
    betas = fields.get("beta1", 0.9), fields.get("beta2", 0.999)
    return torch.optim.Adam(
        params, lr=fields["learning_rate"], betas=betas, eps=fields.get("eps", 1e-8)
    )


def optax_optimizer(name, fields):
    import optax

    if name == "sgd":
        return optax.sgd(fields["learning_rate"], momentum=fields["momentum"])
    b1, b2 = fields.get("beta1", 0.9), fields.get("beta2", 0.999)
    return optax.adam(fields["learning_rate"], b1=b1, b2=b2, eps=fields.get("eps", 1e-8))


def walk(case, name, fields, steps=20):
    _, state, step = case.prepare(name, **fields)
    params = case.params
    for _ in range(steps):
        params, state, _ = step(params, state, case.batch)
        yield case.numpy(params)


@frameworks
@pytest.mark.parametrize(("name", "fields"), HYPERPARAMETERS)
def test_equals_torch_optim(framework, name, fields):
    torch = pytest.importorskip("torch")
    case = small(framework, problems.get("heat_sine_1d"))
    theirs = [torch.tensor(matrix, requires_grad=True) for matrix in case.start]
    optimizer = torch_optimizer(name, fields, theirs)
    differentiate = case.framework.backend.compile(case.objective.gradient)
    for ours in walk(case, name, fields):
        here = [
            case.framework.backend.from_numpy(matrix.detach().numpy()) for matrix in theirs
        ]
        for matrix, slope in zip(
            theirs, case.numpy(differentiate(here, case.batch)[1]), strict=True
        ):
            matrix.grad = torch.tensor(slope)
        optimizer.step()
        assert relative(ours, [matrix.detach().numpy() for matrix in theirs]) <= 1e-12


@frameworks
@pytest.mark.parametrize(("name", "fields"), HYPERPARAMETERS)
def test_equals_optax(framework, name, fields):
    pytest.importorskip("optax")
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    case = small(framework, problems.get("poisson_sine_2d"))
    optimizer = optax_optimizer(name, fields)
    theirs = [jax.numpy.asarray(matrix) for matrix in case.start]
    state = optimizer.init(theirs)
    differentiate = case.framework.backend.compile(case.objective.gradient)
    for ours in walk(case, name, fields):
        here = [case.framework.backend.from_numpy(np.asarray(matrix)) for matrix in theirs]
        gradient = [
            jax.numpy.asarray(matrix)
            for matrix in case.numpy(differentiate(here, case.batch)[1])
        ]
        updates, state = optimizer.update(gradient, state)
        theirs = optax.apply_updates(theirs, updates)
        assert relative(ours, [np.asarray(matrix) for matrix in theirs]) <= 1e-12
