"""The equation of Kuramoto and Sivashinsky, u_t + u u_x + u_xx + u_xxxx = 0.

t is in [0, 4], x in [-20, 20]; u and u_x are given at both ends. Time is input 0. The
solution is a shock that travels (Kuramoto, Tsuzuki 1976, Prog. Theor. Phys. 55).
"""

import numpy as np

from optbench.problems.boxes import on_box, root_mean_square
from optbench.problems.domains import walls
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Problem

BOUNDS = (0, -20), (4, 20)
SPEED = 2.0  # c
STEEPNESS = np.sqrt(11 / 19) / 2
HEIGHT = 15 / 19 * np.sqrt(11 / 19)


def residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t + u u_x + u_xx + u_xxxx - y [n, 1]."""
    return jet.u_t + jet.value * jet.u_x + jet.u_xx + jet.u_xxxx - y


def shock(x: np.ndarray) -> np.ndarray:
    """Evaluate tanh z [n, 1], z = ½√(11/19)(x - ct)."""
    return np.tanh(STEEPNESS * (x[:, 1:] - SPEED * x[:, :1]))


def solution(x: np.ndarray) -> np.ndarray:
    """Evaluate c + (15/19)√(11/19)(-9 tanh z + 11 tanh³ z) [n, 1]."""
    return SPEED + HEIGHT * (-9 * shock(x) + 11 * shock(x) ** 3)


def slope(x: np.ndarray) -> np.ndarray:
    """Evaluate u*_x [n, 1]."""
    return HEIGHT * STEEPNESS * (-9 + 33 * shock(x) ** 2) * (1 - shock(x) ** 2)


@family(only=(1,), order=18)
def kuramoto_sivashinsky(dim: int) -> Problem:
    """Pose a travelling shock; 1500, 200, 100 and 100 points in one fixed batch.

    A network of one layer can be the solution to any accuracy.
    """
    lower, upper = (np.array(bound, dtype=np.float64) for bound in BOUNDS)
    reads = {
        "u_t": partial(0),
        "u_x": partial(1),
        "u_xx": partial(1, 1),
        "u_xxxx": partial(1, 1, 1, 1),
    }
    slopes = Operator(lambda jet, x, y: jet.u_x - y, reads={"u_x": partial(1)})
    return on_box(
        f"kuramoto_sivashinsky_{dim}d",
        ("t", "x"),
        BOUNDS,
        Operator(residual, reads=reads),
        solution,
        points={"interior": 1500, "initial": 200, "boundary": 100, "slope": 100},
        conditions={"slope": (slopes, walls(lower, upper, [1]), slope)},
        solution_norm=root_mean_square(solution, BOUNDS, (2, 16)),
        networks=("tanh_20_20",),
        reference="Kuramoto, Tsuzuki (1976), Prog. Theor. Phys. 55",
    )
