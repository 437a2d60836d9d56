"""A layer's inputs a, channels [S, n, in], and what is computed from them.

The first layer's are known in closed form where a jet has the slopes along all axes: the
points, the identity and zero. They are stored as points alone.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Channels(NamedTuple):
    """Inputs whose channels are all stored."""

    array: Array  # a [S, n, in]

    def linear(self, matrix: Array) -> Array:
        """Apply a layer: W a [S, n, out], with b added to the value alone."""
        weights, bias = matrix[:, :-1], matrix[:, -1]
        return (self.array @ weights.T).at[0].add(bias)

    def weigh(self, cotangents: Array) -> Array:
        """Sum q aᵀ [out, in + 1] over points and channels of cotangents q [S, n, out]."""
        weights = rows(cotangents).T @ rows(self.array)
        return jnp.concatenate([weights, cotangents[0].sum(0)[:, None]], axis=1)

    def full(self) -> Array:
        """Write the inputs out [S, n, in + 1], with the bias's coordinate."""
        bias = jnp.zeros((*self.array.shape[:2], 1), self.array.dtype).at[0].set(1)
        return jnp.concatenate([self.array, bias], axis=2)

    def square(self) -> Array:
        """Sum a aᵀ [in, in] over points and channels."""
        flat = rows(self.array)
        return flat.T @ flat

    def value(self) -> Array:
        """Give the value's channel [n, in]."""
        return self.array[0]

    def mean(self) -> Array:
        """Average over the channels [n, in]."""
        return self.array.mean(0)

    def channels(self) -> int:
        """Count the channels, S."""
        return len(self.array)


class Points(NamedTuple):
    """The first layer's inputs: points, with the identity as slopes and no curvature."""

    array: Array  # x [n, d]; S = d + 2

    def linear(self, matrix: Array) -> Array:
        """Apply the layer: the slopes are columns of W, the same at every point."""
        weights, bias = matrix[:, :-1], matrix[:, -1]
        n, d = self.array.shape
        columns = jnp.broadcast_to(weights.T[:, None], (d, n, len(matrix)))
        value = (self.array @ weights.T + bias)[None]
        return jnp.concatenate([value, columns, jnp.zeros_like(value)])

    def weigh(self, cotangents: Array) -> Array:
        """Sum q aᵀ [out, in + 1] over points and channels of cotangents q [S, n, out]."""
        weights = cotangents[0].T @ self.array + cotangents[1:-1].sum(1).T
        return jnp.concatenate([weights, cotangents[0].sum(0)[:, None]], axis=1)

    def full(self) -> Array:
        """Write the inputs out [S, n, d + 1], with the bias's coordinate."""
        n, d = self.array.shape
        slopes = jnp.broadcast_to(jnp.eye(d, dtype=self.array.dtype)[:, None], (d, n, d))
        value = self.array[None]
        return Channels(jnp.concatenate([value, slopes, jnp.zeros_like(value)])).full()

    def square(self) -> Array:
        """Sum a aᵀ [d, d] over points and channels."""
        n, d = self.array.shape
        return self.array.T @ self.array + n * jnp.eye(d, dtype=self.array.dtype)

    def value(self) -> Array:
        """Give the points."""
        return self.array

    def mean(self) -> Array:
        """Average over the channels [n, d]: the slopes' sum is one in every coordinate."""
        return (self.array + 1) / self.channels()

    def channels(self) -> int:
        """Count the channels, S."""
        return self.array.shape[1] + 2


def rows(channels: Array) -> Array:
    """Put the channels of all points [S, n, h] below each other [S·n, h]."""
    return channels.reshape(-1, channels.shape[-1])
