"""Factorisations that answer with NaN where they fail, and conversion to float64.

A compiled step cannot raise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve, solve_triangular

from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.protocol import Tree

# times the dimension and the largest eigenvalue: the least that a damped factor's may be
ROOT_FLOOR = 1e-15

# from a reference and a matrix [n, n] to s [n] and K [n, n]
GeneralizedEigh = Callable[[Array, Array], tuple[Array, Array]]


def double(tree: Tree) -> Tree:
    """Convert a tree's arrays to float64.

    Curvature needs it, whatever the parameters' type is.

    A product of float32 numbers with itself has errors of 6e-8 of its norm: where the
    damping is smaller, the matrix is not positive definite, and what is solved with it is
    noise. JᵀJ of a J rounded to float32 is, to 1e-16.
    """
    return jax.tree.map(lambda array: array.astype(float), tree)


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Compute eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    They are NaN where it is not finite or the solver does not converge.
    """
    return jnp.linalg.eigh(matrix)


def cholesky(matrix: Array) -> Array:
    """Compute the lower Cholesky factor; NaN where a matrix is not positive definite."""
    return jnp.linalg.cholesky(matrix)


def pseudo_inverse_solve(matrix: Array, vector: Array) -> Array:
    """Compute the minimum-norm solution of a symmetric system.

    Eigenvalues |w| ≤ eps·n·max|w| count as zero.
    """
    values, vectors = eigh(matrix)
    magnitude = jnp.abs(values)
    kept = magnitude > jnp.finfo(values.dtype).eps * len(values) * magnitude.max()
    inverse = jnp.where(kept, 1 / jnp.where(kept, values, 1), 0 * values)
    return vectors @ (inverse * (vectors.T @ vector))


def damped_solve(matrix: Array, damping: float, vector: Array) -> Array:
    """Compute (G + λI)⁺ v of a positive semidefinite matrix G.

    By Cholesky, where no eigenvalue can count as zero.
    """
    matrix = matrix + damping * jnp.eye(len(matrix), dtype=matrix.dtype)
    factor = cholesky(matrix)
    # the Frobenius norm bounds the largest eigenvalue, λ the smallest but for rounding:
    # hence the two
    negligible = (
        2 * len(matrix) * float(jnp.finfo(matrix.dtype).eps) * jnp.linalg.norm(matrix)
    )
    return when(
        jnp.isfinite(factor[-1, -1]) & (damping > negligible),
        lambda: cho_solve((factor, True), vector),
        lambda: pseudo_inverse_solve(matrix, vector),
    )


def svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Compute U, s and Vᵀ of the thin singular value decomposition.

    They are NaN where the matrix is not finite or the solver does not converge.
    """
    U, s, Vt = jnp.linalg.svd(matrix, full_matrices=False)
    return U, s, Vt


def least_squares(J: Array, damping: float, residual: Array) -> Array:
    """Compute (JᵀJ + λI)⁺ Jᵀ r from the singular values of J [R, D] itself.

    A QR decomposition makes J square first; singular values s ≤ eps·max(R, D)·max(s) count
    as zero. The error is that of J's condition number, not of its square.
    """
    wide = J.shape[0] < J.shape[1]
    Q, R = jnp.linalg.qr(J.T if wide else J)
    U, s, Vt = svd(R.T if wide else R)
    kept = s > jnp.finfo(s.dtype).eps * max(J.shape) * s.max()
    inverse = jnp.where(kept, s / jnp.where(kept, s * s + damping, 1), 0 * s)
    if wide:
        return Q @ (Vt.T @ (inverse * (U.T @ residual)))
    return Vt.T @ (inverse * (U.T @ (Q.T @ residual)))


class KroneckerSum(NamedTuple):
    """The inverse of X ↦ B X A + B_c X A_c, diagonalised.

    Source: Martens and Grosse (2015), appendix B.
    """

    left: Array  # K_B [out, out]
    right: Array  # K_A [in + 1, in + 1]
    eigenvalues: Array  # 1 + s_B s_Aᵀ [out, in + 1]

    def solve(self, matrix: Array) -> Array:
        """Solve B X A + B_c X A_c = matrix for X [out, in + 1]."""
        return (
            self.left
            @ ((self.left.T @ matrix @ self.right) / self.eigenvalues)
            @ self.right.T
        )


def kronecker_sums(
    layers: Sequence[tuple[Array, Array, Array, Array]], diagonalise: GeneralizedEigh
) -> list[KroneckerSum]:
    """Diagonalise A, A_c [in + 1, in + 1] and B, B_c [out, out] of every layer.

    All pairs of one size are diagonalised in one call: a step has fewer launches.
    """
    pairs = [pair for A, B, A_c, B_c in layers for pair in ((A, A_c), (B, B_c))]
    places: dict[int, list[int]] = {}
    for place, (matrix, _) in enumerate(pairs):
        places.setdefault(len(matrix), []).append(place)
    found: dict[int, tuple[Array, Array]] = {}
    for same in places.values():
        references, matrices = (
            jnp.stack([pairs[place][number] for place in same]) for number in (0, 1)
        )
        solved = jax.vmap(diagonalise)(references, matrices)
        found |= zip(same, zip(*solved, strict=True), strict=True)
    sums = []
    for place in range(0, len(pairs), 2):
        (of_right, right), (of_left, left) = found[place], found[place + 1]
        sums.append(KroneckerSum(left, right, 1 + jnp.outer(of_left, of_right)))
    return sums


def generalized_eigh(reference: Array, matrix: Array) -> tuple[Array, Array]:
    """Compute s and K with Kᵀ reference K = I and Kᵀ matrix K = diag(s)."""
    factor = cholesky(reference)
    half = solve_triangular(factor, matrix, lower=True)
    values, vectors = eigh(solve_triangular(factor, half.T, lower=True))
    return values, solve_triangular(factor.T, vectors, lower=False)


def generalized_eigh_by_root(reference: Array, matrix: Array) -> tuple[Array, Array]:
    """Compute the same by inverse square roots, with s ≥ 0.

    Eigenvalues of a reference are at least 1e-15 · dim · the largest. It answers where
    rounding has made a reference indefinite, which Cholesky refuses.
    """
    values, vectors = eigh(reference)
    floor = ROOT_FLOOR * len(values) * values[-1]
    root = (vectors / jnp.sqrt(jnp.maximum(values, floor))) @ vectors.T
    half = root @ matrix @ root
    values, vectors = eigh((half + half.T) / 2)
    return jnp.maximum(values, 0), root @ vectors


def shift_diagonals(matrices: list[Array], shares: list[float | Array]) -> list[Array]:
    """Add to each matrix's diagonal a number of its own."""
    return [
        matrix + share * jnp.eye(len(matrix), dtype=matrix.dtype)
        for matrix, share in zip(matrices, shares, strict=True)
    ]


def first_failure(arrays: list[Array]) -> Array:
    """Find the index of the first array that is not finite, -1 for none."""
    failed = jnp.stack([~jnp.isfinite(array).all() for array in arrays])
    return jnp.where(failed.any(), failed.argmax(), -1)
