"""Hessian-free optimization (Martens 2010): conjugate gradients on a damped curvature.

The network is linearized once a step: every product G v comes from the stored layer inputs
and cotangents.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import Count, Fraction, NonNegative, optimizer
from optbench.implementations.protocol import Linearization, Losses, Objective, Optimizer
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.chunks import Chunks, mean
from optbench.implementations.torch.passes.linearization import (
    gradient,
    products,
    transposed_products,
)
from optbench.implementations.torch.passes.objective import half_mean_square
from optbench.implementations.torch.passes.parameters import (
    Params,
    advance,
    flatten,
    select,
    split_like,
)
from optbench.implementations.torch.solvers import conjugate_gradients as cg
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


class Trial(NamedTuple):
    """A step size of Armijo's search."""

    power: int | Tensor  # its index in SIZES
    loss: Tensor  # there


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
        chunks = objective.linearize_chunks(params, batch)
        terms = {name: mean(summarize, term) for name, term in chunks.items()}
        losses = objective.weighted_losses({name: part[0] for name, part in terms.items()})
        gradient_vector = flatten(
            objective.weighted_sum({name: part[1] for name, part in terms.items()})
        )
        product = self._product(objective, params, batch, chunks, state.damping)
        solution = cg.conjugate_gradients(
            product, -gradient_vector, state.start, self.cg_max_iterations
        )

        def loss(change: Tensor, size: float | Tensor = 1.0) -> Tensor:
            return finite(
                objective.loss(advance(params, split_like(params, change), size), batch)
            )

        end, damping = loss(solution.x), state.damping
        if self.adapt_damping:
            modelled = solution.models[solution.iteration] - solution.models[0]
            damping = adapted(damping, (end - loss(state.start)) / modelled)
        last = cg.slot(solution.iteration, self.cg_max_iterations)
        walk = backtrack(lambda slot: loss(solution.iterates[slot]), last, end)
        change = solution.iterates[walk.slot]
        trial, accepted = armijo(
            partial(loss, change), walk.loss, losses.total, gradient_vector.dot(change)
        )
        moved = advance(params, split_like(params, change), SIZES[trial.power])
        evaluations = 1 + self.adapt_damping + last - walk.slot + walk.ended + trial.power
        search = Search(
            *map(
                sum,
                zip(
                    state.search, (solution.iteration, evaluations, ~accepted), strict=True
                ),
            )
        )
        # where it overflowed it is no start
        start = torch.nan_to_num(
            self.cg_decay * solution.x, nan=0.0, posinf=0.0, neginf=0.0
        )
        return select(accepted, moved, params), State(start, damping, search), losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that the kept iterates hold."""
        return memory_estimates.iterates(params, cg.slots(self.cg_max_iterations))

    def counters(self, state: State) -> dict[str, int | Tensor]:
        """Read what conjugate gradients and the line searches have counted."""
        return state.search._asdict()

    def _product(
        self,
        objective: Objective,
        params: Params,
        batch: Batch,
        chunks: dict[str, Chunks],
        damping: Tensor,
    ) -> Callable[[Tensor], Tensor]:
        if self.curvature == "ggn":
            curvature = partial(gauss_newton, objective, params, chunks)
        else:
            curvature = partial(hessian, objective, params, batch)
        return lambda vector: curvature(vector) + damping * vector


def summarize(term: Linearization) -> tuple[Tensor, Params]:
    """Compute a term's loss and its gradient."""
    return half_mean_square(term.residual), gradient(term)


def gauss_newton(
    objective: Objective, params: Params, chunks: dict[str, Chunks], vector: Tensor
) -> Tensor:
    """Multiply G by v [D] without a pass through the network.

    G v is the sum of w/n JᵀJ v over the terms.
    """
    directions = split_like(params, vector)

    def image(term: Linearization) -> Params:
        return transposed_products(term, products(term, directions) / len(term.residual))

    images = {name: mean(image, term) for name, term in chunks.items()}
    return flatten(objective.weighted_sum(images))


def hessian(objective: Objective, params: Params, batch: Batch, vector: Tensor) -> Tensor:
    """Multiply ∇²L by v [D]."""
    return flatten(objective.hessian_product(params, batch, split_like(params, vector)))


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


def armijo(
    loss: Callable[[float], Tensor], whole: Tensor, start: Tensor, slope: Tensor
) -> tuple[Trial, Tensor]:
    """Look for the first of SIZES with a sufficient decrease, or else the last.

    Returns it, and whether its decrease suffices.

    `whole` is the loss at size 1, `start` at 0, `slope` its derivative there.
    """

    def suffices(trial: Trial) -> Tensor:
        return trial.loss <= start + SUFFICIENT * SIZES[trial.power] * slope

    def shorten(trial: Trial) -> Trial:
        return Trial(trial.power + 1, loss(SIZES[trial.power + 1]))

    def goes_on(trial: Trial) -> Tensor:
        return ~suffices(trial) & (trial.power < len(SIZES) - 1)

    trial = while_loop(goes_on, shorten, Trial(0, whole))
    return trial, suffices(trial)


def finite(loss: Tensor) -> Tensor:
    """Replace a loss that is not a number by infinity."""
    return torch.nan_to_num(loss, nan=torch.inf, posinf=torch.inf)
