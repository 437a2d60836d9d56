"""Branches and loops that the device decides: Python reads them, the twin compiles them."""

from collections.abc import Callable

from torch import Tensor

from optbench.implementations.protocol import Tree
from optbench.implementations.torch.backend import read


def when(
    condition: bool | Tensor, new: Callable[[], Tree], otherwise: Callable[[], Tree]
) -> Tree:
    """Compute `new()` where the condition holds, else `otherwise()`, and not the other."""
    return new() if read(condition) else otherwise()


def while_loop(
    condition: Callable[[Tree], bool | Tensor], body: Callable[[Tree], Tree], state: Tree
) -> Tree:
    """Repeat `state = body(state)` while the condition holds."""
    while read(condition(state)):
        state = body(state)
    return state


def fori_loop(count: int | Tensor, body: Callable[[int, Tree], Tree], state: Tree) -> Tree:
    """Repeat `state = body(i, state)` for i in 0 … count − 1."""
    for i in range(read(count)):
        state = body(i, state)
    return state
