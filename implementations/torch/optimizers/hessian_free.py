"""Hessian-free optimization (Martens 2010): conjugate gradients on a damped curvature.

The network is linearized once a step: every product G v comes from what is stored of it.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import Count, Fraction, NonNegative, optimizer
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.curvature import expand
from optbench.implementations.torch.passes.parameters import (
    Params,
    advance,
    flatten,
    select,
    split_like,
)
from optbench.implementations.torch.solvers import conjugate_gradients as cg
from optbench.implementations.torch.solvers.armijo import armijo, finite
from optbench.implementations.torch.solvers.control_flow import while_loop
from optbench.problems.problem import Batch

# the model's reduction ratios below and above which the damping changes (Martens 2010, 4.1)
POOR, GOOD = (1 / 4, 3 / 4)
RAISE, LOWER = 3 / 2, 2 / 3  # its factors
SUFFICIENT = 1e-2  # c of Armijo's condition
SIZES = [0.8**power for power in range(20)]  # the step sizes tried


class Search(NamedTuple):
    """What a step counts."""

    iterations: int | Tensor  # of conjugate gradients, in all steps
    evaluations: int | Tensor  # of the loss, in all steps
    stalls: int | Tensor  # steps in which the parameters did not move


class State(NamedTuple):
    """What Hessian-free remembers."""

    start: Tensor  # x₀ of the next conjugate gradients [D]
    damping: Tensor  # λ of the next step
    search: Search


class Walk(NamedTuple):
    """A walk back along the kept iterates."""

    slot: int | Tensor  # the best so far
    loss: Tensor  # there
    ended: bool | Tensor


@optimizer
class HessianFree(Optimizer):
    """A Newton step without a matrix."""

    name: ClassVar[str] = "hessian_free"
    version: ClassVar[int] = 1

    damping: NonNegative = 1.0  # the first λ
    adapt_damping: bool = True
    cg_max_iterations: Count = 250
    cg_decay: Fraction = 0.95
    curvature: Literal["ggn", "hessian"] = "ggn"

    def init(self, objective: Objective, params: Params) -> State:
        """Begin conjugate gradients at zero."""
        start = torch.zeros_like(flatten(params))
        return State(start, start.new_full((), self.damping), Search(0, 0, 0))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient, product = expand(objective, params, batch, self.curvature)
        solution = cg.conjugate_gradients(
            lambda vector: product(vector) + state.damping * vector,
            -gradient,
            state.start,
            self.cg_max_iterations,
        )
        iteration, x, *_ = solution.at

        def loss(change: Tensor, size: float | Tensor = 1.0) -> Tensor:
            return finite(
                objective.loss(advance(params, split_like(params, change), size), batch)
            )

        end, damping = loss(x), state.damping
        if self.adapt_damping:
            modelled = solution.models[iteration] - solution.models[0]
            damping = adapted(damping, (end - loss(state.start)) / modelled)
        last = cg.slot(iteration, self.cg_max_iterations)
        walk = backtrack(lambda slot: loss(solution.iterates[slot]), last, end)
        change = solution.iterates[walk.slot]
        trial, accepted = armijo(
            partial(loss, change),
            SIZES,
            SUFFICIENT,
            walk.loss,
            losses.total,
            gradient.dot(change),
        )
        moved = advance(params, split_like(params, change), SIZES[trial.power])
        evaluations = 1 + self.adapt_damping + last - walk.slot + walk.ended + trial.power
        search = Search(
            *map(
                sum,
                zip(state.search, (iteration, evaluations, ~accepted), strict=True),
            )
        )
        # where it overflowed it is no start
        start = torch.nan_to_num(self.cg_decay * x, nan=0.0, posinf=0.0, neginf=0.0)
        return select(accepted, moved, params), State(start, damping, search), losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that the kept iterates hold."""
        return memory_estimates.iterates(params, cg.slots(self.cg_max_iterations))

    def counters(self, state: State) -> dict[str, int | Tensor]:
        """Read what conjugate gradients and the line searches have counted."""
        return state.search._asdict()


def adapted(damping: Tensor, ratio: Tensor) -> Tensor:
    """Raise λ where the loss fell far less than the model, or else lower it.

    It falls where the model can be trusted, and else stays (Martens 2010, section 4.1).
    """
    return torch.where(
        ratio < POOR, RAISE * damping, torch.where(ratio > GOOD, LOWER * damping, damping)
    )


def backtrack(
    loss: Callable[[int | Tensor], Tensor], last: int | Tensor, end: Tensor
) -> Walk:
    """Walk from the last kept iterate to the one before while that is strictly better.

    It goes on as long as no loss was finite, too. `end` is the last iterate's loss.
    """

    def back(walk: Walk) -> Walk:
        ahead = loss(walk.slot - 1)
        falls = read((ahead < walk.loss) | walk.loss.isinf())
        return Walk(walk.slot - falls, ahead if falls else walk.loss, not falls)

    return while_loop(
        lambda walk: not walk.ended and walk.slot > 0, back, Walk(last, end, False)
    )
