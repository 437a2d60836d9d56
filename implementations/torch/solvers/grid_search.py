"""The paper's grid of step sizes, and the search that looks at all of it.

Source: arXiv 2405.15603, appendix A.1.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from optbench.implementations.torch import backend
from optbench.implementations.torch.backend import read

GRID = [2.0**power for power in range(-30, 1)]
LAST = len(GRID) - 1
# step sizes that an accelerator looks at in one pass: it waits for the calls of many small
# ones, and eight need no more memory than a chunk of points may have
TOGETHER = 8


def together() -> int:
    """Say how many step sizes are looked at in one pass: on a CPU one at a time."""
    return 1 if backend.device.type == "cpu" else TOGETHER


def exhaustive(
    losses: Callable[[range], Tensor], start: float, choice: int
) -> tuple[int, float, int]:
    """Find the index of the smallest loss on the grid, the loss, and the evaluations.

    `losses` evaluates it at some of the grid's step sizes [k], by their indices.
    """
    indices, group = range(len(GRID)), together()
    parts = [losses(indices[first : first + group]) for first in indices[::group]]
    # one question to the device for all
    candidates = [finite(value) for value in read(torch.cat(parts))]
    lowest = min(candidates)
    return candidates.index(lowest), lowest, len(GRID)


def finite(loss: float) -> float:
    """Replace a loss that is not a number by infinity."""
    return math.inf if math.isnan(loss) else loss
