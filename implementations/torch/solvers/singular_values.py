"""J by its singular values, J = U diag(s) Vᵀ, with what Gauss-Newton steps ask of them."""

from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.linear_algebra import eigh, svd


class SingularValues(NamedTuple):
    """J [R, D] by its k singular values; U is there as a product.

    A direction whose s² is not positive has s = 0, b = 0 and a column of zeros in V.
    """

    s: Tensor  # [k], none below zero
    V: Tensor  # [D, k]
    b: Tensor  # Uᵀ r [k]
    left: Tensor  # [R, …]
    turn: Tensor  # [k, …]: Uᵀ = turn leftᵀ

    def project(self, residuals: Tensor) -> Tensor:
        """Compute Uᵀ of columns [R, m]: [k, m]."""
        return self.turn @ (self.left.T @ residuals)


def of_jacobian(J: Tensor, residual: Tensor) -> SingularValues:
    """Decompose J [R, D] itself, or R of its QR decomposition where it is not wide.

    The error is that of J's condition number.
    """
    if J.shape[0] < J.shape[1]:
        left, s, Vt = svd(J)
        turn = torch.eye(len(s), dtype=J.dtype, device=J.device)
    else:
        left, R = torch.linalg.qr(J)
        U, s, Vt = svd(R)
        turn = U.T
    kept = s * s > 0
    turn = torch.where(kept[:, None], turn, 0)
    b = turn @ (left.T @ residual)
    return SingularValues(
        torch.where(kept, s, 0), torch.where(kept, Vt.T, 0), b, left, turn
    )


def of_gramian(J: Tensor, residual: Tensor) -> SingularValues:
    """Decompose J [R, D] by the eigenvectors of JᵀJ, cheaper.

    The error is that of the square of J's condition number.
    """
    squares, V = eigh(J.T @ J)
    kept = squares > 0
    V = torch.where(kept, V, 0)
    s = torch.sqrt(torch.where(kept, squares, 0))
    turn = V.T / torch.where(kept, s, 1)[:, None]
    return SingularValues(s, V, turn @ (J.T @ residual), J, turn)
