"""Flows of Navier and Stokes: Kovasznay's, Taylor's and Green's, Ethier's and Steinman's.

u_t + u·∇u + ∇p - ν∇²u = 0 and div u = 0. The outputs are the velocity, then the pressure p;
errors are joint over all of them. Time, where there is one, is input 0.
"""

from collections.abc import Sequence

import numpy as np

from optbench.problems.boxes import TIME, column, on_box, root_mean_square
from optbench.problems.domains import slice_at
from optbench.problems.family import family
from optbench.problems.jets import partial, trace
from optbench.problems.problem import Array, Operator, Periodic, Problem

REYNOLDS = 40.0  # of Kovasznay's flow
DECAY = REYNOLDS / 2 - np.sqrt(REYNOLDS**2 / 4 + 4 * np.pi**2)  # its λ
WAKE = (-0.5, -0.5), (1, 1.5)  # where it is
VISCOSITY = 0.01  # ν of Taylor's and Green's vortices
BELTRAMI = (0, -1, -1, -1), (1, 1, 1, 1)


def navier_stokes(axes: Sequence[str], viscosity: float) -> Operator:
    """Make the operator of a flow: its momentum's components, then its divergence."""
    slopes = {f"u_{name}": partial(axis) for axis, name in enumerate(axes)}
    space = {axis: f"u_{name}" for axis, name in enumerate(axes) if name != TIME}
    pressure = len(space)  # its output's number

    def residual(jet, x: Array, y: Array) -> tuple[Array, ...]:
        gradient = [getattr(jet, slope) for slope in space.values()]
        # of all outputs, the pressure too; [n, m]
        carried = sum(column(jet.value, i) * slope for i, slope in enumerate(gradient))
        change = carried - viscosity * jet.laplacian
        if TIME in axes:
            change = change + jet.u_t
        momentum = (
            column(change, i) + column(slope, pressure) - column(y, i)
            for i, slope in enumerate(gradient)
        )
        divergence = sum(column(slope, i) for i, slope in enumerate(gradient))
        return *momentum, divergence - column(y, pressure)

    laplacian = trace(np.ones(len(space)), axes=list(space))
    return Operator(residual, reads={**slopes, "laplacian": laplacian})


def kovasznay_flow(x: np.ndarray) -> np.ndarray:
    """Evaluate the steady flow behind a grid, u, v, p [n, 3]."""
    decay, phase = np.exp(DECAY * x[:, 0]), 2 * np.pi * x[:, 1]
    return np.column_stack(
        [
            1 - decay * np.cos(phase),
            DECAY / (2 * np.pi) * decay * np.sin(phase),
            (1 - decay**2) / 2,
        ]
    )


def vortices(x: np.ndarray) -> np.ndarray:
    """Evaluate decaying vortices, u, v, p [n, 3]."""
    t, x, y = x.T
    decay = np.exp(-2 * VISCOSITY * t)
    return np.column_stack(
        [
            -np.cos(x) * np.sin(y) * decay,
            np.sin(x) * np.cos(y) * decay,
            -(np.cos(2 * x) + np.cos(2 * y)) / 4 * decay**2,
        ]
    )


def beltrami_flow(x: np.ndarray) -> np.ndarray:
    """Evaluate a flow along its own vorticity, u, v, w, p [n, 4], with a = d = 1."""
    t, *space = x.T
    decay = np.exp(-t)
    velocity, pressure = [], 0.0
    for turn in range(3):  # u, v and w are cyclic, and so are the parts of the pressure
        x, y, z = space[turn:] + space[:turn]
        velocity.append(-(np.exp(x) * np.sin(y + z) + np.exp(z) * np.cos(x + y)) * decay)
        mixed = np.sin(x + y) * np.cos(z + x) * np.exp(y + z)
        pressure = pressure + np.exp(2 * x) + 2 * mixed
    return np.column_stack([*velocity, -pressure / 2 * decay**2])


@family(only=(2,), order=20)
def kovasznay(dim: int) -> Problem:
    """Pose Kovasznay's steady flow at the Reynolds number 40; 500 and 200 points, fixed.

    The pressure is given on the boundary too, which fixes its constant.
    """
    axes = ("x", "y")
    return on_box(
        f"kovasznay_{dim}d",
        axes,
        WAKE,
        navier_stokes(axes, 1 / REYNOLDS),
        kovasznay_flow,
        points={"interior": 500, "boundary": 200},
        outputs=3,
        solution_norm=root_mean_square(kovasznay_flow, WAKE, (2, 4)),
        networks=("box_1_tanh_20_20",),
        reference="Kovasznay (1948), Math. Proc. Camb. Phil. Soc. 44",
    )


@family(only=(2,), order=21)
def taylor_green(dim: int) -> Problem:
    """Pose decaying vortices with a period of 2π; 500, 200 and 50 points, one fixed batch.

    The term `pressure` gives p at (t, 0, 0): it is free up to a function of t else.
    """
    axes, lower, upper = ("t", "x", "y"), np.zeros(3), np.array([1, 2 * np.pi, 2 * np.pi])
    pressure = Operator(lambda jet, x, y: column(jet.value, 2) - y)
    corner = slice_at(lower, upper, {1: 0.0, 2: 0.0})
    # E e^{-4νt} of u² + v², whose mean is 1/2 at first, and E e^{-8νt} of p², 1/16
    square = sum(
        first * -np.expm1(-rate) / rate
        for first, rate in ((1 / 2, 4 * VISCOSITY), (1 / 16, 8 * VISCOSITY))
    )
    return on_box(
        f"taylor_green_{dim}d",
        axes,
        (lower, upper),
        navier_stokes(axes, VISCOSITY),
        vortices,
        points={"interior": 500, "initial": 200, "pressure": 50},
        conditions={"pressure": (pressure, corner, lambda x: vortices(x)[:, 2:])},
        outputs=3,
        periodic={1: Periodic(2 * np.pi), 2: Periodic(2 * np.pi)},
        solution_norm=float(np.sqrt(square)),
        networks=("box_1_tanh_20_20",),
        reference="Taylor, Green (1937), Proc. R. Soc. A 158",
    )


@family(only=(3,), order=22)
def beltrami(dim: int) -> Problem:
    """Pose Ethier's and Steinman's flow; 900, 300 and 600 points in one fixed batch.

    Velocity and pressure are given on the boundary and at t = 0.
    """
    axes = ("t", "x", "y", "z")
    return on_box(
        f"beltrami_{dim}d",
        axes,
        BELTRAMI,
        navier_stokes(axes, 1.0),
        beltrami_flow,
        points={"interior": 900, "initial": 300, "boundary": 600},
        weights={"initial": 100.0, "boundary": 100.0},
        outputs=4,
        solution_norm=root_mean_square(beltrami_flow, BELTRAMI, (1, 1, 1, 1)),
        networks=("box_1_tanh_28_28",),
        reference="Ethier, Steinman (1994), Int. J. Numer. Methods Fluids 19",
    )
