"""Transport and growth without diffusion: convection u_t + β u_x = 0, u_t = ρ u(1 - u).

Time is input 0, in [0, 1]; space is [0, 2π]. Both are known to make networks fail
(Krishnapriyan et al. 2021, arXiv 2109.01050).
"""

import numpy as np

from optbench.problems.boxes import on_box, root_mean_square
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Periodic, Problem

AXES = ("t", "x")
BOUNDS = (0, 0), (1, 2 * np.pi)
SPEED = 40.0  # β
RATE = 5.0  # ρ
WIDTH = np.pi / 4  # of the first bump of the reaction, its standard deviation
REFERENCE = "Krishnapriyan et al. (2021), arXiv 2109.01050"


def convection_residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t + β u_x - y [n, 1]."""
    return jet.u_t + SPEED * jet.u_x - y


def reaction_residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t - ρ u(1 - u) - y [n, 1]."""
    return jet.u_t - RATE * jet.value * (1 - jet.value) - y


def grown(x: np.ndarray) -> np.ndarray:
    """Evaluate h e^{ρt}/(h e^{ρt} + 1 - h) [n, 1], h a bump around π: logistic growth."""
    bump = np.exp(-((x[:, 1:] - np.pi) ** 2) / (2 * WIDTH**2))
    much = bump * np.exp(RATE * x[:, :1])
    return much / (much + 1 - bump)


@family(only=(1,), order=9)
def convection(dim: int) -> Problem:
    """Pose u* = sin(x - 40t), periodic in x; 2500 and 300 points in one fixed batch."""
    return on_box(
        f"convection_{dim}d",
        AXES,
        BOUNDS,
        Operator(convection_residual, reads={"u_t": partial(0), "u_x": partial(1)}),
        lambda x: np.sin(x[:, 1:] - SPEED * x[:, :1]),
        points={"interior": 2500, "initial": 300},
        weights={"initial": 100.0},
        periodic={1: Periodic(2 * np.pi)},
        solution_norm=float(np.sqrt(1 / 2)),  # over a period, at any time
        networks=("box_10_sin_20_20",),
        reference=REFERENCE,
    )


@family(only=(1,), order=10)
def reaction(dim: int) -> Problem:
    """Pose a bump that grows by the logistic law; 1500 and 200 points, one fixed batch.

    No derivative in x is read, so that no condition is needed at its ends. Periodic inputs
    would put a corner where they meet.
    """
    return on_box(
        f"reaction_{dim}d",
        AXES,
        BOUNDS,
        Operator(reaction_residual, reads={"u_t": partial(0)}),
        grown,
        points={"interior": 1500, "initial": 200},
        solution_norm=root_mean_square(grown, BOUNDS, (4, 8)),
        networks=("box_3_tanh_20_20",),
        reference=REFERENCE,
    )
