"""A random sketch x ↦ S x of the parameters: s of D coordinates of a mixed basis.

S has random signs, a permutation, an orthonormal cosine transform, and s coordinates of it,
in this order: Sᵀ S is a projection, and S Sᵀ the identity.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.fft import dct, idct

from optbench.implementations.jax.solvers.random_numbers import permutation, signs


class Sketch(NamedTuple):
    """What was drawn for it."""

    signs: Array  # [D]
    order: Array  # [D]
    coordinates: Array  # [s]

    def apply(self, rows: Array) -> Array:
        """Compute S x of rows x [k, D]: [k, s]."""
        mixed = dct((rows * self.signs)[:, self.order], norm="ortho")
        return mixed[:, self.coordinates]

    def lift(self, rows: Array) -> Array:
        """Compute Sᵀ z of rows z [k, s]: [k, D]."""
        empty = jnp.zeros((len(rows), len(self.order)), rows.dtype)
        ordered = idct(empty.at[:, self.coordinates].set(rows), norm="ortho")
        return empty.at[:, self.order].set(ordered) * self.signs


def draw(seed: int, step: int | Array, size: int, coordinates: int) -> Sketch:
    """Draw the sketch of a step, from `size` parameters to so many coordinates."""
    return Sketch(
        signs(seed, step, 0, size),
        permutation(seed, step, 1, size),
        permutation(seed, step, 2, size)[:coordinates],
    )
