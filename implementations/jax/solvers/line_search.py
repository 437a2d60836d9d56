"""Step sizes: a grid of powers of two, or a constant."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from optbench.implementations.jax.passes.objective import Losses, Objective
from optbench.implementations.jax.passes.parameters import Params, advance, select
from optbench.implementations.jax.solvers.control import when, while_loop
from optbench.problems.problem import Batch

GRID = [2.0**power for power in range(-30, 1)]  # arXiv 2405.15603, appendix A.1
LAST = len(GRID) - 1
ROUNDING = 1e-12  # a fall of the loss by a smaller share of it is noise


class Search(NamedTuple):
    """What a line search remembers and counts."""

    choice: int | Array  # the index on the grid that was best: the next search starts there
    evaluations: int | Array  # of the loss, in all steps
    stalls: int | Array  # steps in which the parameters did not move


class Walk(NamedTuple):
    """A walk along the grid."""

    next: int | Array  # the index to look at
    choice: int | Array  # the best so far
    lowest: Array  # the loss there
    direction: int | Array  # −1 or 1
    ended: bool | Array
    evaluations: int | Array


def never() -> Search:
    """Before the first search."""
    return Search(*(jnp.full((), number, int) for number in (LAST, 0, 0)))


def follow(
    options: Any,
    objective: Objective,
    params: Params,
    directions: Params,
    batch: Batch,
    losses: Losses,
    last: Search,
) -> tuple[Params, Search]:
    """θ + α d with α = `learning_rate`, or from the grid where there is none.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing
    moves where the loss at θ, given by `losses`, is strictly better than every candidate or
    where no candidate's is finite.
    """
    if options.learning_rate is not None:
        return advance(params, directions, options.learning_rate), last
    start = finite(losses.total)
    grid = jnp.asarray(GRID, start.dtype)

    def loss(index: int | Array) -> Array:
        return finite(objective.loss(advance(params, directions, grid[index]), batch))

    # where a residual is not affine in u, even a linear model's loss has several minima
    # along a line
    search = (
        lazy if options.line_search == "grid" and objective.problem.affine else exhaustive
    )
    choice, lowest, evaluations = search(loss, start, last.choice)
    moved = (lowest <= start) & jnp.isfinite(lowest)
    chosen = advance(params, directions, grid[choice])
    return select(moved, chosen, params), Search(
        choice, last.evaluations + evaluations, last.stalls + ~moved
    )


def exhaustive(
    loss: Callable, start: Array, choice: int | Array
) -> tuple[int | Array, Array, int | Array]:
    """The index of the smallest loss on the grid, that loss, and the number of evaluations."""
    candidates = jax.lax.map(loss, jnp.arange(len(GRID)))
    return candidates.argmin(), candidates.min(), len(GRID)


def lazy(
    loss: Callable, start: Array, choice: int | Array
) -> tuple[int | Array, Array, int | Array]:
    """The same where the grid has one minimum: from the last choice to smaller steps, or else to larger ones, downhill.

    The whole grid is looked at where the walk's end is no better than the start, or by no
    more than rounding.
    """

    def onward(walk: Walk) -> Walk:
        inside = (walk.next >= 0) & (walk.next <= LAST)
        ahead = when(inside, lambda: loss(walk.next), lambda: jnp.full_like(start, jnp.inf))
        accepted = (walk.evaluations == 0) | is_better(ahead, walk)
        turns = ~accepted & (walk.direction < 0) & (walk.choice == choice)
        best = jnp.where(accepted, walk.next, walk.choice)
        lowest = jnp.where(accepted, ahead, walk.lowest)
        direction = jnp.where(turns, 1, walk.direction)
        return Walk(
            best + direction,
            best,
            lowest,
            direction,
            ~accepted & ~turns,
            walk.evaluations + inside,
        )

    end = while_loop(
        lambda walk: ~walk.ended,
        onward,
        Walk(choice, choice, jnp.full_like(start, jnp.inf), -1, False, 0),
    )
    trusted = end.lowest < start * (1 - ROUNDING)
    best, lowest, _ = when(
        trusted,
        lambda: (end.choice, end.lowest, len(GRID)),
        lambda: exhaustive(loss, start, choice),
    )
    return best, lowest, end.evaluations + len(GRID) * ~trusted


def is_better(ahead: Array, walk: Walk) -> Array:
    """Whether the loss ahead is smaller; of equal ones, that of the smaller step is."""
    return (ahead < walk.lowest) | (
        (ahead == walk.lowest) & (walk.direction < 0) & jnp.isfinite(ahead)
    )


def finite(loss: Array) -> Array:
    """The loss, infinite where it is not a number."""
    return jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf)
