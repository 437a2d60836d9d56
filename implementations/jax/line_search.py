"""Step sizes: a grid of powers of two, or a constant."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from implementations.jax.control import when, while_loop
from implementations.jax.objective import Losses, Objective
from implementations.jax.parameters import Params, advance, select
from problems.problem import Batch

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

    choice: int | Array
    lowest: Array  # the loss there
    ahead: Array  # the loss one index further
    direction: int | Array  # −1 or 1
    evaluations: int | Array


def never() -> Search:
    """Before the first search."""
    return Search(jnp.array(LAST), jnp.array(0), jnp.array(0))


def follow(
    options: Any, objective: Objective, params: Params, directions: Params, batch: Batch, losses: Losses, last: Search
) -> tuple[Params, Search]:
    """θ + α d with α = `learning_rate`, or from the grid where there is none.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing moves where the loss at θ,
    given by `losses`, is strictly better than every candidate or where no candidate's is finite.
    """
    if options.learning_rate is not None:
        return advance(params, directions, options.learning_rate), last
    start = finite(losses.total)
    grid = jnp.asarray(GRID, start.dtype)

    def loss(index: int | Array) -> Array:
        return finite(objective.loss(advance(params, directions, grid[index]), batch))

    search = {"grid": lazy, "grid_exhaustive": exhaustive}[options.line_search]
    choice, lowest, evaluations = search(loss, start, last.choice)
    moved = (lowest <= start) & jnp.isfinite(lowest)
    chosen = advance(params, directions, grid[choice])
    return select(moved, chosen, params), Search(choice, last.evaluations + evaluations, last.stalls + ~moved)


def exhaustive(loss: Callable, start: Array, choice: int | Array) -> tuple[int | Array, Array, int | Array]:
    """The index of the smallest loss on the grid, that loss, and the number of evaluations."""
    candidates = jax.lax.map(loss, jnp.arange(len(GRID)))
    return candidates.argmin(), candidates.min(), len(GRID)


def lazy(loss: Callable, start: Array, choice: int | Array) -> tuple[int | Array, Array, int | Array]:
    """The same where the grid has one minimum, by walking downhill from the last choice.

    The whole grid is looked at where the walk's end is no better than the start, or by no more than rounding.
    """

    def beyond(index: int | Array) -> Array:
        return when((index >= 0) & (index <= LAST), lambda: loss(index), lambda: jnp.full_like(start, jnp.inf))

    here, below = loss(choice), beyond(choice - 1)
    descends = below <= here
    ahead = when(~descends, lambda: beyond(choice + 1), lambda: below)
    direction = jnp.where(descends, -1, 1)
    end = while_loop(better, lambda walk: onward(beyond, walk), Walk(choice, here, ahead, direction, 3 - 1 * descends))
    trusted = end.lowest < start * (1 - ROUNDING)
    best, lowest, _ = when(~trusted, lambda: exhaustive(loss, start, choice), lambda: (end.choice, end.lowest, 0))
    return best, lowest, end.evaluations + len(GRID) * ~trusted


def better(walk: Walk) -> Array:
    """Whether the loss one index further is better; of equal ones, that of the smaller step."""
    return (walk.ahead < walk.lowest) | ((walk.ahead == walk.lowest) & (walk.direction < 0) & jnp.isfinite(walk.ahead))


def onward(loss: Callable, walk: Walk) -> Walk:
    """One index further."""
    choice = walk.choice + walk.direction
    return Walk(choice, walk.ahead, loss(choice + walk.direction), walk.direction, walk.evaluations + 1)


def finite(loss: Array) -> Array:
    """The loss, infinite where it is not a number."""
    return jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf)
