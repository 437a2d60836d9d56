"""The pairs (s, y) of L-BFGS, and their quasi-Newton direction (Nocedal 1980)."""

from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.backend import read
from optbench.implementations.torch.solvers.control_flow import fori_loop


class History(NamedTuple):
    """The last pairs, in a ring of one slot more than are used.

    A rejected pair may overwrite the spare one.
    """

    steps: Tensor  # s [slots, D], the change of the parameters
    changes: Tensor  # y [slots, D], the change of the gradient
    curvatures: Tensor  # yᵀs [slots]
    stored: int | Tensor  # pairs ever kept
    scale: Tensor  # γ = yᵀs / yᵀy of the last kept pair: the inverse Hessian's first guess


def empty(history_size: int, vector: Tensor) -> History:
    """Begin without pairs, for vectors like `vector`; γ = 1."""
    rows = vector.new_zeros(history_size + 1, len(vector))
    return History(rows, rows, vector.new_zeros(history_size + 1), 0, vector.new_ones(()))


def owned(history: History) -> History:
    """Copy the buffers, which `remember` may then write into.

    Once per step: they are many times as large as the parameters.
    """
    return history._replace(
        **{
            name: getattr(history, name).clone()
            for name in ("steps", "changes", "curvatures")
        }
    )


def remember(history: History, step: Tensor, change: Tensor, least: float) -> History:
    """Keep a pair in place of the oldest where yᵀs exceeds `least`, all of it finite.

    Writes into the buffers.
    """
    stored, curvature = read(history.stored), change.dot(step)
    square, slot = change.dot(change), stored % len(history.steps)
    kept = (curvature > least) & torch.isfinite(curvature) & torch.isfinite(square)
    history.steps[slot], history.changes[slot], history.curvatures[slot] = (
        step,
        change,
        curvature,
    )
    scale = torch.where(kept, curvature / square, history.scale)
    return History(*history[:3], stored + read(kept), scale)


def quasi_newton(history: History, gradient: Tensor) -> Tensor:
    """Compute −H g by the two-loop recursion over the kept pairs."""
    slots = len(history.steps)
    count = min(history.stored, slots - 1)

    def newest_first(i: int, carry: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        q, weights = carry
        slot = (history.stored - 1 - i) % slots
        weight = history.steps[slot].dot(q) / history.curvatures[slot]
        weights[slot] = weight
        return q - weight * history.changes[slot], weights

    q, weights = fori_loop(
        count, newest_first, (-gradient, torch.zeros_like(history.curvatures))
    )

    def oldest_first(i: int, r: Tensor) -> Tensor:
        slot = (history.stored - count + i) % slots
        weight = weights[slot] - history.changes[slot].dot(r) / history.curvatures[slot]
        return r + weight * history.steps[slot]

    return fori_loop(count, oldest_first, history.scale * q)
