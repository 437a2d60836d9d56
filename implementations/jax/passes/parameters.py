"""A network's parameters, a list of matrices: moved, added, flattened and split."""

from itertools import accumulate

import jax.numpy as jnp
from jax import Array

Params = list[Array]  # one matrix [W | b] per layer, [out, in + 1]


def advance(params: Params, directions: Params, alpha: float | Array) -> Params:
    """Move parameters to θ + α d."""
    return [
        matrix + alpha * direction
        for matrix, direction in zip(params, directions, strict=True)
    ]


def add(params: Params, others: Params, factor: float = 1) -> Params:
    """Add a multiple of other matrices."""
    return [matrix + factor * other for matrix, other in zip(params, others, strict=True)]


def scale(params: Params, factor: float) -> Params:
    """Multiply matrices by a number; those multiplied by 1 are the same."""
    return params if factor == 1 else [factor * matrix for matrix in params]


def typed_like(params: Params, matrices: Params) -> Params:
    """Convert matrices to the parameters' type."""
    return [
        matrix.astype(like.dtype) for matrix, like in zip(matrices, params, strict=True)
    ]


def select(condition: bool | Array, params: Params, otherwise: Params) -> Params:
    """Choose `params` where the condition holds, else `otherwise`, on the device."""
    return [
        jnp.where(condition, new, old) for new, old in zip(params, otherwise, strict=True)
    ]


def flatten(params: Params) -> Array:
    """Flatten all parameters to a vector [D], one matrix after the other, by rows."""
    return jnp.concatenate([matrix.flatten() for matrix in params])


def split_like(params: Params, vector: Array) -> Params:
    """Split a vector [D] into matrices like the parameters', or vectors [k, D] into k."""
    ends = list(accumulate(matrix.size for matrix in params[:-1]))
    parts = zip(jnp.split(vector, ends, axis=-1), params, strict=True)
    return [part.reshape(*vector.shape[:-1], *matrix.shape) for part, matrix in parts]
