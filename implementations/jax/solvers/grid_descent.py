"""Our descent on the paper's grid of step sizes, from the last choice downhill.

It looks at few of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.control_flow import when, while_loop
from optbench.implementations.jax.solvers.grid_search import GRID, LAST, exhaustive

ROUNDING = 1e-12  # a fall of the loss by a smaller share of it is noise


class Walk(NamedTuple):
    """A walk along the grid."""

    next: int | Array  # the index to look at
    choice: int | Array  # the best so far
    lowest: Array  # the loss there
    direction: int | Array  # −1 or 1
    ended: bool | Array
    evaluations: int | Array


def descend(
    loss: Callable, start: Array, choice: int | Array
) -> tuple[int | Array, Array, int | Array]:
    """Search downhill from the last choice, to smaller steps or else to larger ones.

    On a grid with one minimum it chooses as `exhaustive` does.

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
    """Say whether the loss ahead is better: of equal ones, that of the smaller step is."""
    return (ahead < walk.lowest) | (
        (ahead == walk.lowest) & (walk.direction < 0) & jnp.isfinite(ahead)
    )
