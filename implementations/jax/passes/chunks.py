"""Sums over points, a piece of the points at a time: what a piece needs stays in the cache, and bounds the memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from optbench.implementations import chunks as pieces
from optbench.implementations.jax.backend import device


class Pieces(NamedTuple):
    """Points, or what was computed for them: equal pieces in a stack, which one compiled body handles, and a rest."""

    stack: Any  # a tree of arrays [pieces, …]; None for no piece
    rest: Any  # a tree of arrays; None for no rest
    share: float  # of a piece of the stack in all points


def most_rows(widest: int) -> int:
    """Rows of a jet that should pass a layer together."""
    # a CPU's cache holds few: 1.2 to 1.8 times faster than all at once. A GPU's array may
    # have 256 MB.
    return 256 if device().platform == "cpu" else 2**25 // widest


def most_numbers() -> int:
    """Numbers of Jacobian rows that should exist together."""
    # XLA's CPU code for the rows of two points of 128 neurons takes 5 to 25 times as long
    # as one point at a time
    return 2**14 if device().platform == "cpu" else 2**25


def split(points: tuple[jax.Array, ...], most: int) -> Pieces:
    """The points and their data, arrays [n, …], in pieces of up to `most` points."""
    n = len(points[0])
    size = pieces.size(n, most)
    if size == n:
        return Pieces(None, points, 0.0)
    count = n // size
    stack = tuple(
        array[: count * size].reshape(count, size, *array.shape[1:]) for array in points
    )
    rest = tuple(array[count * size :] for array in points) if n % size else None
    return Pieces(stack, rest, size / n)


def each(function: Callable[[Any], Any], pieces: Pieces) -> Pieces:
    """What `function` gives for every piece's content."""
    stack = None if pieces.stack is None else jax.lax.map(function, pieces.stack)
    return Pieces(
        stack, None if pieces.rest is None else function(pieces.rest), pieces.share
    )


def mean(function: Callable[[Any], Any], pieces: Pieces) -> Any:
    """The mean over all points of a function that gives means over a piece's points, in any tree of arrays."""
    stack, rest, share = pieces
    if stack is None:
        return function(rest)
    count = len(jax.tree.leaves(stack)[0])
    shapes = jax.eval_shape(function, jax.tree.map(lambda array: array[0], stack))
    zeros = jax.tree.map(lambda array: jnp.zeros(array.shape, array.dtype), shapes)
    total, _ = jax.lax.scan(
        lambda sum, piece: (jax.tree.map(jnp.add, sum, function(piece)), None), zeros, stack
    )
    total = jax.tree.map(lambda sum: share * sum, total)
    if rest is None:
        return total
    return jax.tree.map(
        lambda sum, mean: sum + (1 - count * share) * mean, total, function(rest)
    )


def join(pieces: Pieces) -> Any:
    """The arrays [n, …] in the contents of all pieces as one."""
    if pieces.stack is None:
        return pieces.rest
    whole = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), pieces.stack)
    if pieces.rest is None:
        return whole
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), whole, pieces.rest)
