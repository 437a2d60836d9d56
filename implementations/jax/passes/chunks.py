"""Sums over points, one chunk at a time.

What a chunk needs stays in the cache, and bounds the memory.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from optbench.implementations.chunks import chunk_size
from optbench.implementations.jax.backend import device
from optbench.implementations.protocol import Tree


class Chunks(NamedTuple):
    """Points, or what was computed for them: equal chunks in a stack, and a rest.

    One compiled body handles the stack.
    """

    stack: Tree  # a tree of arrays [chunks, …]; None for no chunk
    rest: Tree  # a tree of arrays; None for no rest
    share: float  # of a chunk of the stack in all points


def most_channels(widest: int) -> int:
    """Say how many channels, of all points, should pass a layer together."""
    # a CPU's cache holds few: 1.2 to 1.8 times faster than all at once. A GPU's array may
    # have 256 MB.
    return 256 if device().platform == "cpu" else 2**25 // widest


def most_numbers() -> int:
    """Say how many numbers of Jacobian rows should exist together."""
    # XLA's CPU code for the rows of two points of 128 neurons takes 5 to 25 times as long
    # as one point at a time
    return 2**14 if device().platform == "cpu" else 2**25


def split(points: tuple[jax.Array, ...], most: int) -> Chunks:
    """Split points and their data, arrays [n, …], into chunks of up to `most` points."""
    n = len(points[0])
    size = chunk_size(n, most)
    if size == n:
        return Chunks(None, points, 0.0)
    count = n // size
    stack = tuple(
        array[: count * size].reshape(count, size, *array.shape[1:]) for array in points
    )
    rest = tuple(array[count * size :] for array in points) if n % size else None
    return Chunks(stack, rest, size / n)


def apply(function: Callable[[Tree], Tree], chunks: Chunks) -> Chunks:
    """Apply a function to every chunk's content."""
    stack = None if chunks.stack is None else jax.lax.map(function, chunks.stack)
    return Chunks(
        stack, None if chunks.rest is None else function(chunks.rest), chunks.share
    )


def mean(function: Callable[[Tree], Tree], chunks: Chunks) -> Tree:
    """Average over all points a function that gives means over a chunk's points.

    It may give any tree of arrays.
    """
    stack, rest, share = chunks
    if stack is None:
        return function(rest)
    count = len(jax.tree.leaves(stack)[0])
    shapes = jax.eval_shape(function, jax.tree.map(lambda array: array[0], stack))
    zeros = jax.tree.map(lambda array: jnp.zeros(array.shape, array.dtype), shapes)
    total, _ = jax.lax.scan(
        lambda sum, chunk: (jax.tree.map(jnp.add, sum, function(chunk)), None), zeros, stack
    )
    total = jax.tree.map(lambda sum: share * sum, total)
    if rest is None:
        return total
    return jax.tree.map(
        lambda sum, mean: sum + (1 - count * share) * mean, total, function(rest)
    )


def join(chunks: Chunks) -> Tree:
    """Join the arrays [n, …] in the contents of all chunks."""
    if chunks.stack is None:
        return chunks.rest
    whole = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), chunks.stack)
    if chunks.rest is None:
        return whole
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), whole, chunks.rest)
