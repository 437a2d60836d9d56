"""Branches and loops that the device decides: Python reads them, the twin compiles them."""

from collections.abc import Callable
from typing import Any

from optbench.implementations.torch.backend import read
from torch import Tensor


def when(
    condition: bool | Tensor, new: Callable[[], Any], otherwise: Callable[[], Any]
) -> Any:
    """Compute `new()` where the condition holds, else `otherwise()`, and not the other."""
    return new() if read(condition) else otherwise()


def while_loop(
    condition: Callable[[Any], bool | Tensor], body: Callable[[Any], Any], state: Any
) -> Any:
    """Repeat `state = body(state)` while the condition holds."""
    while read(condition(state)):
        state = body(state)
    return state


def fori_loop(count: int | Tensor, body: Callable[[int, Any], Any], state: Any) -> Any:
    """Repeat `state = body(i, state)` for i in 0 … count − 1."""
    for i in range(read(count)):
        state = body(i, state)
    return state
