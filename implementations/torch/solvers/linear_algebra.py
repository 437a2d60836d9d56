"""Factorisations that answer with NaN where they fail, and conversion to float64.

A compiled step cannot raise.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from optbench.implementations.protocol import Tree
from optbench.implementations.torch.passes.parameters import scale
from optbench.implementations.torch.solvers.control_flow import when

# times the dimension and the largest eigenvalue: the least that a damped factor's may be
ROOT_FLOOR = 1e-15

# from references and matrices [k, n, n] to s [k, n] and K [k, n, n]
GeneralizedEigh = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def double(tree: Tree) -> Tree:
    """Convert a tree's arrays to float64.

    Curvature needs it, whatever the parameters' type is.

    A product of float32 numbers with itself has errors of 6e-8 of its norm: where the
    damping is smaller, the matrix is not positive definite, and what is solved with it is
    noise. JᵀJ of a J rounded to float32 is, to 1e-16.
    """
    return pytree.tree_map(Tensor.double, tree)


def eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute eigenvalues, ascending, and eigenvectors of symmetric matrices [..., n, n].

    The eigenvalues are NaN where a matrix is not finite or the solver does not converge.
    Whatever else the library raises, such as for a matrix beyond LAPACK's limits, names the
    size.
    """
    fault = (0 * matrices).sum((-2, -1))[..., None]  # 0, or NaN for a matrix not finite
    try:
        values, vectors = torch.linalg.eigh(matrices.nan_to_num(0, 0, 0))
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]  # no convergence
        if matrices.ndim > 2:  # of which?
            values, vectors = zip(*map(eigh, matrices), strict=True)
            return torch.stack(values), torch.stack(vectors)
        return torch.full_like(matrices[0], torch.nan), torch.full_like(matrices, torch.nan)
    except RuntimeError as error:
        error.add_note(f"eigenvalues of a matrix {list(matrices.shape)}")
        raise
    return values + fault, vectors


def cholesky(matrices: Tensor) -> Tensor:
    """Compute the lower Cholesky factors of matrices [..., n, n].

    They are NaN where a matrix is not positive definite.
    """
    factors, info = torch.linalg.cholesky_ex(matrices)
    return factors.masked_fill(info[..., None, None] != 0, torch.nan)


def pseudo_inverse_solve(matrix: Tensor, vector: Tensor) -> Tensor:
    """Compute the minimum-norm solution of a symmetric system.

    Eigenvalues |w| ≤ eps·n·max|w| count as zero.
    """
    values, vectors = eigh(matrix)
    magnitude = values.abs()
    kept = magnitude > torch.finfo(values.dtype).eps * len(values) * magnitude.max()
    inverse = torch.where(kept, 1 / torch.where(kept, values, 1), 0 * values)
    return vectors @ (inverse * (vectors.T @ vector))


