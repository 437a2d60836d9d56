"""A step of every optimizer in every framework, and of torch.optim's and optax's.

Theirs are there to see what an optimizer costs beside ours; the gradient is ours in both.
"""

from collections.abc import Callable
from typing import Any

import pytest

from optbench import implementations
from optbench.measure.timed import Timed

OPTIMIZERS = list(implementations.load(implementations.installed()[0]).OPTIMIZERS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_step(benchmark, timed, framework, problem, optimizer):
    benchmark(timed(framework, problem, optimizer))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("framework", ["torch"])
def test_step_of_torch_optim(benchmark, timed, framework, problem, optimizer):
    benchmark(torch_optim(timed(framework, problem, optimizer)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("framework", ["jax"])
def test_step_of_optax(benchmark, timed, framework, problem, optimizer):
    step = optax(timed(framework, problem, optimizer))
    step()  # compiles
    benchmark(step)


def torch_optim(timed: Timed) -> Callable[[], Any]:
    """Make a step of torch.optim's twin, which moves its own copy of the parameters."""
    import torch

    ours, params = timed.optimizer, [matrix.clone() for matrix in timed.params]
    if ours.name == "sgd":
        theirs = torch.optim.SGD(params, lr=ours.learning_rate, momentum=ours.momentum)
    else:
        theirs = torch.optim.Adam(
            params, lr=ours.learning_rate, betas=(ours.beta1, ours.beta2), eps=ours.eps
        )
    gradient = timed.framework.backend.compile(timed.objective.gradient)

    def step() -> list[Any]:
        _, gradients = gradient(params, timed.batch)
        for matrix, derivative in zip(params, gradients, strict=True):
            matrix.grad = derivative
        theirs.step()
        timed.framework.backend.wait(params)
        return params

    return step


def optax(timed: Timed) -> Callable[[], Any]:
    """Make a step of optax's twin of an optimizer, compiled as ours."""
    import optax

    ours = timed.optimizer
    if ours.name == "sgd":
        theirs = optax.sgd(ours.learning_rate, momentum=ours.momentum)
    else:
        theirs = optax.adam(ours.learning_rate, b1=ours.beta1, b2=ours.beta2, eps=ours.eps)

    def step(params, batch, state):
        losses, gradient = timed.objective.gradient(params, batch)
        updates, state = theirs.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, losses

    return timed.function(step, theirs.init(timed.params))
