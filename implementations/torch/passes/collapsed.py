"""Jets (u, ∇u, tr(A ∇²u)) with one constant A: the operators of second order.

The S = d + 2 channels are the value, the slopes along all axes and the curvature (the
forward Laplacian of arXiv 2405.15603, equation 6 and appendix C).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from optbench.implementations.protocol import LayerInputs
from optbench.implementations.torch.passes.activations import (
    Activation,
    derivatives,
    further,
)
from optbench.implementations.torch.passes.layer_inputs import Points
from optbench.problems.problem import Operator


class Kept(NamedTuple):
    """What an activation's way back needs of its way there."""

    derivatives: list[Tensor]  # σ, σ′, σ″ at the values z, each [n, h]
    bend: Tensor  # ∇zᵀ A ∇z [n, h]


class Collapsed:
    """How such a jet begins at points x [n, d], and how it passes an activation."""

    def __init__(self, diffuse: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self.x, self.diffuse = x, diffuse  # ∇z ↦ A ∇z

    def begin(self) -> LayerInputs:
        """Make the first layer's inputs."""
        return Points(self.x)

    def activate(self, activation: Activation, jet: Tensor) -> tuple[Tensor, Kept]:
        """Compute the channels of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
        known = derivatives(activation, jet[0], 2)
        value, first, second = known
        gradient = jet[1:-1]
        bend = (gradient * self.diffuse(gradient)).sum(0)
        activated = first * jet
        activated[0] = value
        activated[-1].addcmul_(second, bend)
        return activated, Kept(known, bend)

    def activate_transposed(
        self, activation: Activation, kept: Kept, jet: Tensor, cotangents: Tensor
    ) -> Tensor:
        """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h].

        With (q₀, q₁, q_A) of the value, the slopes and the curvature of σ(z), those of z
        are

            value      σ′ q₀ + σ″ (∇z·q₁ + tr(A ∇²z) q_A) + σ‴ ∇zᵀ A ∇z q_A
            slopes     σ′ q₁ + 2 σ″ q_A A ∇z
            curvature  σ′ q_A
        """
        _, first, second, third = further(activation, kept.derivatives)
        to_curvature = cotangents[:, -1]
        pulled = first * cotangents
        bent = second * to_curvature
        # ∇z·q₁ + tr(A ∇²z) q_A
        pulled[:, 0].addcmul_(second, (jet[1:] * cotangents[:, 1:]).sum(1))
        pulled[:, 0].addcmul_(third * kept.bend, to_curvature)
        pulled[:, 1:-1].addcmul_(bent[:, None], self.diffuse(jet[1:-1]), value=2)
        return pulled


@lru_cache
def diffusing(
    operator: Operator, dtype: torch.dtype, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Make ∇z ↦ A ∇z [d, n, h] on a device, with no more products than A needs."""
    A: Any = operator.diffusion
    diagonal = np.diag(A)
    if np.array_equal(A, np.eye(len(diagonal))):
        return lambda gradient: gradient
    if np.array_equal(A, np.diag(diagonal)):
        entries = torch.tensor(diagonal, dtype=dtype, device=device)[:, None, None]
        return lambda gradient: entries * gradient
    matrix = torch.tensor(A, dtype=dtype, device=device)
    return lambda gradient: torch.einsum("ij,jnh->inh", matrix, gradient)
