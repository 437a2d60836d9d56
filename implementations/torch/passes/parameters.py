"""A network's parameters, a list of matrices: moved, added, flattened and split."""

import torch
from torch import Tensor

Params = list[Tensor]  # one matrix [W | b] per layer, [out, in + 1]


def advance(params: Params, directions: Params, alpha: float | Tensor) -> Params:
    """Move parameters to θ + α d."""
    if isinstance(alpha, float):  # in two calls for all layers
        return list(torch._foreach_add(params, torch._foreach_mul(directions, alpha)))
    return [
        matrix + alpha * direction
        for matrix, direction in zip(params, directions, strict=True)
    ]


def add(params: Params, others: Params, factor: float = 1) -> Params:
    """Add a multiple of other matrices, in one call."""
    return list(torch._foreach_add(params, others, alpha=factor))


def scale(params: Params, factor: float) -> Params:
    """Multiply matrices by a number; those multiplied by 1 are the same."""
    return params if factor == 1 else [factor * matrix for matrix in params]


def typed_like(params: Params, matrices: Params) -> Params:
    """Convert matrices to the parameters' type."""
    return [matrix.to(like.dtype) for matrix, like in zip(matrices, params, strict=True)]


def select(condition: Tensor, params: Params, otherwise: Params) -> Params:
    """Choose `params` where the condition holds, else `otherwise`, on the device."""
    return [
        torch.where(condition, new, old) for new, old in zip(params, otherwise, strict=True)
    ]


def flatten(params: Params) -> Tensor:
    """Flatten all parameters to a vector [D], one matrix after the other, by rows."""
    return torch.cat([matrix.flatten() for matrix in params])


def split_like(params: Params, vector: Tensor) -> Params:
    """Split a vector [D] into matrices like the parameters', or vectors [k, D] into k."""
    parts = zip(
        vector.split([matrix.numel() for matrix in params], -1), params, strict=True
    )
    return [part.reshape(*vector.shape[:-1], *matrix.shape) for part, matrix in parts]
