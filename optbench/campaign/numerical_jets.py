"""The jet of a function that is given by its values.

It is a slow oracle, in NumPy, for what a solution must satisfy. Every derivative is that of
the polynomial through values on a line, in extended precision where the function keeps it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from optbench.problems.jets import HIGHEST_ORDER, Family, Line, layout
from optbench.problems.problem import Field, Operator

# of a line that fits into the box: half its length, of which the best is taken. A fourth
# derivative needs the longest line that its polynomial resolves, for rounding grows with
# (NODES/radius)^4; a layer needs one that is shorter than its distance from a pole
RADII = (0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.008, 0.004, 0.002, 0.001, 0.0005)
# an entire function is resolved to 1e-19 where its wave turns by 3 along a radius; a fourth
# derivative then loses (NODES/3)^4, four digits
NODES = 24
TAIL = 4  # coefficients that show what the polynomial leaves out, and the values' noise
# of a derivative's size: so good that no better line is looked for, and so bad that lines
# are tried which end at the point
ENOUGH, POOR = 1e-14, 1e-10

_theta = (np.arange(NODES, dtype=np.longdouble) + 0.5) * (
    np.arccos(np.longdouble(-1)) / NODES
)
_x = np.cos(_theta)
# from values at the nodes to Chebyshev's coefficients [k, j]
_coefficients = np.cos(np.arange(NODES)[:, None] * _theta) * 2 / NODES
_coefficients[0] /= 2
# T_k^(p) as series, for p = 1 to 4
_derived = [
    chebyshev.chebder(np.eye(NODES), order) for order in range(1, HIGHEST_ORDER + 1)
]
# T_k^(p) at the nodes of the line's inner part: how large a derivative is thereabouts
_thereabouts = [
    chebyshev.chebval(_x[np.abs(_x) < 0.7], series) for series in _derived
]  # [k, j]


class NumericalJet(NamedTuple):
    """Channels as an operator reads them, [S, n, m], and how far to trust them."""

    channels: np.ndarray
    errors: np.ndarray  # about, and rather too large; infinite where nothing is known
    scales: np.ndarray  # the size of each thereabouts: where one is 0 rounding is not


class _Derivatives(NamedTuple):
    """Derivatives of s ↦ u(x + s·v) at 0, of orders 1 to K, [K, n, m] each."""

    values: np.ndarray
    errors: np.ndarray
    scales: np.ndarray


def jet_of(
    function: Field, operator: Operator, x: np.ndarray, widths: np.ndarray | float = 1.0
) -> NumericalJet:
    """Give the channels of u = `function` [n, m] at x [n, d] that an operator reads.

    Lines through x are at most as long as a box of `widths` [d]; they may leave the domain,
    where the function may fail or not be finite.
    """
    read = layout(operator.reads)
    lines, families = read.lines, read.families
    if operator.diffusion is not None:
        axes = range(len(operator.diffusion))
        lines = tuple(Line(((axis, 1.0),), 1) for axis in axes)
        # kept whole: `trace` leaves out the axes of zeros, and there may be no others
        families = (Family(tuple(axes), operator.diffusion),)
    widths = np.broadcast_to(widths, x.shape[1:])
    with np.errstate(all="ignore"):  # a line may leave the domain: log, roots
        kept, value = _in_extended_precision(function, x), function(x)[None]
        parts = [_Derivatives(value, np.zeros_like(value), np.abs(value))]
        parts += [
            _along(function, kept, _vectors(line.direction, x), line.order, widths)
            for line in lines
        ]
        parts += [_traced(function, kept, family, x, widths) for family in families]
    return NumericalJet(
        *(np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    )


def _in_extended_precision(function: Field, x: np.ndarray) -> np.ndarray:
    """Give the points in the precision that the function keeps."""
    extended = x.astype(np.longdouble)
    try:
        values = function(extended)
        kept = values.dtype == np.longdouble and np.allclose(values, function(x), rtol=1e-6)
    except Exception:  # SciPy's functions, for example, take no long double
        return x
    return extended if kept else x


def _vectors(direction: Any, x: np.ndarray) -> np.ndarray:
    """Give a line's direction at every point, [n, d]."""
    if callable(direction):
        v = direction(x)
        return np.stack(v, 1) if isinstance(v, tuple | list) else np.asarray(v)
    v = np.zeros_like(x)
    for axis, component in direction:
        v[:, axis] = component
    return v


def _traced(
    function: Field, kept: np.ndarray, family: Family, x: np.ndarray, widths: np.ndarray
) -> _Derivatives:
    """Sum the second derivatives along a matrix's eigenvectors, by its eigenvalues."""
    total = [np.zeros_like(function(x))[None]] * 3
    for weights, directions in _eigenvectors(family, x):
        if weights.any():
            w = weights[:, None]
            along = _along(function, kept, directions, 2, widths)
            # sizes are those of the summands, which may cancel
            total = [
                summed + factor * part[1:]
                for summed, factor, part in zip(
                    total, (w, abs(w), abs(w)), along, strict=True
                )
            ]
    return _Derivatives(*total)


