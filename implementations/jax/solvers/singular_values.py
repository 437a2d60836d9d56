"""J by its singular values, J = U diag(s) Vᵀ, with what Gauss-Newton steps ask of them."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.linear_algebra import eigh, svd


class SingularValues(NamedTuple):
    """J [R, D] by its k singular values; U is there as a product.

    A direction whose s² is not positive has s = 0, b = 0 and a column of zeros in V.
    """

    s: Array  # [k], none below zero
    V: Array  # [D, k]
    b: Array  # Uᵀ r [k]
    left: Array  # [R, …]
    turn: Array  # [k, …]: Uᵀ = turn leftᵀ

    def project(self, residuals: Array) -> Array:
        """Compute Uᵀ of columns [R, m]: [k, m]."""
        return self.turn @ (self.left.T @ residuals)


def of_jacobian(J: Array, residual: Array) -> SingularValues:
    """Decompose J [R, D] itself, or R of its QR decomposition where it is not wide.

    The error is that of J's condition number.
    """
    if J.shape[0] < J.shape[1]:
        left, s, Vt = svd(J)
        turn = jnp.eye(len(s), dtype=J.dtype)
    else:
        left, R = jnp.linalg.qr(J)
        U, s, Vt = svd(R)
        turn = U.T
    kept = s * s > 0
    turn = jnp.where(kept[:, None], turn, 0)
    b = turn @ (left.T @ residual)
    return SingularValues(jnp.where(kept, s, 0), jnp.where(kept, Vt.T, 0), b, left, turn)


def of_gramian(J: Array, residual: Array) -> SingularValues:
    """Decompose J [R, D] by the eigenvectors of JᵀJ, cheaper.

    The error is that of the square of J's condition number.
    """
    squares, V = eigh(J.T @ J)
    kept = squares > 0
    V = jnp.where(kept, V, 0)
    s = jnp.sqrt(jnp.where(kept, squares, 0))
    turn = V.T / jnp.where(kept, s, 1)[:, None]
    return SingularValues(s, V, turn @ (J.T @ residual), J, turn)
