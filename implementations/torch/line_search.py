"""Step sizes: a grid of powers of two, or a constant."""

from functools import lru_cache

import torch
from torch import Tensor

from implementations.torch.objective import Losses, Objective
from implementations.torch.parameters import Params, advance, select
from problems.problem import Batch

GRID = [2.0**power for power in range(-30, 1)]  # arXiv 2405.15603, appendix A.1


def grid_line_search(
    objective: Objective, params: Params, directions: Params, batch: Batch, losses: Losses
) -> tuple[Params, Tensor]:
    """The best of θ + α d over the grid, and whether the parameters moved.

    The smallest loss wins, the smallest α on ties; not a number counts as infinite. Nothing moves where the loss at θ,
    given by `losses`, is strictly better than every candidate or where no candidate's is finite.
    """
    candidates = [objective.loss(advance(params, directions, alpha), batch) for alpha in GRID]
    candidates = torch.stack(candidates).nan_to_num(nan=torch.inf, posinf=torch.inf)
    lowest, best = candidates.min(dim=0)
    start = losses.total.nan_to_num(nan=torch.inf, posinf=torch.inf)
    moved = (lowest <= start) & lowest.isfinite()
    alpha = grid_like(start.dtype, start.device).take(best)  # an index by a tensor would ask the device
    return select(moved, advance(params, directions, alpha), params), moved


@lru_cache
def grid_like(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The grid on the losses' device."""
    return torch.tensor(GRID, dtype=dtype, device=device)


def follow(
    objective: Objective, params: Params, directions: Params, batch: Batch, losses: Losses, learning_rate: float | None
) -> tuple[Params, Tensor]:
    """θ + α d with α from the grid line search where there is no learning rate, and whether the parameters moved."""
    if learning_rate is None:
        return grid_line_search(objective, params, directions, batch, losses)
    return advance(params, directions, learning_rate), torch.ones((), dtype=torch.bool, device=params[0].device)