def _eigenvectors(family: Family, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give eigenvalues [n] and eigenvectors [n, d] of a family's matrix at every point."""
    axes, k = list(family.axes), len(family.axes)
    A = np.asarray(family.matrix(x) if callable(family.matrix) else family.matrix)
    if A.ndim - callable(family.matrix) == 1:  # a diagonal
        weights = np.broadcast_to(A, (len(x), k))
        vectors = np.broadcast_to(np.eye(k), (len(x), k, k))
    else:
        weights, vectors = np.linalg.eigh(np.broadcast_to(A, (len(x), k, k)))
    for j in range(k):
        directions = np.zeros_like(x)
        directions[:, axes] = vectors[:, :, j]
        yield weights[:, j], directions


def _along(
    function: Field, x: np.ndarray, v: np.ndarray, order: int, widths: np.ndarray
) -> _Derivatives:
    """Take each derivative from the line that promises the smallest error of it.

    A line has x in its middle. Where none will do, as at the edge of the domain or close
    to it, x is at a line's end.
    """
    with np.errstate(divide="ignore"):
        length = (widths / np.abs(v)).min(1)
    # a direction that is 0 has derivatives 0
    length = np.where(np.isfinite(length), length, 1.0).astype(x.dtype)
    best = _Derivatives(*(np.full((1, 1, 1), unknown) for unknown in (np.nan, np.inf, 0.0)))
    for middle in (0, 1, -1):
        for radius in RADII:
            found = _on_line(function, x, v, order, length, radius, middle)
            best = _better(best, found)
            if (best.errors <= ENOUGH * best.scales).all():
                return best
        if (best.errors <= POOR * best.scales).all():
            break
    return best


def _better(one: _Derivatives, other: _Derivatives) -> _Derivatives:
    take = other.errors < one.errors
    return _Derivatives(*(np.where(take, b, a) for a, b in zip(one, other, strict=True)))


def _on_line(
    function: Field,
    x: np.ndarray,
    v: np.ndarray,
    order: int,
    length: np.ndarray,
    fraction: float,
    middle: int,
) -> _Derivatives:
    """Differentiate the polynomial through the values at Chebyshev's points of a line.

    Its ends are x + (middle ± 1)·radius·v, its radius the fraction of a length [n]. What is
    called the size of a derivative is at least that of a function which turns once in a
    length: some are 0 everywhere.
    """
    radius = fraction * length
    nodes = _x.astype(x.dtype) + middle
    points = x + nodes[:, None, None] * radius[:, None] * v  # [j, n, d]
    values = _values(function, points)
    coefficients = np.tensordot(_coefficients, values, axes=1)  # [k, n, m]
    largest = np.abs(values).max(0)
    tail = np.abs(coefficients[-TAIL:]).max(0)
    scales = [
        np.abs(np.tensordot(T.T, coefficients, axes=1)).max(0) for T in _thereabouts[:order]
    ]
    # rounding of the values, and of the points where the function is steep
    reach = radius * np.abs(v).max(1)
    moved = np.abs(x).max(1) / np.where(reach > 0, reach, np.inf)
    noise = np.finfo(values.dtype).eps * (largest + moved[:, None] * scales[0])
    parts = []
    for p, (scale, series) in enumerate(zip(scales, _derived, strict=False), 1):
        at_x = chebyshev.chebval(-float(middle), series)  # T_k^(p) [k]
        derivative = np.tensordot(at_x, coefficients, axes=1)
        error = tail * np.abs(at_x).sum() + noise * np.abs(at_x @ _coefficients).sum()
        power = radius[:, None] ** p
        parts.append(
            (
                derivative / power,
                np.where(np.isfinite(error), error, np.inf) / power,
                np.maximum(scale / power, largest / length[:, None] ** p),
            )
        )
    return _Derivatives(*(np.stack(part) for part in zip(*parts, strict=True)))


def _values(function: Field, points: np.ndarray) -> np.ndarray:
    """Evaluate a function on lines [j, n, d]; it has no values on one where it fails."""
    try:
        return function(points.reshape(-1, points.shape[-1])).reshape(*points.shape[:2], -1)
    except Exception:
        lines = []
        for line in np.moveaxis(points, 1, 0):
            try:
                lines.append(function(line))
            except Exception:
                lines.append(np.full((len(line), 1), np.nan))
        outputs = max(line.shape[1] for line in lines)
        return np.stack([np.broadcast_to(line, (len(line), outputs)) for line in lines], 1)
