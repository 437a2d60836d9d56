"""The randomized Nyström approximation C ≈ U Λ Uᵀ, and what it preconditions.

C is symmetric and known by its products alone; where it is indefinite, what is approximated
is C plus a multiple of the identity. Source: Frangella, Tropp and Udell 2023, arXiv
2110.02820; Rathore et al. 2024, arXiv 2402.01868, algorithm 5.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular

from optbench.implementations.jax.solvers import random_numbers
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.linear_algebra import cholesky, eigh, svd

STREAM = 3  # of the random signs
EPS = 2.0**-52


class Sketch(NamedTuple):
    """An approximation of low rank."""

    vectors: Array  # U [D, rank], orthonormal columns
    values: Array  # Λ [rank], descending, none below zero


def directions(seed: int, k: int | Array, size: int, rank: int) -> Array:
    """Draw Ω [D, rank]: the orthogonal factor of random signs, those of refresh k."""
    signs = random_numbers.signs(seed, k, STREAM, size * rank)
    return jnp.linalg.qr(signs.reshape(size, rank))[0]


def approximate(product: Callable[[Array], Array], directions: Array) -> Sketch:
    """Approximate C from v ↦ C v [D] and directions Ω [D, rank].

    It is CΩ (ΩᵀCΩ)⁻¹ (CΩ)ᵀ, with C + νI in place of C and ν taken off its eigenvalues,
    which are NaN where rounding leaves no positive definite core.
    """
    # one at a time, as conjugate gradients have them: as little memory, and few beside
    images = jax.lax.map(product, directions.T).T

    def core(shift: Array) -> Array:
        matrix = directions.T @ (images + shift * directions)
        return (matrix + matrix.T) / 2

    def definite() -> Array:
        values, _ = eigh(core(least))
        rounding = EPS * len(values) * jnp.abs(values).max()
        return least + jnp.abs(values[0]) + rounding

    least = EPS * jnp.linalg.norm(images)
    shift = when(jnp.isfinite(cholesky(core(least))).all(), lambda: least, definite)
    root = cholesky(core(shift))
    shifted = images + shift * directions
    half = solve_triangular(root, shifted.T, lower=True)
    U, s, _ = svd(half.T)
    return Sketch(U, jnp.maximum(s * s - shift, 0))


def preconditioner(sketch: Sketch, damping: float) -> Callable[[Array], Array]:
    """Make v ↦ P⁻¹ v [D] for C + μI.

    P⁻¹ = (Λ_min + μ) U (Λ + μI)⁻¹ Uᵀ + I − UUᵀ: what U does not span stays.
    """
    vectors, values = sketch
    removed = 1 - (values[-1] + damping) / (values + damping)

    def precondition(vector: Array) -> Array:
        return vector - vectors @ (removed * (vectors.T @ vector))

    return precondition