def damped_solve(matrix: Tensor, damping: float, vector: Tensor) -> Tensor:
    """Compute (G + λI)⁺ v of a positive semidefinite matrix G.

    By Cholesky, where no eigenvalue can count as zero.
    """
    matrix = matrix.clone()
    matrix.diagonal().add_(damping)
    factor, info = torch.linalg.cholesky_ex(matrix)
    # the Frobenius norm bounds the largest eigenvalue, λ the smallest but for rounding:
    # hence the two
    negligible = (
        2 * torch.finfo(matrix.dtype).eps * len(matrix) * torch.linalg.matrix_norm(matrix)
    )
    return when(
        (info == 0) & (damping > negligible),
        lambda: torch.cholesky_solve(vector[:, None], factor)[:, 0],
        lambda: pseudo_inverse_solve(matrix, vector),
    )


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute U, s and Vᵀ of the thin singular value decomposition.

    They are NaN where the matrix is not finite or the solver does not converge.
    """
    finite = matrix.isfinite().all()
    try:
        U, s, Vt = torch.linalg.svd(torch.where(finite, matrix, 0), full_matrices=False)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]  # no convergence
        U, s, Vt = matrix, torch.full_like(matrix[0], torch.nan), matrix
    return U, torch.where(finite, s, torch.nan), Vt


def least_squares(J: Tensor, damping: float, residual: Tensor) -> Tensor:
    """Compute (JᵀJ + λI)⁺ Jᵀ r from the singular values of J [R, D] itself.

    A QR decomposition makes J square first; singular values s ≤ eps·max(R, D)·max(s) count
    as zero. The error is that of J's condition number, not of its square.
    """
    wide = J.shape[0] < J.shape[1]
    Q, R = torch.linalg.qr(J.T if wide else J)
    U, s, Vt = svd(R.T if wide else R)
    kept = s > torch.finfo(s.dtype).eps * max(J.shape) * s.max()
    inverse = torch.where(kept, s / torch.where(kept, s * s + damping, 1), 0 * s)
    if wide:
        return Q @ (Vt.T @ (inverse * (U.T @ residual)))
    return Vt.T @ (inverse * (U.T @ (Q.T @ residual)))


class KroneckerSum(NamedTuple):
    """The inverse of X ↦ B X A + B_c X A_c, diagonalised.

    Source: Martens and Grosse (2015), appendix B.
    """

    left: Tensor  # K_B [out, out]
    right: Tensor  # K_A [in + 1, in + 1]
    eigenvalues: Tensor  # 1 + s_B s_Aᵀ [out, in + 1]

    def solve(self, matrix: Tensor) -> Tensor:
        """Solve B X A + B_c X A_c = matrix for X [out, in + 1]."""
        return (
            self.left
            @ ((self.left.T @ matrix @ self.right) / self.eigenvalues)
            @ self.right.T
        )


def kronecker_sums(
    layers: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]], diagonalise: GeneralizedEigh
) -> list[KroneckerSum]:
    """Diagonalise A, A_c [in + 1, in + 1] and B, B_c [out, out] of every layer.

    All pairs of one size are diagonalised in one call: a step has fewer launches.
    """
    pairs = [pair for A, B, A_c, B_c in layers for pair in ((A, A_c), (B, B_c))]
    places: dict[int, list[int]] = {}
    for place, (matrix, _) in enumerate(pairs):
        places.setdefault(len(matrix), []).append(place)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for same in places.values():
        references, matrices = (
            torch.stack([pairs[place][number] for place in same]) for number in (0, 1)
        )
        found |= zip(
            same, zip(*diagonalise(references, matrices), strict=True), strict=True
        )
    sums = []
    for place in range(0, len(pairs), 2):
        (of_right, right), (of_left, left) = found[place], found[place + 1]
        sums.append(KroneckerSum(left, right, 1 + torch.outer(of_left, of_right)))
    return sums


def generalized_eigh(references: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute s and K with Kᵀ reference K = I and Kᵀ matrix K = diag(s).

    The matrices are [..., n, n].
    """
    factors = cholesky(references)
    half = torch.linalg.solve_triangular(factors, matrices, upper=False)
    values, vectors = eigh(torch.linalg.solve_triangular(factors, half.mT, upper=False))
    return values, torch.linalg.solve_triangular(factors.mT, vectors, upper=True)


def generalized_eigh_by_root(references: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the same by inverse square roots, with s ≥ 0.

    Eigenvalues of a reference are at least 1e-15 · dim · the largest. It answers where
    rounding has made a reference indefinite, which Cholesky refuses.
    """
    values, vectors = eigh(references)
    floor = ROOT_FLOOR * values.shape[-1] * values[..., -1:]
    root = (vectors / torch.sqrt(torch.maximum(values, floor))[..., None, :]) @ vectors.mT
    half = root @ matrices @ root
    values, vectors = eigh((half + half.mT) / 2)
    return values.clamp(min=0), root @ vectors


def shift_diagonals(matrices: list[Tensor], shares: Any) -> list[Tensor]:
    """Add to each matrix's diagonal a number of its own, in few calls for all of them.

    The shares are numbers, or all of them tensors [].
    """
    like = {"dtype": matrices[0].dtype, "device": matrices[0].device}
    eyes = {n: torch.eye(n, **like) for n in {*map(len, matrices)}}
    alike = [eyes[len(matrix)] for matrix in matrices]
    return list(torch._foreach_add(matrices, torch._foreach_mul(alike, shares)))  # pyright: ignore[reportPrivateImportUsage]


def first_failure(arrays: list[Tensor]) -> Tensor:
    """Find the index of the first array that is not finite, -1 for none."""
    faults = torch.stack([each.sum() for each in scale(arrays, 0)])  # 0, or NaN
    failed = faults.isnan()
    return torch.where(failed.any(), failed.int().argmax(), -1)
