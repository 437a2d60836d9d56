"""Stochastic gradient descent with heavy-ball momentum, m ← μ m + g, θ ← θ − η m.

The convention is torch.optim's.
"""

from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from optbench.implementations.hyperparameters import (
    Count,
    Fraction,
    Positive,
    Share,
    optimizer,
)
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.implementations.torch.passes.parameters import Params
from optbench.implementations.torch.solvers.learning_rate import (
    Progress,
    after,
    learning_rate,
    start,
    tell,
)
from optbench.problems.problem import Batch


class State(NamedTuple):
    """What SGD remembers."""

    momentum: list[Tensor]  # m, like the parameters
    progress: Progress | tuple[()]  # of a learning rate that changes


@optimizer
class SGD(Optimizer):
    """Gradient descent with momentum."""

    name: ClassVar[str] = "sgd"
    version: ClassVar[int] = 1

    learning_rate: Positive = 1e-2
    momentum: Fraction = 0.9
    schedule: Literal["constant", "cosine", "exponential"] = "constant"  # after the warm-up
    schedule_steps: Count | None = (
        None  # its length with the warm-up; None: the run's budget, seconds or steps
    )
    schedule_end: Share = 0.01  # of the learning rate that is left at its end
    warm_up: Fraction = (
        0.0  # the share of its length in which the learning rate rises from 0
    )

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without momentum."""
        return State([torch.zeros_like(matrix) for matrix in params], start(self, params))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        rate = learning_rate(self, state.progress)
        momentum = [
            self.momentum * m + g for m, g in zip(state.momentum, gradient, strict=True)
        ]
        params = [matrix - rate * m for matrix, m in zip(params, momentum, strict=True)]
        return params, State(momentum, after(state.progress)), losses

    def progress(self, state: State, share: float) -> State:
        """Tell the schedule the share of the run's budget that is spent."""
        return tell(self, state, share)
