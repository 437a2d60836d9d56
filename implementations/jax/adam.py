"""Adam with bias correction, ε outside the root (Kingma and Ba 2015, algorithm 1; torch.optim's convention)."""

from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from implementations.hyperparameters import Fraction, Positive, optimizer
from implementations.jax.objective import Losses, Objective
from implementations.jax.parameters import Params
from problems.problem import Batch


class State(NamedTuple):
    """What Adam remembers."""

    step: Array  # steps done
    first: list[Array]  # moving average of the gradient, like the parameters
    second: list[Array]  # moving average of its square


@optimizer
class Adam:
    """Gradient descent with a step size for every parameter."""

    name: ClassVar[str] = "adam"
    version: ClassVar[int] = 1

    learning_rate: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8

    def init(self, objective: Objective, params: Params) -> State:
        """No moments yet."""
        first, second = ([jnp.zeros_like(matrix) for matrix in params] for _ in range(2))
        return State(jnp.zeros((), int), first, second)

    def step(self, objective: Objective, params: Params, state: State, batch: Batch) -> tuple[Params, State, Losses]:
        """One step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        step = state.step + 1
        first = [self.beta1 * m + (1 - self.beta1) * g for m, g in zip(state.first, gradient, strict=True)]
        second = [self.beta2 * v + (1 - self.beta2) * g * g for v, g in zip(state.second, gradient, strict=True)]
        # in float64 as in the twin: 1 − β₂ᵗ of a float32 β₂ is wrong by 1e-5
        unbias = (1 - jnp.array([self.beta1, self.beta2]) ** step).astype(params[0].dtype)
        params = [
            matrix - self.learning_rate * (m / unbias[0]) / (jnp.sqrt(v / unbias[1]) + self.eps)
            for matrix, m, v in zip(params, first, second, strict=True)
        ]
        return params, State(step, first, second), losses

    def check(self, state: State) -> None:
        """Nothing to fail."""
