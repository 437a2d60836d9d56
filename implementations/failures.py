"""What a failed factorisation says."""

import numpy as np


class FactorisationFailed(ArithmeticError):
    """A damped curvature matrix could not be inverted.

    The message names the layer, the damping and the matrix's condition.
    """

    def __init__(self, matrices: dict[str, np.ndarray | None], damping: float) -> None:
        where = "; ".join(
            f"{name}: {spectrum(matrix)}" for name, matrix in matrices.items()
        )
        super().__init__(
            f"no inverse with damping {damping:g}: {where}; a larger damping helps"
        )


def spectrum(matrix: np.ndarray | None) -> str:
    """Put the extreme eigenvalues of a symmetric matrix into words.

    The matrix is [p, p], or its diagonal [p]; None for one that is not kept.
    """
    if matrix is None:
        return "no finite solution"
    if not np.isfinite(matrix).all():
        return "not finite"
    eigenvalues = np.sort(matrix) if matrix.ndim == 1 else np.linalg.eigvalsh(matrix)
    smallest, largest = eigenvalues[0], eigenvalues[-1]
    condition = (
        f"condition {largest / smallest:.1e}" if smallest > 0 else "not positive definite"
    )
    return f"eigenvalues {smallest:.1e} to {largest:.1e}, {condition}"
