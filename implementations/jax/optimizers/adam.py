"""Adam with bias correction (Kingma and Ba 2015, algorithm 1).

ε is outside the root, torch.optim's convention.
"""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.hyperparameters import (
    Count,
    Fraction,
    Positive,
    Share,
    optimizer,
)
from optbench.implementations.jax.passes.parameters import Params
from optbench.implementations.jax.solvers.learning_rate import (
    Progress,
    after,
    learning_rate,
    start,
    tell,
)
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch


class State(NamedTuple):
    """What Adam remembers."""

    step: Array  # steps done
    first: list[Array]  # moving average of the gradient, like the parameters
    second: list[Array]  # moving average of its square
    progress: Progress | tuple[()]  # of a learning rate that changes


@optimizer
class Adam(Optimizer):
    """Gradient descent with a step size for every parameter."""

    name: ClassVar[str] = "adam"
    version: ClassVar[int] = 1

    learning_rate: Positive = 1e-3
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    eps: Positive = 1e-8
    schedule: Literal["constant", "cosine", "exponential"] = "constant"  # after the warm-up
    schedule_steps: Count | None = (
        None  # its length with the warm-up; None: the run's budget, seconds or steps
    )
    schedule_end: Share = 0.01  # of the learning rate that is left at its end
    warm_up: Fraction = (
        0.0  # the share of its length in which the learning rate rises from 0
    )

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without moments."""
        first, second = ([jnp.zeros_like(matrix) for matrix in params] for _ in range(2))
        return State(jnp.zeros((), int), first, second, start(self, params))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        return *self.descend(params, gradient, state), losses

    def descend(
        self, params: Params, gradient: Params, state: State
    ) -> tuple[Params, State]:
        """Move parameters by their gradient."""
        rate = learning_rate(self, state.progress)
        step = state.step + 1
        first = [
            self.beta1 * m + (1 - self.beta1) * g
            for m, g in zip(state.first, gradient, strict=True)
        ]
        second = [
            self.beta2 * v + (1 - self.beta2) * g * g
            for v, g in zip(state.second, gradient, strict=True)
        ]
        # in float64 as in the twin: 1 − β₂ᵗ of a float32 β₂ is wrong by 1e-5
        unbias = (1 - jnp.array([self.beta1, self.beta2]) ** step).astype(params[0].dtype)
        params = [
            matrix - rate * (m / unbias[0]) / (jnp.sqrt(v / unbias[1]) + self.eps)
            for matrix, m, v in zip(params, first, second, strict=True)
        ]
        return params, State(step, first, second, after(state.progress))

    def progress(self, state: State, share: float) -> State:
        """Tell the schedule the share of the run's budget that is spent."""
        return tell(self, state, share)
