"""What an optimizer says that cannot go on: no factorisation, or nowhere to go."""

from typing import NamedTuple

import numpy as np

LARGEST = 4096  # rows of a matrix whose eigenvalues are computed for a message: seconds


class Stalled(ArithmeticError):
    """An optimizer is where it can do nothing more: an answer, and no fault.

    The message is the reason, in words that may follow "it stalled: ".
    """


class FactorisationFailed(ArithmeticError):
    """A damped curvature matrix could not be inverted.

    The message says what is known of the layer's matrices. It advises a larger damping only
    where a matrix lacks it: one that is finite and not positive definite.
    """

    def __init__(self, matrices: dict[str, np.ndarray | None], damping: float) -> None:
        spectra = {name: spectrum(matrix) for name, matrix in matrices.items()}
        where = "; ".join(f"{name}: {found.words}" for name, found in spectra.items())
        advice = ""
        if any(found.definite is False for found in spectra.values()):
            advice = "; a larger damping helps"
        elif all(found.definite for found in spectra.values()):
            advice = (
                "; they have inverses: the library's solver for eigenvalues failed, or "
                "the gradient is not finite"
            )
        super().__init__(f"no inverse with damping {damping:g}: {where}{advice}")


class Spectrum(NamedTuple):
    """What is known of a symmetric matrix."""

    words: str
    definite: bool | None  # positive definite beyond rounding; None where that is not known


def spectrum(matrix: np.ndarray | None) -> Spectrum:
    """Put the size and the extreme eigenvalues of a symmetric matrix into words.

    The matrix is [p, p], or its diagonal [p]; None for one that is not kept.
    """
    if matrix is None:
        return Spectrum("no finite solution", None)
    size = f"[{len(matrix)}, {len(matrix)}]"
    if not np.isfinite(matrix).all():
        return Spectrum(f"{size}, not finite", None)
    diagonal = matrix if matrix.ndim == 1 else matrix.diagonal()
    words = f"{size}, smallest diagonal entry {diagonal.min():.1e}"
    if diagonal.min() <= 0:  # no smallest eigenvalue is above it
        return Spectrum(f"{words}, not positive definite", False)
    if len(matrix) > LARGEST and matrix.ndim == 2:
        return Spectrum(f"{words}, too large to look for its eigenvalues here", None)
    try:
        values = diagonal if matrix.ndim == 1 else np.linalg.eigvalsh(matrix)
    except np.linalg.LinAlgError as error:
        return Spectrum(f"{words}, NumPy finds no eigenvalues either: {error}", None)
    smallest, largest = values.min(), values.max()
    words = f"{words}, eigenvalues {smallest:.1e} to {largest:.1e}"
    if smallest <= len(matrix) * np.finfo(float).eps * largest:
        return Spectrum(f"{words}, not positive definite beyond rounding", False)
    return Spectrum(f"{words}, condition {largest / smallest:.1e}", True)
