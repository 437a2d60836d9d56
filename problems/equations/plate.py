"""The biharmonic equation Δ²u = q of a plate that is clamped along its edges.

On the unit square, with u and its derivative along the outward normal given on the
boundary. The solution is chosen, the load q is made of it.
"""

import numpy as np

from optbench.problems.boxes import nothing, on_box
from optbench.problems.domains import outward_normal, walls
from optbench.problems.family import family
from optbench.problems.jets import along, partial
from optbench.problems.problem import Array, Operator, Problem


def residual(jet, x: Array, y: Array) -> Array:
    """Compute u_xxxx + 2 u_xxyy + u_yyyy - y [n, 1]."""
    return jet.u_xxxx + 2 * jet.u_xxyy + jet.u_yyyy - y


def load(x: np.ndarray) -> np.ndarray:
    """Evaluate Δ² of sin² πx sin² πy [n, 1]: with its cosines of 2πx and 2πy."""
    cosines = np.cos(2 * np.pi * x)
    product, total = cosines.prod(1, keepdims=True), cosines.sum(1, keepdims=True)
    return 4 * np.pi**4 * (4 * product - total)


@family(only=(2,), order=23)
def biharmonic(dim: int) -> Problem:
    """Pose u* = sin² πx sin² πy, clamped; 800, 150 and 150 points in one fixed batch."""
    lower, upper = np.zeros(2), np.ones(2)
    reads = {
        "u_xxxx": partial(0, 0, 0, 0),
        "u_xxyy": partial(0, 0, 1, 1),
        "u_yyyy": partial(1, 1, 1, 1),
    }
    normal = Operator(
        lambda jet, x, y: jet.u_n - y,
        reads={"u_n": along(outward_normal(lower, upper, (0, 1)))},
    )
    return on_box(
        f"biharmonic_{dim}d",
        ("x", "y"),
        (lower, upper),
        Operator(residual, reads=reads),
        lambda x: (np.sin(np.pi * x) ** 2).prod(1, keepdims=True),
        points={"interior": 800, "boundary": 150, "normal": 150},
        weights={"boundary": 1e4, "normal": 100.0},
        source=load,
        conditions={"normal": (normal, walls(lower, upper, (0, 1)), nothing)},
        solution_norm=3 / 8,  # E sin⁴ = 3/8 in x and in y
        networks=("box_1_tanh_20_20",),
        reference="made for this benchmark",
    )
