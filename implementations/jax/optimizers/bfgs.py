"""BFGS with the whole inverse Hessian: plain, self-scaled, and self-scaled Broyden.

Sources: Al-Baali 1998 for `ssbfgs`; Al-Baali and Khalfan 2005 for `ssbroyden`, as Urbán,
Stefanou and Pons (2025, arXiv 2405.04230) train PINNs with it.
"""

from typing import ClassVar, Literal

import jax.numpy as jnp
from jax import Array

from optbench.implementations.hyperparameters import optimizer
from optbench.implementations.jax.solvers.dense_inverse_hessian import DenseQuasiNewton

FLAT = 1e-12  # up to this a, which is 0 but for rounding, no θ is better than another


@optimizer
class BFGS(DenseQuasiNewton):
    """BFGS."""

    name: ClassVar[str] = "bfgs"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Array, b: Array, h: Array, size: int) -> tuple[Array, Array]:
        """Choose θ = 0 and τ = 1."""
        return jnp.zeros_like(a), jnp.ones_like(a)


@optimizer
class SSBFGS(DenseQuasiNewton):
    """Self-scaled BFGS."""

    name: ClassVar[str] = "ssbfgs"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Array, b: Array, h: Array, size: int) -> tuple[Array, Array]:
        """Choose θ = 0 and τ = min(1, 1/b): H may grow, and is never made smaller."""
        return jnp.zeros_like(a), jnp.minimum(1 / b, 1.0)


@optimizer
class SSBroyden(DenseQuasiNewton):
    """Self-scaled Broyden: θ beyond BFGS where that shrinks large eigenvalues of B."""

    name: ClassVar[str] = "ssbroyden"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("first_trial",)

    initial_scaling: bool = False  # whether the first pair sizes H first
    first_trial: Literal["one", "decrease"] = "one"  # of a search: see `trial`

    def scaling(self, a: Array, b: Array, h: Array, size: int) -> tuple[Array, Array]:
        """Choose θ and τ by Al-Baali and Khalfan's rules."""
        q = jnp.minimum(1 / b, 1.0)
        flat = a <= FLAT
        a = jnp.where(flat, 1.0, a)  # what follows divides by it
        c = jnp.sqrt(a / (1 + a))
        rho = jnp.minimum(h * (1 - c), 1.0)  # ρ⁻
        theta = jnp.maximum((rho - 1) / a, jnp.minimum(1 / rho, (1 - b) / b))
        sigma = 1 + a * theta
        sigma_D = jnp.abs(sigma) ** (1 / (1 - size))
        tau = jnp.where(
            theta <= 0,
            jnp.minimum(q * sigma_D, sigma),
            q * jnp.minimum(sigma_D, 1 / theta),
        )
        return jnp.where(flat, 0.0, theta), jnp.where(flat, q, tau)
