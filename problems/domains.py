"""Where points lie: regions of a box, and samplers that depend on the generator alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True, eq=False)
class Region:
    """A box, or faces of one, of which every face gets as many points.

    A call draws n uniform points x [n, d]; `place` puts given ones there. A coordinate
    that is fixed is exactly the face's.
    """

    # lower and upper corners [d]; where both agree, the coordinate is fixed. Every face
    # has as many free ones
    faces: tuple[tuple[np.ndarray, np.ndarray], ...]
    # moves the points x [n, d] within the region, so that they are denser somewhere
    bend: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def free(self) -> int:
        """The number of coordinates that are not fixed."""
        lower, upper = self.faces[0]
        return int((lower < upper).sum())

    def __call__(self, generator: Generator, n: int) -> np.ndarray:
        """Draw n points [n, d]."""
        return self.place(generator.random((n, self.free)))

    def place(self, unit: np.ndarray) -> np.ndarray:
        """Put points of the unit cube [n, free] on the faces, one face after the other.

        The faces share them evenly; the first ones take what is left over.
        """
        parts = []
        for part, (lower, upper) in zip(
            np.array_split(unit, len(self.faces)), self.faces, strict=True
        ):
            x = np.tile(lower, (len(part), 1))
            free = lower < upper
            x[:, free] += part * (upper - lower)[free]
            parts.append(x)
        x = np.concatenate(parts)
        return x if self.bend is None else self.bend(x)


def whole(
    lower: np.ndarray,
    upper: np.ndarray,
    bend: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Region:
    """Make the region of a box between `lower` [d] and `upper` [d]."""
    return Region(((lower, upper),), bend)


def slice_at(lower: np.ndarray, upper: np.ndarray, fixed: dict[int, float]) -> Region:
    """Make the part of a box where some coordinates are fixed: {0: 0.0} is t = 0."""
    low, high = lower.copy(), upper.copy()
    for axis, value in fixed.items():
        low[axis] = high[axis] = value
    return Region(((low, high),))


def walls(lower: np.ndarray, upper: np.ndarray, axes: Sequence[int]) -> Region:
    """Make the faces of a box across some axes: each one's lower, then its upper."""
    ends = [(axis, end[axis]) for axis in axes for end in (lower, upper)]
    return Region(
        tuple(slice_at(lower, upper, {axis: value}).faces[0] for axis, value in ends)
    )


def outward_normal(
    lower: np.ndarray, upper: np.ndarray, axes: Sequence[int]
) -> Callable[[Any], list[Any]]:
    """Make the outward normal of a box's faces across some axes: x [n, d] -> d columns [n].

    It is arithmetic that runs on NumPy, PyTorch and JAX alike, for points whose coordinate
    is exactly the face's.
    """
    ends = {axis: (float(lower[axis]), float(upper[axis])) for axis in axes}

    def normal(x: Any) -> list[Any]:
        columns = [0 * x[:, axis] for axis in range(len(lower))]
        for axis, (low, high) in ends.items():
            coordinate, one = x[:, axis], 0 * x[:, axis] + 1
            columns[axis] = (coordinate == high) * one - (coordinate == low) * one
        return columns

    return normal


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
