"""Activations σ with their derivatives, from σ and σ′ alone."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# σ⁽ᵏ⁾ of σ and σ′
Higher = Callable[[Tensor, Tensor], Tensor]


class Activation(NamedTuple):
    """An elementwise function σ."""

    start: Callable[[Tensor], tuple[Tensor, Tensor]]  # σ and σ′ at z
    higher: tuple[Higher, ...]  # σ″, σ‴, … as far as operators of order four need them


def derivatives(activation: Activation, z: Tensor, order: int) -> list[Tensor]:
    """Evaluate σ, σ′, … up to the derivative of an order, of at least 1, each like z."""
    value, first = activation.start(z)
    known = [
        value,
        first,
        *(higher(value, first) for higher in activation.higher[: order - 1]),
    ]
    return known[: order + 1]


def further(activation: Activation, known: list[Tensor]) -> list[Tensor]:
    """Add the next derivative to those up to some order, of which the first is known."""
    return [*known, activation.higher[len(known) - 2](known[0], known[1])]


def tanh_start(z: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate tanh and its derivative 1 − tanh²."""
    # tanh, two to three times faster in float64 on a CPU
    value = torch.rsub(torch.sigmoid(-2 * z), 1, alpha=2)
    return value, 1 - value * value


def sin_start(z: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate the sine and the cosine."""
    # not by polynomials, as in JAX: with a call for every operation, they take three times
    # as long, 1.52 against 0.52 ms for 57,600 numbers
    return torch.sin(z), torch.cos(z)


# with t = tanh z and s = 1 − t²: σ″ = −2ts, σ‴ = s(4 − 6s), σ⁗ = ts(24s − 8),
# σ⁽⁵⁾ = s(16 − 120s + 120s²)
TANH = Activation(
    tanh_start,
    (
        lambda t, s: -2 * t * s,
        lambda t, s: s * torch.rsub(s, 4, alpha=6),
        lambda t, s: t * s * (24 * s - 8),
        lambda t, s: s * (16 - 120 * s * (1 - s)),
    ),
)
SIN = Activation(
    sin_start,
    (
        lambda sin, cos: -sin,
        lambda sin, cos: -cos,
        lambda sin, cos: sin,
        lambda sin, cos: cos,
    ),
)
ACTIVATIONS = {"tanh": TANH, "sin": SIN}
