"""The wave equation u_tt = 4 u_xx of a string that is held at both ends.

t and x are in [0, 1], u(0, x) is a sum of two standing waves, u_t(0, x) = 0 and
u = 0 at x = 0 and 1. Time is input 0. The case is that of arXiv 2007.14527 with a fifth
harmonic in place of the fourth.
"""

import numpy as np

from optbench.problems.boxes import nothing, on_box
from optbench.problems.domains import slice_at
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Problem

SPEED = 2.0


def residual(jet, x: Array, y: Array) -> Array:
    """Compute u_tt - 4 u_xx - y [n, 1]."""
    return jet.u_tt - SPEED**2 * jet.u_xx - y


def solution(x: np.ndarray) -> np.ndarray:
    """Evaluate sin πx cos 2πt + ½ sin 5πx cos 10πt [n, 1]."""
    time, space = np.pi * x[:, :1], np.pi * x[:, 1:]
    return np.sin(space) * np.cos(2 * time) + np.sin(5 * space) * np.cos(10 * time) / 2


@family(only=(1,), order=11)
def wave(dim: int) -> Problem:
    """Pose two standing waves; 2000, 200, 200 and 200 points in one fixed batch."""
    lower, upper = np.zeros(2), np.ones(2)
    velocity = Operator(lambda jet, x, y: jet.u_t - y, reads={"u_t": partial(0)})
    return on_box(
        f"wave_{dim}d",
        ("t", "x"),
        (lower, upper),
        Operator(residual, reads={"u_tt": partial(0, 0), "u_xx": partial(1, 1)}),
        solution,
        points={
            "interior": 2000,
            "initial": 200,
            "initial_velocity": 200,
            "boundary": 200,
        },
        weights={"initial": 1000.0, "boundary": 1000.0},
        conditions={
            "initial_velocity": (velocity, slice_at(lower, upper, {0: 0.0}), nothing)
        },
        solution_norm=float(np.sqrt(5) / 4),  # (1/4 + 1/16)^½: the waves are orthogonal
        networks=("box_3_tanh_20_20",),
        reference="after Wang, Yu, Perdikaris (2022), arXiv 2007.14527",
    )
