"""Step sizes: a constant, or the choice of a search on the grid of powers of two."""

import math
from typing import NamedTuple

from torch import Tensor

from optbench.implementations.protocol import Losses, Objective, StepSize
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.parameters import Params, advance
from optbench.implementations.torch.solvers.grid_descent import descend
from optbench.implementations.torch.solvers.grid_search import (
    GRID,
    LAST,
    exhaustive,
    finite,
)
from optbench.problems.problem import Batch


class Search(NamedTuple):
    """What a line search remembers and counts."""

    # the index on the grid that was best: the next search starts there
    choice: int | Tensor
    evaluations: int | Tensor  # of the loss, in all steps
    stalls: int | Tensor  # steps in which the parameters did not move

    def counters(self) -> dict[str, int | Tensor]:
        """Read the counts, by the names that a record has for them."""
        return {"stalls": self.stalls, "evaluations": self.evaluations}


def never() -> Search:
    """Begin before the first search, at the largest step size."""
    return Search(LAST, 0, 0)


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
    start = finite(read(losses.total))

    def losses_at(indices: range) -> Tensor:
        if len(indices) == 1:
            moved = advance(params, directions, GRID[indices[0]])
            return objective.loss(moved, batch)[None]
        sizes = params[0].new_tensor([[[GRID[index]]] for index in indices])
        return objective.loss_of_each(advance(params, directions, sizes), batch)

    # where a residual is not affine in u, even a linear model's loss has several minima
    # along a line
    search = (
        descend
        if options.line_search == "grid" and objective.problem.affine
        else exhaustive
    )
    choice, lowest, evaluations = search(losses_at, start, read(last.choice))
    moved = lowest <= start and lowest < math.inf
    search = Search(choice, last.evaluations + evaluations, last.stalls + (not moved))
    return advance(params, directions, GRID[choice]) if moved else params, search
