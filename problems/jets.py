"""What an operator reads of u beside its value: partials, traces, directions.

A network is differentiated along *lines* alone: ε ↦ u(x + εv) to some order, every order
up to it being a channel of the jet. A mixed partial derivative is a sum over such lines
(Griewank, Utke, Walther 2000, Math. Comp. 69). A trace tr(A ∇²u) is one channel more, for
all its second derivatives together (the collapsed channel of Dangel et al. 2025,
arXiv 2505.13644). Two readings of one line share its channels.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

HIGHEST_ORDER = 4

# x [n, d] -> an array [n, …], in arithmetic that runs on NumPy, PyTorch and JAX alike
Pointwise = Callable[[Any], Any]

# Mixed partials as weighted derivatives along lines, by how often each axis occurs. All
# lines are differentiated to the partial's order; their components belong to the axes in
# the same order, the most frequent first. Every row is an identity of polynomials.
FORMS: dict[tuple[int, ...], tuple[tuple[float, tuple[int, ...]], ...]] = {
    (1, 1): ((1 / 4, (1, 1)), (-1 / 4, (1, -1))),
    (2, 1): ((1 / 6, (1, 1)), (-1 / 6, (1, -1)), (-1 / 3, (0, 1))),
    (2, 2): (
        *((1 / 12, (1, 1)), (1 / 12, (1, -1))),
        *((-1 / 6, (1, 0)), (-1 / 6, (0, 1))),
    ),
    (3, 1): (
        *((1 / 48, (2, 1)), (-1 / 48, (2, -1))),
        *((-1 / 24, (1, 1)), (1 / 24, (1, -1))),
    ),
    (1, 1, 1): tuple((b * c / 24, (1, b, c)) for b in (1, -1) for c in (1, -1)),
    (2, 1, 1): (
        *((b * c / 48, (1, b, c)) for b in (1, -1) for c in (1, -1)),
        *((-1 / 24, (0, 1, 1)), (1 / 24, (0, 1, -1))),
    ),
    (1, 1, 1, 1): tuple(
        (b * c * e / 192, (1, b, c, e)) for b in (1, -1) for c in (1, -1) for e in (1, -1)
    ),
}


class Line(NamedTuple):
    """The derivatives of ε ↦ u(x + εv) at 0, from the first to some order."""

    direction: tuple[tuple[int, float], ...] | Pointwise  # v: (axis, component) or v(x)
    order: int


class Family(NamedTuple):
    """A trace: its symmetric matrix on some axes."""

    axes: tuple[int, ...]
    matrix: np.ndarray | Pointwise  # [k, k] or its diagonal [k]; of x: [n, k, k] or [n, k]


@dataclass(frozen=True, eq=False)
class Read:
    """A quantity that an operator reads by name: a weighted sum over channels.

    It is a sum of the highest derivatives of some lines, or a trace.
    """

    lines: tuple[tuple[float, Line], ...] = ()
    family: Family | None = None

    @property
    def order(self) -> int:
        """The order of its derivatives."""
        return 2 if self.family else max(line.order for _, line in self.lines)


def partial(*axes: int) -> Read:
    """Read a partial derivative: `partial(0)` is u_t, `partial(1, 1, 1)` is u_xxx.

    Args:
        axes: the inputs that u is differentiated by, one to four of them, in any order.

    Raises:
        ValueError: there are none, more than four, or a negative one.
    """
    if not 1 <= len(axes) <= HIGHEST_ORDER:
        raise ValueError(
            f"partial{axes} is of order {len(axes)}: must be 1 to {HIGHEST_ORDER}"
        )
    if any(
        isinstance(axis, bool) or not isinstance(axis, int) or axis < 0 for axis in axes
    ):
        raise ValueError(f"partial{axes}: an axis must be a whole number of at least 0")
    by_axis = sorted(Counter(axes).items(), key=lambda item: (-item[1], item[0]))
    if len(by_axis) == 1:
        return Read(((1.0, Line(((axes[0], 1.0),), len(axes))),))
    form: dict[Line, float] = {}
    for weight, components in FORMS[tuple(count for _, count in by_axis)]:
        pairs = zip(by_axis, components, strict=True)
        direction = tuple(sorted((axis, float(c)) for (axis, _), c in pairs if c))
        line, sign = _upward(direction)
        key = Line(line, len(axes))
        form[key] = form.get(key, 0.0) + weight * sign ** len(axes)
    return Read(tuple((weight, line) for line, weight in form.items()))


def along(direction: Sequence[float] | Pointwise, order: int = 1) -> Read:
    """Read the derivative of some order along a direction v: d^k/dε^k u(x + εv).

    Args:
        direction: v, one number per input, or a function v(x [n, d]) [n, d] in arithmetic
            alone, such as a boundary's outward normal.
        order: 1 to 4.

    Raises:
        ValueError: the direction is no vector of finite numbers, or zero, or the order is
            another.
    """
    if isinstance(order, bool) or order not in range(1, HIGHEST_ORDER + 1):
        raise ValueError(f"order is {order!r}: must be 1 to {HIGHEST_ORDER}")
    if callable(direction):
        return Read(((1.0, Line(direction, order)),))
    v = np.asarray(direction, dtype=np.float64)
    if v.ndim != 1 or not np.isfinite(v).all() or not v.any():
        raise ValueError(f"direction is {direction!r}: must be a vector, finite and not 0")
    line = tuple((axis, float(c)) for axis, c in enumerate(v) if c)
    return Read(((1.0, Line(line, order)),))


def trace(matrix: Any, axes: Sequence[int] | None = None) -> Read:
    """Read tr(A ∇²u) over some inputs, as one channel.

    Args:
        matrix: the symmetric A [k, k] of k inputs, or its diagonal [k]; or a function of
            x [n, d] in arithmetic alone that gives it at every point, [n, k, k] or [n, k].
        axes: the k inputs; the first k if not given, which a function must have.

    Raises:
        ValueError: A is not symmetric or not finite, or the axes do not fit it.
    """
    if callable(matrix):
        if not axes:
            raise ValueError("trace of a matrix that depends on x: axes must be given")
        return Read(family=Family(_distinct(axes), matrix))
    A = np.asarray(matrix, dtype=np.float64)
    if A.ndim not in (1, 2) or A.shape[0] != A.shape[-1] or not A.size:
        raise ValueError(
            f"trace of an array of shape {list(A.shape)}: must be [k, k], or [k] of a "
            "diagonal matrix"
        )
    if not np.isfinite(A).all() or not np.array_equal(A, A.T):
        raise ValueError(
            "trace: the matrix must be symmetric, of finite numbers: "
            "A is not equal to its transpose"
        )
    names = _distinct(range(len(A)) if axes is None else axes)
    if len(names) != len(A):
        raise ValueError(f"trace of a matrix of {len(A)} inputs: axes has {len(names)}")
    touched = np.flatnonzero(A if A.ndim == 1 else A.any(1))
    kept = A[touched] if A.ndim == 1 else A[np.ix_(touched, touched)]
    if kept.ndim == 2 and np.array_equal(kept, np.diag(kept.diagonal())):
        kept = kept.diagonal()
    return Read(family=Family(tuple(names[axis] for axis in touched), kept))


class Layout(NamedTuple):
    """The channels [S, n, h] of a jet: the value, then lines, then collapsed ones.

    A line of order K has its K derivatives side by side, d^k/dε^k without a factorial.
    """

    lines: tuple[Line, ...]  # every direction once, to the highest order that is read
    starts: tuple[int, ...]  # the channel of each line's first derivative
    families: tuple[Family, ...]  # in the order of their channels, which are the last
    slopes: tuple[tuple[int, ...], ...]  # of each family: channels of its axes' slopes
    # of each name: a channel's weight in the sum, and its number
    sums: Mapping[str, tuple[tuple[float, int], ...]]

    @property
    def channels(self) -> int:
        """S."""
        return 1 + sum(line.order for line in self.lines) + len(self.families)

    @property
    def order(self) -> int:
        """The highest order of a derivative, 0 where the value is all."""
        return max([line.order for line in self.lines] + [2] * bool(self.families) + [0])

    @property
    def inputs(self) -> int:
        """The number of inputs that the axes named here need at least."""
        named = [
            axis
            for line in self.lines
            if not callable(line.direction)
            for axis, _ in line.direction
        ]
        return 1 + max(
            [*named, *(max(family.axes) for family in self.families)], default=-1
        )


def layout(reads: Mapping[str, Read]) -> Layout:
    """Lay out the channels that some readings need.

    Of lines with one direction the longest is kept; lines of lower order come first, else
    they stand as they are named.
    """
    families = [read.family for read in reads.values() if read.family]
    orders: dict[Any, int] = {}
    for read in reads.values():
        for _, line in read.lines:
            orders[line.direction] = max(line.order, orders.get(line.direction, 0))
    for family in families:
        for axis in family.axes:
            orders.setdefault(((axis, 1.0),), 1)
    orders = dict(sorted(orders.items(), key=lambda item: item[1]))
    starts, channel = {}, 1
    for direction, order in orders.items():
        starts[direction] = channel
        channel += order
    sums, trace_channel = {}, channel
    for name, read in reads.items():
        if read.family:
            sums[name] = ((1.0, trace_channel),)
            trace_channel += 1
        else:
            sums[name] = tuple(
                (weight, starts[line.direction] + line.order - 1)
                for weight, line in read.lines
            )
    return Layout(
        lines=tuple(Line(direction, order) for direction, order in orders.items()),
        starts=tuple(starts.values()),
        families=tuple(families),
        slopes=tuple(
            tuple(starts[((axis, 1.0),)] for axis in family.axes) for family in families
        ),
        sums=sums,
    )


def _upward(
    direction: tuple[tuple[int, float], ...],
) -> tuple[tuple[tuple[int, float], ...], float]:
    """Turn a direction so that its first component is positive; give it and the sign."""
    sign = 1.0 if direction[0][1] > 0 else -1.0
    return tuple((axis, sign * c) for axis, c in direction), sign


def _distinct(axes: Sequence[int]) -> tuple[int, ...]:
    if len(set(axes)) != len(axes) or any(
        isinstance(axis, bool) or not isinstance(axis, int) or axis < 0 for axis in axes
    ):
        raise ValueError(f"axes are {list(axes)}: must be different whole numbers ≥ 0")
    return tuple(axes)
