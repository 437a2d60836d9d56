"""Burgers' equation u_t + u u_x = ν u_xx, where a wave steepens to a thin layer.

ν = 0.01/π on t in [0, 1], x in [-1, 1], with u(0, x) = -sin πx and u(t, ±1) = 0. Time is
input 0. The solution is Cole's and Hopf's (Basdevant et al. 1986, Computers & Fluids 14).
"""

import numpy as np

from optbench.problems.boxes import on_box
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Problem

VISCOSITY = 0.01 / np.pi
DENSER = 4.0  # points near the layer are so many times as dense
# e^{-s²} and what it multiplies are smooth and gone at ±16: the trapezoidal rule is exact
NODES = np.linspace(-16, 16, 161)
# (E u*²)^½ by Gauss's rule on panels that halve towards x = 0: its test does it again
NORM = 0.614227157123061


def residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t + u u_x - ν u_xx - y [n, 1]."""
    return jet.u_t + jet.value * jet.u_x - VISCOSITY * jet.u_xx - y


def solution(x: np.ndarray) -> np.ndarray:
    """Evaluate Cole's and Hopf's integrals over η = √(4νt) s [n, 1].

    u* = -∫ sin(π(x-η)) f(x-η) e^{-s²} ds / ∫ f(x-η) e^{-s²} ds with
    f(y) = exp(-cos(πy)/(2πν)).
    """
    time, space = x[:, :1], x[:, 1:]
    numerator = denominator = 0 * time
    for s in NODES:
        phase = np.pi * (space - np.sqrt(4 * VISCOSITY * time) * s)
        # the exponent is within 50 of -s², and near s = 0 at least -50: sums stay in range
        weight = np.exp(-np.cos(phase) / (2 * np.pi * VISCOSITY) - s**2)
        numerator = numerator + np.sin(phase) * weight
        denominator = denominator + weight
    return -numerator / denominator


def towards_the_layer(x: np.ndarray) -> np.ndarray:
    """Move uniform points (t, v) to (t, sinh(4v)/sinh 4) [n, 2], denser near x = 0."""
    return np.column_stack([x[:, 0], np.sinh(DENSER * x[:, 1]) / np.sinh(DENSER)])


@family(only=(1,), order=8)
def burgers(dim: int) -> Problem:
    """Pose u* of Cole and Hopf; 5000, 200 and 200 points in one fixed batch."""
    return on_box(
        f"burgers_{dim}d",
        ("t", "x"),
        ((0, -1), (1, 1)),
        Operator(
            residual, reads={"u_t": partial(0), "u_x": partial(1), "u_xx": partial(1, 1)}
        ),
        solution,
        points={"interior": 5000, "initial": 200, "boundary": 200},
        weights={"initial": 100.0, "boundary": 100.0},
        bend=towards_the_layer,
        solution_norm=NORM,
        networks=("box_3_tanh_20_20_20",),
        reference="Cole (1951), Hopf (1950); data of Basdevant et al. (1986)",
    )
