"""Muon: momentum whose singular values are made alike, and Adam (Jordan et al. 2024).

Of every layer but the first and the last, the weights W move along their momentum, made
nearly orthogonal by five Newton-Schulz iterations. Biases and the outer layers are Adam's.

| Jordan | here | |
|---|---|---|
| G | `gradient` | of a layer's weights, without its column of biases |
| B, μ | `momentum`, the field too | B ← μ B + G |
| O | `orthogonalized` | about UVᵀ of B = UΣVᵀ: most values end between 0.68 and 1.16 |
| η | `learning_rate` | |

All is done in the parameters' precision: PyTorch's own rounds the iterations to bfloat16.
Source: https://kellerjordan.github.io/posts/muon/
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
from optbench.implementations.torch.optimizers.adam import Adam
from optbench.implementations.torch.optimizers.adam import State as AdamState
from optbench.implementations.torch.passes.parameters import Params
from optbench.implementations.torch.solvers.learning_rate import learning_rate
from optbench.problems.problem import Batch

# of X ↦ aX + bXXᵀX + c(XXᵀ)²X, steep at zero: five iterations bring singular values from
# 0.005 to 1 between 0.68 and 1.16
COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 5


class State(NamedTuple):
    """What Muon remembers."""

    momentum: list[Tensor]  # of the weights [out, in] of the layers between
    adam: AdamState  # of all else, and how far the schedule is


@optimizer
class Muon(Optimizer):
    """Orthogonalized momentum for the layers between the outer ones, Adam for the rest."""

    name: ClassVar[str] = "muon"
    version: ClassVar[int] = 1

    learning_rate: Positive = 2e-2
    momentum: Fraction = 0.95
    nesterov: bool = True  # along G + μ B in place of B
    adam_learning_rate: Positive = 1e-2  # of what Adam moves
    schedule: Literal["constant", "cosine", "exponential"] = "constant"  # of both rates
    schedule_steps: Count | None = (
        None  # its length with the warm-up; None: the run's budget, seconds or steps
    )
    schedule_end: Share = 0.01  # of the learning rates that is left at its end
    warm_up: Fraction = (
        0.0  # the share of its length in which the learning rates rise from 0
    )

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without momentum."""
        weights, rest = split(params)
        momentum = [torch.zeros_like(matrix) for matrix in weights]
        return State(momentum, adam_of_the_rest(self).init(objective, rest))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        weights, rest = split(params)
        slopes, slopes_of_rest = split(gradient)
        momentum = [
            self.momentum * m + g for m, g in zip(state.momentum, slopes, strict=True)
        ]
        along = [
            g + self.momentum * m if self.nesterov else m
            for m, g in zip(momentum, slopes, strict=True)
        ]
        rate = learning_rate(self, state.adam.progress)
        weights = [
            W - rate * widening(W) * orthogonalized(U)
            for W, U in zip(weights, along, strict=True)
        ]
        adam = adam_of_the_rest(self)
        rest, of_rest = adam.descend(rest, slopes_of_rest, state.adam)
        return joined(weights, rest), State(momentum, of_rest), losses

    def progress(self, state: State, share: float) -> State:
        """Tell the schedule the share of the run's budget that is spent."""
        return state._replace(adam=adam_of_the_rest(self).progress(state.adam, share))


def adam_of_the_rest(options: Muon) -> Adam:
    """Make the Adam that moves what is not orthogonalized, with the same schedule."""
    return Adam(
        learning_rate=options.adam_learning_rate,
        schedule=options.schedule,
        schedule_steps=options.schedule_steps,
        schedule_end=options.schedule_end,
        warm_up=options.warm_up,
    )


def split(params: Params) -> tuple[Params, Params]:
    """Split matrices [W | b] into the weights that are orthogonalized, and all else.

    The rest is the first layer's matrix, the biases [out, 1] of the layers between, and the
    last layer's matrix.
    """
    first, *between, last = params
    weights = [matrix[:, :-1] for matrix in between]
    return weights, [first, *(matrix[:, -1:] for matrix in between), last]


def joined(weights: Params, rest: Params) -> Params:
    """Join what `split` split."""
    first, *biases, last = rest
    between = zip(weights, biases, strict=True)
    return [first, *(torch.cat(pair, 1) for pair in between), last]


def widening(weights: Tensor) -> float:
    """Compute √max(1, rows / columns): a step changes outputs alike in every layer."""
    rows, columns = weights.shape
    return max(1.0, rows / columns) ** 0.5


def orthogonalized(matrix: Tensor) -> Tensor:
    """Bring a matrix's singular values near 1; zero stays zero."""
    a, b, c = COEFFICIENTS
    norm = torch.linalg.matrix_norm(matrix)
    X = matrix / torch.where(norm > 0, norm, 1)
    tall = X.shape[0] > X.shape[1]
    X = X.T if tall else X  # XXᵀ is the smaller product
    for _ in range(ITERATIONS):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if tall else X
