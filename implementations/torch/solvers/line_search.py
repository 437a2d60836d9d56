"""Step sizes: a grid of powers of two, or a constant."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.objective import Losses, Objective
from optbench.implementations.torch.passes.parameters import Params, advance
from optbench.implementations.torch.solvers.control import when, while_loop
from optbench.problems.problem import Batch
from torch import Tensor

GRID = [2.0**power for power in range(-30, 1)]  # arXiv 2405.15603, appendix A.1
LAST = len(GRID) - 1
ROUNDING = 1e-12  # a fall of the loss by a smaller share of it is noise


class Search(NamedTuple):
    """What a line search remembers and counts."""

    choice: (
        int | Tensor
    )  # the index on the grid that was best: the next search starts there
    evaluations: int | Tensor  # of the loss, in all steps
    stalls: int | Tensor  # steps in which the parameters did not move


class Walk(NamedTuple):
    """A walk along the grid."""

    next: int  # the index to look at
    choice: int  # the best so far
    lowest: float  # the loss there
    direction: int  # −1 or 1
    ended: bool
    evaluations: int


def never() -> Search:
    """Before the first search."""
    return Search(LAST, 0, 0)


def follow(
    options: Any,
    objective: Objective,
    params: Params,
    directions: Params,
    batch: Batch,
    losses: Losses,
    last: Search,
) -> tuple[Params, Search]:
    """θ + α d with α = `learning_rate`, or from the grid where there is none.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing
    moves where the loss at θ, given by `losses`, is strictly better than every candidate or
    where no candidate's is finite.
    """
    if options.learning_rate is not None:
        return advance(params, directions, options.learning_rate), last
    start = finite(read(losses.total))

    def loss(index: int) -> Tensor:
        return objective.loss(advance(params, directions, GRID[index]), batch)

    # where a residual is not affine in u, even a linear model's loss has several minima
    # along a line
    search = (
        lazy if options.line_search == "grid" and objective.problem.affine else exhaustive
    )
    choice, lowest, evaluations = search(loss, start, read(last.choice))
    moved = lowest <= start and lowest < math.inf
    search = Search(choice, last.evaluations + evaluations, last.stalls + (not moved))
    return advance(params, directions, GRID[choice]) if moved else params, search


def exhaustive(
    loss: Callable[[int], Tensor], start: float, choice: int
) -> tuple[int, float, int]:
    """The index of the smallest loss on the grid, that loss, and the number of evaluations."""
    # one question to the device for all
    candidates = [
        finite(value)
        for value in read(torch.stack([loss(index) for index in range(len(GRID))]))
    ]
    lowest = min(candidates)
    return candidates.index(lowest), lowest, len(GRID)


def lazy(
    loss: Callable[[int], Tensor], start: float, choice: int
) -> tuple[int, float, int]:
    """The same where the grid has one minimum: from the last choice to smaller steps, or else to larger ones, downhill.

    The whole grid is looked at where the walk's end is no better than the start, or by no
    more than rounding.
    """

    def onward(walk: Walk) -> Walk:
        inside = 0 <= walk.next <= LAST
        ahead = when(inside, lambda: finite(read(loss(walk.next))), lambda: math.inf)
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
    best, lowest, evaluations = exhaustive(loss, start, choice)
    return best, lowest, end.evaluations + evaluations


def is_better(ahead: float, walk: Walk) -> bool:
    """Whether the loss ahead is smaller; of equal ones, that of the smaller step is."""
    return ahead < walk.lowest or (ahead == walk.lowest < math.inf and walk.direction < 0)


def finite(loss: float) -> float:
    """The loss, infinite where it is not a number."""
    return math.inf if math.isnan(loss) else loss
