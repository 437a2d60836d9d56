"""BFGS with the whole inverse Hessian: plain, self-scaled, and self-scaled Broyden.

Sources: Al-Baali 1998 for `ssbfgs`; Al-Baali and Khalfan 2005 for `ssbroyden`, as Urbán,
Stefanou and Pons (2025, arXiv 2405.04230) train PINNs with it.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from optbench.implementations.hyperparameters import optimizer
from optbench.implementations.torch.solvers.dense_inverse_hessian import DenseQuasiNewton

FLAT = 1e-12  # up to this a, which is 0 but for rounding, no θ is better than another


@optimizer
class BFGS(DenseQuasiNewton):
    """BFGS."""

    name: ClassVar[str] = "bfgs"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Tensor, b: Tensor, h: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Choose θ = 0 and τ = 1."""
        return torch.zeros_like(a), torch.ones_like(a)


@optimizer
class SSBFGS(DenseQuasiNewton):
    """Self-scaled BFGS."""

    name: ClassVar[str] = "ssbfgs"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Tensor, b: Tensor, h: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Choose θ = 0 and τ = min(1, 1/b): H may grow, and is never made smaller."""
        return torch.zeros_like(a), torch.clamp(1 / b, max=1.0)


@optimizer
class SSBroyden(DenseQuasiNewton):
    """Self-scaled Broyden: θ beyond BFGS where that shrinks large eigenvalues of B."""

    name: ClassVar[str] = "ssbroyden"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Tensor, b: Tensor, h: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Choose θ and τ by Al-Baali and Khalfan's rules."""
        q = torch.clamp(1 / b, max=1.0)
        flat = a <= FLAT
        a = torch.where(flat, 1.0, a)  # what follows divides by it
        c = torch.sqrt(a / (1 + a))
        rho = torch.clamp(h * (1 - c), max=1.0)  # ρ⁻
        theta = torch.maximum((rho - 1) / a, torch.minimum(1 / rho, (1 - b) / b))
        sigma = 1 + a * theta
        sigma_D = sigma.abs() ** (1 / (1 - size))
        tau = torch.where(
            theta <= 0,
            torch.minimum(q * sigma_D, sigma),
            q * torch.minimum(sigma_D, 1 / theta),
        )
        return torch.where(flat, 0.0, theta), torch.where(flat, q, tau)
