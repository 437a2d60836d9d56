"""The paper's grid of step sizes, and the search that looks at all of it.

Source: arXiv 2405.15603, appendix A.1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from optbench.implementations.torch.backend import read

GRID = [2.0**power for power in range(-30, 1)]
LAST = len(GRID) - 1


def exhaustive(
    loss: Callable[[int], Tensor], start: float, choice: int
) -> tuple[int, float, int]:
    """Find the index of the smallest loss on the grid, the loss, and the evaluations."""
    # one question to the device for all
    candidates = [
        finite(value)
        for value in read(torch.stack([loss(index) for index in range(len(GRID))]))
    ]
    lowest = min(candidates)
    return candidates.index(lowest), lowest, len(GRID)


def finite(loss: float) -> float:
    """Replace a loss that is not a number by infinity."""
    return math.inf if math.isnan(loss) else loss
