"""Jets (u, ∇u, tr(A ∇²u)) with one constant A: the operators of second order.

The S = d + 2 channels are the value, the slopes along all axes and the curvature (the
forward Laplacian of arXiv 2405.15603, equation 6 and appendix C).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from optbench.implementations.jax.passes.activations import (
    Activation,
    derivatives,
    further,
)
from optbench.implementations.jax.passes.layer_inputs import Points
from optbench.implementations.protocol import LayerInputs


class Kept(NamedTuple):
    """What an activation's way back needs of its way there."""

    derivatives: list[Array]  # σ, σ′, σ″ at the values z, each [n, h]
    bend: Array  # ∇zᵀ A ∇z [n, h]


class Collapsed:
    """How such a jet begins at points x [n, d], and how it passes an activation."""

    def __init__(self, diffusion: np.ndarray, x: Array) -> None:
        self.x, self.diffuse = x, diffusing(diffusion, x.dtype)

    def begin(self) -> LayerInputs:
        """Make the first layer's inputs."""
        return Points(self.x)

    def activate(self, activation: Activation, jet: Array) -> tuple[Array, Kept]:
        """Compute the channels of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
        known = derivatives(activation, jet[0], 2)
        value, first, second = known
        gradient = jet[1:-1]
        bend = (gradient * self.diffuse(gradient)).sum(0)
        curvature = first * jet[-1] + second * bend
        activated = jnp.concatenate([value[None], first * gradient, curvature[None]])
        return activated, Kept(known, bend)

    def activate_transposed(
        self, activation: Activation, kept: Kept, jet: Array, cotangents: Array
    ) -> Array:
        """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h].

        With (q₀, q₁, q_A) of the value, the slopes and the curvature of σ(z), those of z
        are

            value      σ′ q₀ + σ″ (∇z·q₁ + tr(A ∇²z) q_A) + σ‴ ∇zᵀ A ∇z q_A
            slopes     σ′ q₁ + 2 σ″ q_A A ∇z
            curvature  σ′ q_A
        """
        _, first, second, third = further(activation, kept.derivatives)
        gradient = jet[1:-1]
        to_value, to_gradient, to_curvature = (
            cotangents[:, 0],
            cotangents[:, 1:-1],
            cotangents[:, -1],
        )
        # ∇z·q₁ + tr(A ∇²z) q_A
        value = first * to_value + second * (jet[1:] * cotangents[:, 1:]).sum(1)
        value += third * kept.bend * to_curvature
        slope = first * to_gradient + 2 * (second * to_curvature)[:, None] * self.diffuse(
            gradient
        )
        return jnp.concatenate(
            [value[:, None], slope, first * to_curvature[:, None]], axis=1
        )


def diffusing(diffusion: np.ndarray, dtype: np.dtype) -> Callable[[Array], Array]:
    """Make ∇z ↦ A ∇z [d, n, h], with no more products than A needs."""
    diagonal = np.diag(diffusion)
    if np.array_equal(diffusion, np.eye(len(diagonal))):
        return lambda gradient: gradient
    if np.array_equal(diffusion, np.diag(diagonal)):
        entries = jnp.asarray(diagonal, dtype)[:, None, None]
        return lambda gradient: entries * gradient
    matrix = jnp.asarray(diffusion, dtype)
    return lambda gradient: jnp.einsum("ij,jnh->inh", matrix, gradient)
