"""Step sizes: a constant, or the choice of a search on the grid of powers of two."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.parameters import Params, advance, select
from optbench.implementations.jax.solvers.grid_descent import descend
from optbench.implementations.jax.solvers.grid_search import GRID, LAST, exhaustive, finite
from optbench.implementations.protocol import Losses, Objective, StepSize
from optbench.problems.problem import Batch


class Search(NamedTuple):
    """What a line search remembers and counts."""

    choice: int | Array  # the index on the grid that was best: the next search starts there
    evaluations: int | Array  # of the loss, in all steps
    stalls: int | Array  # steps in which the parameters did not move

    def counters(self) -> dict[str, int | Array]:
        """Read the counts, by the names that a record has for them."""
        return {"stalls": self.stalls, "evaluations": self.evaluations}


def never() -> Search:
    """Begin before the first search, at the largest step size."""
    return Search(*(jnp.full((), number, int) for number in (LAST, 0, 0)))


def follow(
    options: StepSize,
    objective: Objective,
    params: Params,
    directions: Params,
    batch: Batch,
    losses: Losses,
    last: Search,
) -> tuple[Params, Search]:
    """Move to θ + α d with α = `learning_rate`, or from the grid where there is none.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing
    moves where the loss at θ, which is in `losses`, is strictly better than every candidate
    or where no candidate's is finite.
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
        descend
        if options.line_search == "grid" and objective.problem.affine
        else exhaustive
    )
    choice, lowest, evaluations = search(loss, start, last.choice)
    moved = (lowest <= start) & jnp.isfinite(lowest)
    chosen = advance(params, directions, grid[choice])
    return select(moved, chosen, params), Search(
        choice, last.evaluations + evaluations, last.stalls + ~moved
    )
