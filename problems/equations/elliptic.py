"""Elliptic equations on a square: Helmholtz's, Poisson's with many scales, a nonlinear one.

Δu + u = q, Δu = q and Δu - e^u = q with boundary values. The solutions are chosen, the
sources q are made of them.
"""

import math

import numpy as np

from optbench.problems.boxes import on_box
from optbench.problems.family import family
from optbench.problems.jets import trace
from optbench.problems.problem import Array, Operator, Problem

AXES = ("x", "y")
UNIT = (0, 0), (1, 1)
LAPLACIAN = {"laplacian": trace(np.ones(2))}
SCALES = (4, 8, 12, 16)  # half waves in the unit square


def helmholtz_residual(jet, x: Array, y: Array) -> Array:
    """Compute Δu + u - y [n, 1]."""
    return jet.laplacian + jet.value - y


def poisson_residual(jet, x: Array, y: Array) -> Array:
    """Compute Δu - y [n, 1]."""
    return jet.laplacian - y


def nonlinear_residual(jet, x: Array, y: Array) -> Array:
    """Compute Δu - e^u - y [n, 1]."""
    # a power is arithmetic, which every framework knows
    return jet.laplacian - math.e**jet.value - y


def scale(x: np.ndarray, half_waves: int) -> np.ndarray:
    """Evaluate sin wπx sin wπy [n, 1]."""
    return np.sin(half_waves * np.pi * x).prod(1, keepdims=True)


def bumps(x: np.ndarray) -> np.ndarray:
    """Evaluate sin 4πx cos 4πy [n, 1]."""
    return np.sin(4 * np.pi * x[:, :1]) * np.cos(4 * np.pi * x[:, 1:])


@family(only=(2,), order=12)
def helmholtz(dim: int) -> Problem:
    """Pose u* = sin πx sin 4πy on [-1, 1]²; 1000 and 200 points in one fixed batch."""

    def solution(x: np.ndarray) -> np.ndarray:
        return np.sin(np.pi * x[:, :1]) * np.sin(4 * np.pi * x[:, 1:])

    return on_box(
        f"helmholtz_{dim}d",
        AXES,
        ((-1, -1), (1, 1)),
        Operator(helmholtz_residual, reads=LAPLACIAN),
        solution,
        points={"interior": 1000, "boundary": 200},
        weights={"boundary": 1e4},
        source=lambda x: (1 - 17 * np.pi**2) * solution(x),
        solution_norm=0.5,
        networks=("box_1_sin_20_20",),
        reference="Wang, Teng, Perdikaris (2021), arXiv 2001.04536",
    )


@family(only=(2,), order=13)
def multiscale_poisson(dim: int) -> Problem:
    """Pose u* = mean of sin wπx sin wπy, w = 4 … 16; 4500 and 800 points, fixed.

    Networks without Fourier features do not find it.
    """
    return on_box(
        f"multiscale_poisson_{dim}d",
        AXES,
        UNIT,
        Operator(poisson_residual, reads=LAPLACIAN),
        lambda x: np.mean([scale(x, w) for w in SCALES], axis=0),
        points={"interior": 4500, "boundary": 800},
        weights={"boundary": 1e5},
        source=lambda x: (
            -2 * np.pi**2 * np.mean([w**2 * scale(x, w) for w in SCALES], axis=0)
        ),
        solution_norm=0.25,  # four orthogonal waves, each of norm ½ · ¼
        networks=("fourier_24_20.0_tanh_20_20",),
        reference="made for this benchmark",
    )


@family(only=(2,), order=14)
def nonlinear_poisson(dim: int) -> Problem:
    """Pose u* = 1 + sin 4πx cos 4πy; 1000 and 200 points in one fixed batch."""

    def solution(x: np.ndarray) -> np.ndarray:
        return 1 + bumps(x)

    return on_box(
        f"nonlinear_poisson_{dim}d",
        AXES,
        UNIT,
        Operator(nonlinear_residual, reads=LAPLACIAN),
        solution,
        points={"interior": 1000, "boundary": 200},
        weights={"boundary": 1e4},
        source=lambda x: -32 * np.pi**2 * bumps(x) - np.exp(solution(x)),
        solution_norm=float(np.sqrt(5) / 2),  # (1 + 1/4)^½: the wave has the mean 0
        networks=("box_1_sin_20_20",),
        reference="made for this benchmark",
    )
