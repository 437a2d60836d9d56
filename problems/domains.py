"""Seeded, vectorised samplers: they depend on nothing but the generator."""

import numpy as np
from numpy.random import Generator


def box(generator: Generator, n: int, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Draw n uniform points [n, d] of the box between `lower` [d] and `upper` [d]."""
    return generator.uniform(lower, upper, size=(n, len(lower)))


def faces(generator: Generator, n: int, dim: int) -> np.ndarray:
    """Draw n uniform points [n, dim] of the unit cube's boundary.

    Each of its 2·dim faces has the probability 1/(2·dim).
    """
    x = generator.random((n, dim))
    face = generator.integers(2 * dim, size=n)
    x[np.arange(n), face // 2] = face % 2
    return x


def parabolic_boundary(generator: Generator, n: int, dim: int) -> np.ndarray:
    """Draw points (t, x) [n, 1 + dim] of the boundary and of the initial time.

    The first ⌊n/2⌋ are of [0, 1] × the unit cube's boundary, the rest of t = 0.
    """
    spatial = n // 2
    boundary = np.hstack([generator.random((spatial, 1)), faces(generator, spatial, dim)])
    return np.vstack(
        [boundary, initial_time(generator, n - spatial, np.zeros(dim), np.ones(dim))]
    )


def initial_time(
    generator: Generator, n: int, lower: np.ndarray, upper: np.ndarray
) -> np.ndarray:
    """Draw n points (0, x) [n, 1 + d] with x uniform in the box `lower` to `upper` [d]."""
    return np.hstack([np.zeros((n, 1)), box(generator, n, lower, upper)])
