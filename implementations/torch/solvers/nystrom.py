"""The randomized Nyström approximation C ≈ U Λ Uᵀ, and what it preconditions.

C is symmetric and known by its products alone; where it is indefinite, what is approximated
is C plus a multiple of the identity. Source: Frangella, Tropp and Udell 2023, arXiv
2110.02820; Rathore et al. 2024, arXiv 2402.01868, algorithm 5.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers import random_numbers
from optbench.implementations.torch.solvers.control_flow import when
from optbench.implementations.torch.solvers.linear_algebra import cholesky, eigh, svd

STREAM = 3  # of the random signs
EPS = 2.0**-52


class Sketch(NamedTuple):
    """An approximation of low rank."""

    vectors: Tensor  # U [D, rank], orthonormal columns
    values: Tensor  # Λ [rank], descending, none below zero


def directions(
    seed: int, k: int | Tensor, size: int, rank: int, device: torch.device
) -> Tensor:
    """Draw Ω [D, rank]: the orthogonal factor of random signs, those of refresh k."""
    signs = random_numbers.signs(seed, k, STREAM, size * rank, device)
    return torch.linalg.qr(signs.reshape(size, rank))[0]


def approximate(product: Callable[[Tensor], Tensor], directions: Tensor) -> Sketch:
    """Approximate C from v ↦ C v [D] and directions Ω [D, rank].

    It is CΩ (ΩᵀCΩ)⁻¹ (CΩ)ᵀ, with C + νI in place of C and ν taken off its eigenvalues,
    which are NaN where rounding leaves no positive definite core.
    """
    # one at a time, as conjugate gradients have them: as little memory, and few beside
    images = torch.stack([product(column) for column in directions.T], dim=1)

    def core(shift: Tensor) -> Tensor:
        matrix = directions.T @ (images + shift * directions)
        return (matrix + matrix.T) / 2

    def definite() -> Tensor:
        values, _ = eigh(core(least))
        rounding = EPS * len(values) * values.abs().max()
        return least + values[0].abs() + rounding

    least = EPS * torch.linalg.matrix_norm(images)
    shift = when(cholesky(core(least)).isfinite().all(), lambda: least, definite)
    root = cholesky(core(shift))
    shifted = images + shift * directions
    half = torch.linalg.solve_triangular(root, shifted.T, upper=False)
    U, s, _ = svd(half.T)
    # by rows, as a checkpoint gives it back: a product's last bits depend on the order
    return Sketch(U.contiguous(), (s * s - shift).clamp(min=0))


def preconditioner(sketch: Sketch, damping: float) -> Callable[[Tensor], Tensor]:
    """Make v ↦ P⁻¹ v [D] for C + μI.

    P⁻¹ = (Λ_min + μ) U (Λ + μI)⁻¹ Uᵀ + I − UUᵀ: what U does not span stays.
    """
    vectors, values = sketch
    removed = 1 - (values[-1] + damping) / (values + damping)

    def precondition(vector: Tensor) -> Tensor:
        return vector - vectors @ (removed * (vectors.T @ vector))

    return precondition
