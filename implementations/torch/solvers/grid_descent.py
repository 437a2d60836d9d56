"""Our descent on the paper's grid of step sizes, from the last choice downhill.

It looks at few of them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from optbench.implementations.torch.backend import read
from optbench.implementations.torch.solvers.control_flow import when, while_loop
from optbench.implementations.torch.solvers.grid_search import LAST, exhaustive, finite

ROUNDING = 1e-12  # a fall of the loss by a smaller share of it is noise


class Walk(NamedTuple):
    """A walk along the grid."""

    next: int  # the index to look at
    choice: int  # the best so far
    lowest: float  # the loss there
    direction: int  # −1 or 1
    ended: bool
    evaluations: int


def descend(
    losses: Callable[[range], Tensor], start: float, choice: int
) -> tuple[int, float, int]:
    """Search downhill from the last choice, to smaller steps or else to larger ones.

    On a grid with one minimum it chooses as `exhaustive` does.

    The whole grid is looked at where the walk's end is no better than the start, or by no
    more than rounding.
    """

    def onward(walk: Walk) -> Walk:
        inside = 0 <= walk.next <= LAST
        here = range(walk.next, walk.next + 1)
        ahead = when(inside, lambda: finite(read(losses(here)[0])), lambda: math.inf)
        if walk.evaluations == 0 or is_better(ahead, walk):
            walk = walk._replace(choice=walk.next, lowest=ahead)
        elif walk.direction < 0 and walk.choice == choice:
            walk = walk._replace(direction=1)
        else:
            walk = walk._replace(ended=True)
        return walk._replace(
            next=walk.choice + walk.direction, evaluations=walk.evaluations + inside
        )

    end = while_loop(
        lambda walk: not walk.ended, onward, Walk(choice, choice, math.inf, -1, False, 0)
    )
    if end.lowest < start * (1 - ROUNDING):
        return end.choice, end.lowest, end.evaluations
    best, lowest, evaluations = exhaustive(losses, start, choice)
    return best, lowest, end.evaluations + evaluations


def is_better(ahead: float, walk: Walk) -> bool:
    """Say whether the loss ahead is better: of equal ones, that of the smaller step is."""
    return ahead < walk.lowest or (ahead == walk.lowest < math.inf and walk.direction < 0)
