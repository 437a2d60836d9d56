"""Step sizes: a grid of powers of two, or a constant."""

import jax
import jax.numpy as jnp
from jax import Array

from implementations.jax.objective import Losses, Objective
from implementations.jax.parameters import Params, advance, select
from problems.problem import Batch

GRID = [2.0**power for power in range(-30, 1)]  # arXiv 2405.15603, appendix A.1


def grid_line_search(
    objective: Objective, params: Params, directions: Params, batch: Batch, losses: Losses
) -> tuple[Params, Array]:
    """The best of θ + α d over the grid, and whether the parameters moved.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing moves where the loss at θ,
    given by `losses`, is strictly better than every candidate or where no candidate's is finite.
    """
    grid = jnp.asarray(GRID, params[0].dtype)
    candidates = jax.lax.map(lambda alpha: objective.loss(advance(params, directions, alpha), batch), grid)
    candidates = jnp.nan_to_num(candidates, nan=jnp.inf, posinf=jnp.inf)
    lowest, best = candidates.min(), candidates.argmin()
    start = jnp.nan_to_num(losses.total, nan=jnp.inf, posinf=jnp.inf)
    moved = (lowest <= start) & jnp.isfinite(lowest)
    return select(moved, advance(params, directions, grid[best]), params), moved


def follow(
    objective: Objective, params: Params, directions: Params, batch: Batch, losses: Losses, learning_rate: float | None
) -> tuple[Params, Array]:
    """θ + α d with α from the grid line search where there is no learning rate, and whether the parameters moved."""
    if learning_rate is None:
        return grid_line_search(objective, params, directions, batch, losses)
    return advance(params, directions, learning_rate), jnp.array(True)
