"""Activations σ with their derivatives, from σ and σ′ alone."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

# σ⁽ᵏ⁾ of σ and σ′
Higher = Callable[[Array, Array], Array]


class Activation(NamedTuple):
    """An elementwise function σ."""

    start: Callable[[Array], tuple[Array, Array]]  # σ and σ′ at z
    higher: tuple[Higher, ...]  # σ″, σ‴, … as far as operators of order four need them


def derivatives(activation: Activation, z: Array, order: int) -> list[Array]:
    """Evaluate σ, σ′, … up to the derivative of an order, of at least 1, each like z."""
    value, first = activation.start(z)
    known = [
        value,
        first,
        *(higher(value, first) for higher in activation.higher[: order - 1]),
    ]
    return known[: order + 1]


def further(activation: Activation, known: list[Array]) -> list[Array]:
    """Add the next derivative to those up to some order, of which the first is known."""
    return [*known, activation.higher[len(known) - 2](known[0], known[1])]


def tanh_start(z: Array) -> tuple[Array, Array]:
    """Evaluate tanh and its derivative 1 − tanh²."""
    value = jnp.tanh(z)
    return value, 1 - value * value


def sin_start(z: Array) -> tuple[Array, Array]:
    """Evaluate the sine and the cosine."""
    return jnp.sin(z), jnp.cos(z)


# with t = tanh z and s = 1 − t²: σ″ = −2ts, σ‴ = s(4 − 6s), σ⁗ = ts(24s − 8),
# σ⁽⁵⁾ = s(16 − 120s + 120s²)
TANH = Activation(
    tanh_start,
    (
        lambda t, s: -2 * t * s,
        lambda t, s: s * (4 - 6 * s),
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
