"""A network's parameters: a list of matrices, moved along directions, added, flattened to a vector and back."""

from itertools import accumulate

import jax.numpy as jnp
from jax import Array

Params = list[Array]  # a matrix [W | b] a layer, [out, in + 1]


def advance(params: Params, directions: Params, alpha: float | Array) -> Params:
    """θ + α d."""
    return [
        matrix + alpha * direction
        for matrix, direction in zip(params, directions, strict=True)
    ]


def add(params: Params, others: Params) -> Params:
    """Their sums."""
    return [matrix + other for matrix, other in zip(params, others, strict=True)]


def typed_like(params: Params, matrices: Params) -> Params:
    """Matrices in the parameters' type."""
    return [
        matrix.astype(like.dtype) for matrix, like in zip(matrices, params, strict=True)
    ]


def select(condition: Array, params: Params, otherwise: Params) -> Params:
    """`params` where the condition holds, else `otherwise`, without asking the device which."""
    return [
        jnp.where(condition, new, old) for new, old in zip(params, otherwise, strict=True)
    ]


def flatten(params: Params) -> Array:
    """All parameters as a vector [D], a matrix after the other, each by rows."""
    return jnp.concatenate([matrix.flatten() for matrix in params])


def split_like(params: Params, vector: Array) -> Params:
    """A vector [D] as matrices like the parameters'."""
    pieces = jnp.split(vector, list(accumulate(matrix.size for matrix in params[:-1])))
    return [
        piece.reshape(matrix.shape) for piece, matrix in zip(pieces, params, strict=True)
    ]
