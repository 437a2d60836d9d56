"""The paper's grid of step sizes, and the search that looks at all of it.

Source: arXiv 2405.15603, appendix A.1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax import backend

GRID = [2.0**power for power in range(-30, 1)]
LAST = len(GRID) - 1
# step sizes that an accelerator looks at in one pass: it waits for the calls of many small
# ones, and eight need no more memory than a chunk of points may have
TOGETHER = 8


def together() -> int:
    """Say how many step sizes are looked at in one pass: on a CPU one at a time."""
    return 1 if backend.device_name() == "cpu" else TOGETHER


def exhaustive(
    loss: Callable, start: Array, choice: int | Array
) -> tuple[int | Array, Array, int | Array]:
    """Find the index of the smallest loss on the grid, the loss, and the evaluations."""
    group = together()
    indices = jnp.arange(len(GRID))
    candidates = jax.lax.map(loss, indices, batch_size=group if group > 1 else None)
    return candidates.argmin(), candidates.min(), len(GRID)


def finite(loss: Array) -> Array:
    """Replace a loss that is not a number by infinity."""
    return jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf)
