"""The jet of a function that is given by its values.

It is a slow oracle, in NumPy, for what a solution must satisfy.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from optbench.problems.problem import Field, Jet

NODES = 16  # on a line; a function that is analytic around it is interpolated to rounding
# half the length of the line, of which the best is taken
RADII = (0.25, 0.1, 0.03, 0.01, 0.003)

_x = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
# from values at the nodes to Chebyshev's coefficients [k, j]
_coefficients = np.linalg.inv(chebyshev.chebvander(_x, NODES - 1))
# T_k′(0) [k], and T_k″(0)
_first = chebyshev.chebval(0, chebyshev.chebder(np.eye(NODES)))
_second = chebyshev.chebval(0, chebyshev.chebder(np.eye(NODES), 2))


class Line(NamedTuple):
    """Derivatives of s ↦ u(x + s·direction) at 0, [n, m] each."""

    first: np.ndarray
    second: np.ndarray
    error: float  # of `second`, about: what the last coefficients and rounding leave


def jet_of(
    function: Field, diffusion: np.ndarray | None, x: np.ndarray, width: float = 1.0
) -> tuple[Jet, float]:
    """Give the jet of u = `function` [n, m] at x [n, d], and its curvature's error, about.

    The lines through x are up to `width`/2 long. Without A, the value alone.
    """
    with np.errstate(all="ignore"):  # a line may leave the domain: log, roots
        if diffusion is None:
            return Jet(function(x), None, None), 0.0
        gradient = [_along(function, x, axis, width) for axis in np.eye(x.shape[1])]
        weights, axes = np.linalg.eigh(diffusion)
        bends = [
            (w, _along(function, x, axis, width))
            for w, axis in zip(weights, axes.T, strict=True)
            if w
        ]
        curvature = sum(
            (w * line.second for w, line in bends), np.zeros_like(gradient[0].first)
        )
        error = sum(abs(w) * line.error for w, line in bends) + max(
            line.error for line in gradient
        )
        return Jet(
            function(x), np.stack([line.first for line in gradient], 1), curvature
        ), float(error)


def _along(function: Field, x: np.ndarray, direction: np.ndarray, width: float) -> Line:
    """Take the derivatives from the length of line that promises the smallest error."""
    lines = [_on_line(function, x, direction, radius * width) for radius in RADII]
    return min(lines, key=lambda line: line.error if np.isfinite(line.error) else np.inf)


def _on_line(function: Field, x: np.ndarray, direction: np.ndarray, radius: float) -> Line:
    """Differentiate the polynomial through the values at Chebyshev's points of the line."""
    points = x + radius * _x[:, None, None] * direction  # [j, n, d]
    values = function(points.reshape(-1, x.shape[1])).reshape(NODES, len(x), -1)
    coefficients = np.tensordot(_coefficients, values, axes=1)  # [k, n, m]
    first, second = (
        np.tensordot(weights, coefficients, axes=1) for weights in (_first, _second)
    )
    left = np.abs(coefficients[-3:]).max() + np.finfo(np.float64).eps * np.abs(values).max()
    return Line(first / radius, second / radius**2, float(left * NODES**2 / radius**2))
