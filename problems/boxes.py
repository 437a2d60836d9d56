"""Problems on a box of space, or of time and space: their terms by the names of these."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from optbench.problems.domains import Region, slice_at, walls, whole
from optbench.problems.problem import DIRICHLET, Array, Field, Operator, Problem, Term

TIME = "t"  # the name of input 0 where it is the time
GAUSS_NODES = 16  # of a panel: integrals of analytic functions are exact in few panels


def on_box(
    name: str,
    axes: Sequence[str],
    bounds: tuple[ArrayLike, ArrayLike],
    operator: Operator,
    solution: Field,
    points: Mapping[str, int],
    weights: Mapping[str, float] | None = None,
    *,
    source: Field | None = None,
    conditions: Mapping[str, tuple[Operator, Region, Field]] | None = None,
    bend: Field | None = None,
    outputs: int = 1,
    **defaults,
) -> Problem:
    """Pose a problem whose terms are those that `points` names, in its order.

    `interior` is the operator's; its target is `source`, or 0 in every component, of which
    there are as many as outputs. `initial` and `terminal` prescribe the solution at the
    first and the last time, `boundary` on all walls of space. Others are in `conditions`:
    their operator, where it holds, and its target.

    Args:
        name: the problem's.
        axes: the names of the inputs, "t" first where there is a time.
        bounds: smallest and largest value of every input.
        operator: the equation's.
        solution: u*.
        points: the default number of points of every term.
        weights: of every term; 1 if not given.
        source: the right-hand side q.
        conditions: the other terms.
        bend: moves the interior's points within the box, to where more are needed; errors
            are taken at uniform ones.
        outputs: m.
        defaults: other fields of the problem.
    """
    lower, upper = (np.asarray(bound, dtype=np.float64) for bound in bounds)
    space = [axis for axis, label in enumerate(axes) if label != TIME]

    def zero(x: np.ndarray) -> np.ndarray:
        return np.zeros((len(x), outputs))

    known: dict[str, tuple[Operator, Region, Field]] = {
        "interior": (operator, whole(lower, upper, bend), source or zero),
        "initial": (DIRICHLET, slice_at(lower, upper, {0: lower[0]}), solution),
        "terminal": (DIRICHLET, slice_at(lower, upper, {0: upper[0]}), solution),
        "boundary": (DIRICHLET, walls(lower, upper, space), solution),
        **(conditions or {}),
    }
    weights = weights or {}
    return Problem(
        name=name,
        dim=len(axes),
        outputs=outputs,
        terms={
            term: Term.of(*known[term], number, weights.get(term, 1.0))
            for term, number in points.items()
        },
        bounds=(lower, upper),
        solution=solution,
        axes=tuple(axes),
        sampling="sobol",
        evaluation=None if bend is None else whole(lower, upper),
        **{"resample_every": 0, **defaults},
    )


def nothing(x: np.ndarray) -> np.ndarray:
    """Give the target 0 [n, 1] of one component."""
    return np.zeros((len(x), 1))


def column(x: Array, number: int) -> Array:
    """Take one column [n, 1] of an array [n, columns]."""
    return x[:, number : number + 1]


def root_mean_square(
    solution: Field,
    bounds: tuple[ArrayLike, ArrayLike],
    panels: Sequence[int],
) -> float:
    """Compute (E |u*|²)^½ over a box, by Gauss's rule on panels of every input."""
    nodes, weights = np.polynomial.legendre.leggauss(GAUSS_NODES)
    axes, square = [], np.ones(())
    for low, high, count in zip(*map(np.asarray, bounds), panels, strict=True):
        unit = (np.arange(count)[:, None] + (nodes + 1) / 2) / count
        axes.append(low + (high - low) * unit.ravel())
        square = np.multiply.outer(square, np.tile(weights / (2 * count), count))
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return float(np.sqrt(square.ravel() @ (solution(x) ** 2).sum(1)))
