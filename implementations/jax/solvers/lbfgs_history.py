"""The pairs (s, y) of L-BFGS, and their quasi-Newton direction (Nocedal 1980)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.control_flow import fori_loop


class History(NamedTuple):
    """The last pairs, in a ring of one slot more than are used.

    A rejected pair may overwrite the spare one.
    """

    steps: Array  # s [slots, D], the change of the parameters
    changes: Array  # y [slots, D], the change of the gradient
    curvatures: Array  # yᵀs [slots]
    stored: int | Array  # pairs ever kept
    scale: Array  # γ = yᵀs / yᵀy of the last kept pair: the inverse Hessian's first guess


def empty(history_size: int, vector: Array) -> History:
    """Begin without pairs, for vectors like `vector`; γ = 1."""
    slots, dtype = history_size + 1, vector.dtype
    steps, changes = (jnp.zeros((slots, len(vector)), dtype) for _ in range(2))
    return History(
        steps, changes, jnp.zeros(slots, dtype), jnp.zeros((), int), jnp.ones((), dtype)
    )


def remember(history: History, step: Array, change: Array, least: float) -> History:
    """Keep a pair in place of the oldest where yᵀs exceeds `least`, all of it finite."""
    stored, curvature = history.stored, change.dot(step)
    square, slot = change.dot(change), stored % len(history.steps)
    kept = (curvature > least) & jnp.isfinite(curvature) & jnp.isfinite(square)
    steps, changes = history.steps.at[slot].set(step), history.changes.at[slot].set(change)
    curvatures = history.curvatures.at[slot].set(curvature)
    scale = jnp.where(kept, curvature / square, history.scale)
    return History(steps, changes, curvatures, stored + kept, scale)


def quasi_newton(history: History, gradient: Array) -> Array:
    """Compute −H g by the two-loop recursion over the kept pairs."""
    slots = len(history.steps)
    count = jnp.minimum(history.stored, slots - 1)

    def newest_first(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        q, weights = carry
        slot = (history.stored - 1 - i) % slots
        weight = history.steps[slot].dot(q) / history.curvatures[slot]
        return q - weight * history.changes[slot], weights.at[slot].set(weight)

    q, weights = fori_loop(
        count, newest_first, (-gradient, jnp.zeros_like(history.curvatures))
    )

    def oldest_first(i: Array, r: Array) -> Array:
        slot = (history.stored - count + i) % slots
        weight = weights[slot] - history.changes[slot].dot(r) / history.curvatures[slot]
        return r + weight * history.steps[slot]

    return fori_loop(count, oldest_first, history.scale * q)
