"""The pairs (s, y) of L-BFGS, and their quasi-Newton direction.

By the compact form of the inverse Hessian (Byrd, Nocedal and Schnabel 1994, theorem 2.2).
"""

from math import inf
from typing import NamedTuple

from torch import Tensor

from optbench.implementations.torch.solvers.control_flow import when


class History(NamedTuple):
    """The last pairs, in a ring, and what their compact form needs.

    Slots without a pair are zero everywhere.
    """

    steps: Tensor  # S, a row s for each pair: the change of the parameters [slots, D]
    changes: Tensor  # Y, a row y: the change of the gradient [slots, D]
    curvatures: Tensor  # yᵀs [slots]
    # R⁻¹ [slots, slots]: Rᵢⱼ is sᵢᵀyⱼ where pair i is no newer than pair j, else 0
    inverse_triangle: Tensor
    stored: int | Tensor  # pairs ever kept
    scale: Tensor  # γ = yᵀs / yᵀy of the last kept pair: the inverse Hessian's first guess


def empty(history_size: int, vector: Tensor) -> History:
    """Begin without pairs, for vectors like `vector`; γ = 1."""
    rows = vector.new_zeros(history_size, len(vector))
    curvatures = vector.new_zeros(history_size)
    inverse_triangle = vector.new_zeros(history_size, history_size)
    return History(rows, rows, curvatures, inverse_triangle, 0, vector.new_ones(()))


def owned(history: History) -> History:
    """Copy the buffers, which `remember` may then write into.

    Once per step: they are many times as large as the parameters.
    """
    return history._replace(
        **{
            name: getattr(history, name).clone()
            for name in ("steps", "changes", "curvatures", "inverse_triangle")
        }
    )


def remember(history: History, step: Tensor, change: Tensor, least: float) -> History:
    """Keep a pair in place of the oldest where yᵀs exceeds `least`, all of it finite.

    Writes into the buffers.
    """
    curvature, square = change.dot(step), change.dot(change)
    kept = (least < curvature) & (curvature < inf) & (square < inf)

    def replaced() -> History:
        slot = history.stored % len(history.steps)
        steps, changes, curvatures, inverse_triangle = history[:4]
        steps[slot], changes[slot], curvatures[slot] = step, change, curvature
        # the oldest pair's column is its row's one entry: without the row it is out of R
        inverse_triangle[slot] = 0
        column = inverse_triangle @ (steps @ change) / -curvature
        inverse_triangle[:, slot] = column
        inverse_triangle[slot, slot] = 1 / curvature
        return History(*history[:4], history.stored + 1, curvature / square)

    return when(kept, replaced, lambda: history)


def quasi_newton(history: History, gradient: Tensor) -> Tensor:
    """Compute −H g = −γ q − Sᵀ w, with the pairs as rows of S and Y.

    q = g − Yᵀ p, R p = S g and Rᵀ w = C p − γ Y q, where C has the curvatures. The theorem
    has Y Yᵀ p and Y g; −Y q is their difference, of the same cost and with less rounding.
    """
    p = history.inverse_triangle @ (history.steps @ gradient)
    q = gradient - p @ history.changes
    w = history.curvatures * p - history.scale * (history.changes @ q)
    return -history.scale * q - (w @ history.inverse_triangle) @ history.steps
