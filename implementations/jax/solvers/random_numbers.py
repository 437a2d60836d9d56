"""Random signs and permutations that are the same in both frameworks, on every device.

A number is a hash of the seed, the step k, the stream and its place, in 32-bit integers.
"""

from functools import reduce

import jax.numpy as jnp
from jax import Array

GOLDEN, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B


def bits(seed: int, k: int | Array, stream: int, count: int) -> Array:
    """Draw 32-bit integers [count], uniform: those of step k of a stream."""
    place = jnp.arange(count, dtype=jnp.uint32)
    keys = (jnp.asarray(key).astype(jnp.uint32) for key in (k, stream, place))
    return reduce(lambda word, key: mixed(word ^ key), keys, mixed(jnp.uint32(seed)))


def mixed(word: Array) -> Array:
    """Mix the bits of 32-bit integers."""
    word = word + jnp.uint32(GOLDEN)
    word = (word ^ (word >> 16)) * jnp.uint32(FIRST)
    word = (word ^ (word >> 15)) * jnp.uint32(SECOND)
    return word ^ (word >> 16)


def signs(seed: int, k: int | Array, stream: int, count: int) -> Array:
    """Draw signs [count] in float64: −1 where the highest bit is set."""
    return 1.0 - 2.0 * (bits(seed, k, stream, count) >> 31)


def permutation(seed: int, k: int | Array, stream: int, count: int) -> Array:
    """Draw a permutation of 0 … count − 1: the order of so many numbers."""
    return jnp.argsort(bits(seed, k, stream, count), stable=True)
