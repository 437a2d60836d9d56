"""Reaction and diffusion: Fisher's equation and that of Allen and Cahn.

u_t = u_xx + 6u(1 - u) and u_t = 10⁻⁴ u_xx + 5(u - u³). Time is input 0, in [0, 1].
"""

from pathlib import Path

import numpy as np

from optbench.problems.boxes import on_box, root_mean_square
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Periodic, Problem
from optbench.problems.reference import Reference

AXES = ("t", "x")
READS = {"u_t": partial(0), "u_xx": partial(1, 1)}
FRONT = (0, -5), (1, 10)  # where Fisher's front goes
DATA = Path(__file__).parents[1] / "data" / "allen_cahn_1d.npz"
# (E u*²)^½ of Allen and Cahn's: `make references` says it
ALLEN_CAHN_NORM = 0.7092232569492


def fisher_residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t - u_xx - 6u(1 - u) - y [n, 1]."""
    return jet.u_t - jet.u_xx - 6 * jet.value * (1 - jet.value) - y


def allen_cahn_residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t - 10⁻⁴ u_xx - 5(u - u³) - y [n, 1]."""
    return jet.u_t - 1e-4 * jet.u_xx - 5 * (jet.value - jet.value**3) - y


def front(x: np.ndarray) -> np.ndarray:
    """Evaluate (1 + e^{x - 5t})⁻² [n, 1], the front of Ablowitz and Zeppetella."""
    return (1 + np.exp(x[:, 1:] - 5 * x[:, :1])) ** -2


@family(only=(1,), order=15)
def fisher_kpp(dim: int) -> Problem:
    """Pose a travelling front; 1500, 200 and 100 points in one fixed batch.

    A network of one layer and two neurons can be the solution itself.
    """
    return on_box(
        f"fisher_kpp_{dim}d",
        AXES,
        FRONT,
        Operator(fisher_residual, reads=READS),
        front,
        points={"interior": 1500, "initial": 200, "boundary": 100},
        solution_norm=root_mean_square(front, FRONT, (2, 8)),
        networks=("tanh_20_20",),
        reference="Ablowitz, Zeppetella (1979), Bull. Math. Biol. 41",
    )


@family(only=(1,), order=16)
def allen_cahn(dim: int) -> Problem:
    """Pose u(0, x) = x² cos πx with period 2; 5000 and 800 points, redrawn every 20 steps.

    u* is a reference on a grid. With its period the initial value has a corner at ±1.
    """
    return on_box(
        f"allen_cahn_{dim}d",
        AXES,
        ((0, -1), (1, 1)),
        Operator(allen_cahn_residual, reads=READS),
        Reference.read(DATA),
        points={"interior": 5000, "initial": 800},
        weights={"initial": 100.0},
        periodic={1: Periodic(2.0)},
        solution_norm=ALLEN_CAHN_NORM,
        resample_every=20,
        networks=("box_1_tanh_20_20_20",),
        reference="data of Raissi, Perdikaris, Karniadakis (2019), arXiv 1711.10561",
    )
