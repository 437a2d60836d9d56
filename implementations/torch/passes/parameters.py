"""A network's parameters, a list of matrices: moved, added, flattened and split."""

import torch
from torch import Tensor

Params = list[Tensor]  # one matrix [W | b] per layer, [out, in + 1]


def advance(params: Params, directions: Params, alpha: float | Tensor) -> Params:
    """Move parameters to θ + α d."""
    if isinstance(alpha, Tensor):  # several step sizes at once
        pairs = zip(params, directions, strict=True)
        return [matrix + alpha * direction for matrix, direction in pairs]
    return add(params, scale(directions, alpha))


def add(params: Params, others: Params, factor: float = 1) -> Params:
    """Add a multiple of other matrices, in one call."""
    added = torch._foreach_add(params, others, alpha=factor)  # pyright: ignore[reportPrivateImportUsage]
    return list(added)


def scale(params: Params, factor: float) -> Params:
    """Multiply matrices by a number, in one call; those multiplied by 1 are the same."""
    if factor == 1:
        return params
    return list(torch._foreach_mul(params, factor))  # pyright: ignore[reportPrivateImportUsage]


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
