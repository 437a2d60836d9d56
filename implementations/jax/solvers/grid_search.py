"""The paper's grid of step sizes, and the search that looks at all of it.

Source: arXiv 2405.15603, appendix A.1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

GRID = [2.0**power for power in range(-30, 1)]
LAST = len(GRID) - 1


def exhaustive(
    loss: Callable, start: Array, choice: int | Array
) -> tuple[int | Array, Array, int | Array]:
    """Find the index of the smallest loss on the grid, the loss, and the evaluations."""
    candidates = jax.lax.map(loss, jnp.arange(len(GRID)))
    return candidates.argmin(), candidates.min(), len(GRID)


def finite(loss: Array) -> Array:
    """Replace a loss that is not a number by infinity."""
    return jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf)
