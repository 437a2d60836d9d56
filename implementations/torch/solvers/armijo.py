"""Armijo's search: the first step size that lowers the loss enough."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.control_flow import while_loop


class Trial(NamedTuple):
    """A step size of the search."""

    power: int | Tensor  # its index among the sizes
    loss: Tensor  # there


def armijo(
    loss: Callable[[float], Tensor],
    sizes: list[float],
    share: float,
    whole: Tensor,
    start: Tensor,
    slope: Tensor,
) -> tuple[Trial, Tensor]:
    """Look for the first size with a sufficient decrease, or else the last.

    Returns it, and whether its decrease suffices: at least `share` of what the slope says.

    `whole` is the loss at the first size, 1, `start` at 0, `slope` its derivative there.
    """

    def suffices(trial: Trial) -> Tensor:
        return trial.loss <= start + share * sizes[trial.power] * slope

    def shorten(trial: Trial) -> Trial:
        return Trial(trial.power + 1, loss(sizes[trial.power + 1]))

    def goes_on(trial: Trial) -> Tensor:
        return ~suffices(trial) & (trial.power < len(sizes) - 1)

    trial = while_loop(goes_on, shorten, Trial(0, whole))
    return trial, suffices(trial)


def finite(loss: Tensor) -> Tensor:
    """Replace a loss that is not a number by infinity."""
    return torch.nan_to_num(loss, nan=torch.inf, posinf=torch.inf)
