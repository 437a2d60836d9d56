"""The pairs (s, y) of L-BFGS, and their quasi-Newton direction.

By the compact form of the inverse Hessian (Byrd, Nocedal and Schnabel 1994, theorem 2.2).
"""

from math import inf
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.control_flow import when


class History(NamedTuple):
    """The last pairs, in a ring, and what their compact form needs.

    Slots without a pair are zero everywhere.
    """

    steps: Array  # S, a row s for each pair: the change of the parameters [slots, D]
    changes: Array  # Y, a row y: the change of the gradient [slots, D]
    curvatures: Array  # yᵀs [slots]
    # R⁻¹ [slots, slots]: Rᵢⱼ is sᵢᵀyⱼ where pair i is no newer than pair j, else 0
    inverse_triangle: Array
    stored: int | Array  # pairs ever kept
    scale: Array  # γ = yᵀs / yᵀy of the last kept pair: the inverse Hessian's first guess


def empty(history_size: int, vector: Array) -> History:
    """Begin without pairs, for vectors like `vector`; γ = 1."""
    slots, dtype = history_size, vector.dtype
    steps, changes = (jnp.zeros((slots, len(vector)), dtype) for _ in range(2))
    curvatures, inverse_triangle = jnp.zeros(slots, dtype), jnp.zeros((slots, slots), dtype)
    return History(
        steps,
        changes,
        curvatures,
        inverse_triangle,
        jnp.zeros((), int),
        jnp.ones((), dtype),
    )


def remember(history: History, step: Array, change: Array, least: float) -> History:
    """Keep a pair in place of the oldest where yᵀs exceeds `least`, all of it finite."""
    curvature, square = change.dot(step), change.dot(change)
    kept = (least < curvature) & (curvature < inf) & (square < inf)

    def replaced() -> History:
        slot = history.stored % len(history.steps)
        steps = history.steps.at[slot].set(step)
        changes = history.changes.at[slot].set(change)
        curvatures = history.curvatures.at[slot].set(curvature)
        # the oldest pair's column is its row's one entry: without the row it is out of R
        inverse_triangle = history.inverse_triangle.at[slot].set(0)
        column = inverse_triangle @ (steps @ change) / -curvature
        inverse_triangle = inverse_triangle.at[:, slot].set(column)
        inverse_triangle = inverse_triangle.at[slot, slot].set(1 / curvature)
        return History(
            steps,
            changes,
            curvatures,
            inverse_triangle,
            history.stored + 1,
            curvature / square,
        )

    return when(kept, replaced, lambda: history)


def quasi_newton(history: History, gradient: Array) -> Array:
    """Compute −H g = −γ q − Sᵀ w, with the pairs as rows of S and Y.

    q = g − Yᵀ p, R p = S g and Rᵀ w = C p − γ Y q, where C has the curvatures. The theorem
    has Y Yᵀ p and Y g; −Y q is their difference, of the same cost and with less rounding.
    """
    p = history.inverse_triangle @ (history.steps @ gradient)
    q = gradient - p @ history.changes
    w = history.curvatures * p - history.scale * (history.changes @ q)
    return -history.scale * q - (w @ history.inverse_triangle) @ history.steps
