"""Armijo's search: the first step size that lowers the loss enough."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.control_flow import while_loop


class Trial(NamedTuple):
    """A step size of the search."""

    power: int | Array  # its index among the sizes
    loss: Array  # there


def armijo(
    loss: Callable[[Array], Array],
    sizes: list[float],
    share: float,
    whole: Array,
    start: Array,
    slope: Array,
) -> tuple[Trial, Array]:
    """Look for the first size with a sufficient decrease, or else the last.

    Returns it, and whether its decrease suffices: at least `share` of what the slope says.

    `whole` is the loss at the first size, 1, `start` at 0, `slope` its derivative there.
    """
    lengths = jnp.asarray(sizes, start.dtype)

    def suffices(trial: Trial) -> Array:
        return trial.loss <= start + share * lengths[trial.power] * slope

    def shorten(trial: Trial) -> Trial:
        return Trial(trial.power + 1, loss(lengths[trial.power + 1]))

    def goes_on(trial: Trial) -> Array:
        return ~suffices(trial) & (trial.power < len(sizes) - 1)

    trial = while_loop(goes_on, shorten, Trial(0, whole))
    return trial, suffices(trial)


def finite(loss: Array) -> Array:
    """Replace a loss that is not a number by infinity."""
    return jnp.nan_to_num(loss, nan=jnp.inf, posinf=jnp.inf)
