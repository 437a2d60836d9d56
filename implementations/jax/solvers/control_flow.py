"""Branches and loops that the device decides: compiled here, read by the twin's Python."""

from collections.abc import Callable

import jax
from jax import Array

from optbench.implementations.protocol import Tree


def when(
    condition: bool | Array, new: Callable[[], Tree], otherwise: Callable[[], Tree]
) -> Tree:
    """Compute `new()` where the condition holds, else `otherwise()`, and not the other."""
    if isinstance(condition, bool):
        return new() if condition else otherwise()
    return jax.lax.cond(condition, new, otherwise)


def while_loop(
    condition: Callable[[Tree], bool | Array], body: Callable[[Tree], Tree], state: Tree
) -> Tree:
    """Repeat `state = body(state)` while the condition holds."""
    return jax.lax.while_loop(condition, body, state)


def fori_loop(count: int | Array, body: Callable[[Array, Tree], Tree], state: Tree) -> Tree:
    """Repeat `state = body(i, state)` for i in 0 … count − 1."""
    return jax.lax.fori_loop(0, count, body, state)
