"""Hessian-free optimization (Martens 2010): conjugate gradients on a damped curvature.

The network is linearized once a step: every product G v comes from what is stored of it.
"""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import Count, Fraction, NonNegative, optimizer
from optbench.implementations.jax.passes.curvature import expand
from optbench.implementations.jax.passes.parameters import (
    Params,
    advance,
    flatten,
    select,
    split_like,
)
from optbench.implementations.jax.solvers import conjugate_gradients as cg
from optbench.implementations.jax.solvers.armijo import armijo, finite
from optbench.implementations.jax.solvers.control_flow import while_loop
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

# the model's reduction ratios below and above which the damping changes (Martens 2010, 4.1)
POOR, GOOD = (1 / 4, 3 / 4)
RAISE, LOWER = 3 / 2, 2 / 3  # its factors
SUFFICIENT = 1e-2  # c of Armijo's condition
SIZES = [0.8**power for power in range(20)]  # the step sizes tried


class Search(NamedTuple):
    """What a step counts."""

    iterations: int | Array  # of conjugate gradients, in all steps
    evaluations: int | Array  # of the loss, in all steps
    stalls: int | Array  # steps in which the parameters did not move


class State(NamedTuple):
    """What Hessian-free remembers."""

    start: Array  # x₀ of the next conjugate gradients [D]
    damping: Array  # λ of the next step
    search: Search


class Walk(NamedTuple):
    """A walk back along the kept iterates."""

    slot: int | Array  # the best so far
    loss: Array  # there
    ended: bool | Array


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
        start = jnp.zeros_like(flatten(params))
        return State(
            start,
            jnp.full((), self.damping, start.dtype),
            Search(*(jnp.zeros((), int) for _ in range(3))),
        )

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

        def loss(change: Array, size: float | Array = 1.0) -> Array:
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
        moved = advance(
            params,
            split_like(params, change),
            jnp.asarray(SIZES, change.dtype)[trial.power],
        )
        evaluations = 1 + self.adapt_damping + last - walk.slot + walk.ended + trial.power
        search = Search(
            *map(
                sum,
                zip(state.search, (iteration, evaluations, ~accepted), strict=True),
            )
        )
        # where it overflowed it is no start
        start = jnp.nan_to_num(self.cg_decay * x, nan=0.0, posinf=0.0, neginf=0.0)
        return select(accepted, moved, params), State(start, damping, search), losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that the kept iterates hold."""
        return memory_estimates.iterates(params, cg.slots(self.cg_max_iterations))

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what conjugate gradients and the line searches have counted."""
        return state.search._asdict()


def adapted(damping: Array, ratio: Array) -> Array:
    """Raise λ where the loss fell far less than the model, or else lower it.

    It falls where the model can be trusted, and else stays (Martens 2010, section 4.1).
    """
    return jnp.where(
        ratio < POOR, RAISE * damping, jnp.where(ratio > GOOD, LOWER * damping, damping)
    )


def backtrack(loss: Callable[[int | Array], Array], last: int | Array, end: Array) -> Walk:
    """Walk from the last kept iterate to the one before while that is strictly better.

    It goes on as long as no loss was finite, too. `end` is the last iterate's loss.
    """

    def back(walk: Walk) -> Walk:
        ahead = loss(walk.slot - 1)
        falls = (ahead < walk.loss) | jnp.isinf(walk.loss)
        return Walk(walk.slot - falls, jnp.where(falls, ahead, walk.loss), ~falls)

    return while_loop(
        lambda walk: ~walk.ended & (walk.slot > 0), back, Walk(last, end, False)
    )
