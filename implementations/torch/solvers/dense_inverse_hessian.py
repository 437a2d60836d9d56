"""A dense estimate H of the inverse Hessian, and its self-scaled updates.

Broyden's family with a scaling τ (Al-Baali 1998; Al-Baali and Khalfan 2005; for PINNs
Urbán, Stefanou and Pons 2025, arXiv 2405.04230).
"""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from optbench.implementations import memory_estimates
from optbench.implementations.protocol import Objective, Params
from optbench.implementations.torch.solvers.quasi_newton import Pair, QuasiNewton
from optbench.problems.problem import Batch

DECREASES = 2 * 1.01  # Newton's steps, which halve it, are tried whole in the end


class Dense(NamedTuple):
    """H, and what its pairs were."""

    inverse: Tensor  # H [D, D]
    pairs: int | Tensor  # that it knows of
    decrease: Tensor  # of the loss by the last of them


class DenseQuasiNewton(QuasiNewton):
    """H as a matrix; each method brings its θ and τ."""

    float64_only: ClassVar[bool] = True

    initial_scaling: bool
    first_trial: Literal["one", "decrease"]

    @abstractmethod
    def scaling(self, a: Tensor, b: Tensor, h: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Choose θ, 0 for BFGS and 1 for DFP, and τ, by which H is divided first.

        b = sᵀBs / yᵀs, h = yᵀHy / yᵀs and a = bh − 1 ≥ 0; `size` is D.
        """

    def identity(self, vector: Tensor) -> Dense:
        """Begin with H = I; raises ValueError where there is one parameter alone."""
        if len(vector) < 2:
            raise ValueError(
                f"{self.name} needs at least two parameters, this network has one"
            )
        eye = torch.eye(len(vector), dtype=vector.dtype, device=vector.device)
        return Dense(eye, 0, vector.new_zeros(()))

    def direction(self, memory: Dense, gradient: Tensor) -> Tensor:
        """Compute −H g [D]."""
        return -(memory.inverse @ gradient)

    def update(self, memory: Dense, pair: Pair) -> Dense:
        """Update H, so that it maps y to s."""
        Hy = memory.inverse @ pair.change
        yHy = pair.change.dot(Hy)
        h, b = yHy / pair.curvature, pair.model / pair.curvature
        a = b * h - 1
        theta, tau = self.scaling(a, b, h, len(Hy))
        if self.initial_scaling:
            first = torch.as_tensor(memory.pairs == 0, device=Hy.device)
            tau = torch.where(first, h / (1 + a * theta), tau)
        inverse = updated(memory.inverse, pair, Hy, yHy, (1 - theta) / (1 + a * theta), tau)
        return Dense(inverse, memory.pairs + 1, pair.decrease)

    def trial(self, memory: Dense, slope: Tensor) -> Tensor:
        """Choose the size that the search tries first.

        It is 1, or the minimum of the parabola that falls as far as the last step did
        (Nocedal and Wright 2006, equation 3.60), a little farther, where that is smaller.
        """
        if self.first_trial == "one":
            return super().trial(memory, slope)
        return torch.clamp(DECREASES * memory.decrease / -slope, max=1.0)

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the matrices of an update, beside the old H and the new one."""
        return memory_estimates.parameters(params) ** 2


def updated(
    H: Tensor, pair: Pair, Hy: Tensor, yHy: Tensor, phi: Tensor, tau: Tensor
) -> Tensor:
    """Compute H⁺ = [H − Hy(Hy)ᵀ/yᵀHy + φ yᵀHy vvᵀ]/τ + ssᵀ/yᵀs, symmetric.

    v = s/yᵀs − Hy/yᵀHy.
    """
    v = pair.step / pair.curvature - Hy / yHy
    vectors = torch.stack([Hy, v, pair.step])  # [3, D]
    factors = torch.stack([-1 / (tau * yHy), phi * yHy / tau, 1 / pair.curvature])
    H = (H / tau).addmm_((factors[:, None] * vectors).T, vectors)
    return (H + H.T).mul_(0.5)
