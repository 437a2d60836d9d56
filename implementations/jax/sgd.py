"""Stochastic gradient descent with heavy-ball momentum, m ← μ m + g, θ ← θ − η m (torch.optim's convention)."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from implementations.hyperparameters import Fraction, Positive, optimizer
from implementations.jax.objective import Losses, Objective
from implementations.jax.parameters import Params
from problems.problem import Batch


class State(NamedTuple):
    """What SGD remembers."""

    momentum: list[Array]  # m, like the parameters


@optimizer
class SGD:
    """Gradient descent with momentum."""

    name: ClassVar[str] = "sgd"
    version: ClassVar[int] = 1

    learning_rate: Positive = 1e-2
    momentum: Fraction = 0.9

    def init(self, objective: Objective, params: Params) -> State:
        """No momentum yet."""
        return State([jnp.zeros_like(matrix) for matrix in params])

    def step(self, objective: Objective, params: Params, state: State, batch: Batch) -> tuple[Params, State, Losses]:
        """One step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        momentum = [self.momentum * m + g for m, g in zip(state.momentum, gradient, strict=True)]
        params = [matrix - self.learning_rate * m for matrix, m in zip(params, momentum, strict=True)]
        return params, State(momentum), losses

    def check(self, state: State) -> None:
        """Nothing to fail."""
