"""Dispersive waves: the equation of Korteweg and de Vries, and Schrödinger's cubic one.

u_t + 6 u u_x + u_xxx = 0, and i ψ_t + ½ψ_xx + |ψ|²ψ = 0 of ψ = u + iv, two outputs. Time
is input 0.
"""

from itertools import combinations

import numpy as np

from optbench.problems.boxes import column, on_box, root_mean_square
from optbench.problems.domains import slice_at
from optbench.problems.family import family
from optbench.problems.jets import partial
from optbench.problems.problem import Array, Operator, Problem

AXES = ("t", "x")
CHANNEL = (0, 0), (5, 20)  # of the two solitons
PULSE = (0, -5), (np.pi / 2, 5)  # of ψ
# the solitons' wave numbers k₁, k₂; k² are their speeds
FAST, SLOW = np.sqrt(6), np.sqrt(2)


def kdv_residual(jet, x: Array, y: Array) -> Array:
    """Compute u_t + 6 u u_x + u_xxx - y [n, 1]."""
    return jet.u_t + 6 * jet.value * jet.u_x + jet.u_xxx - y


def schroedinger_residual(jet, x: Array, y: Array) -> tuple[Array, Array]:
    """Compute -v_t + ½u_xx + |ψ|²u and u_t + ½v_xx + |ψ|²v, less y, two columns [n, 1]."""
    u, v = column(jet.value, 0), column(jet.value, 1)
    square = u**2 + v**2
    return (
        -column(jet.u_t, 1) + column(jet.u_xx, 0) / 2 + square * u - column(y, 0),
        column(jet.u_t, 0) + column(jet.u_xx, 1) / 2 + square * v - column(y, 1),
    )


def solitons(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate two solitons u* and their slope u*_x, [n, 1] each.

    Hirota's τ = 1 + e₁ + e₂ + ((k₁-k₂)/(k₁+k₂))² e₁e₂ is a sum of exponentials in x with
    the rates 0, k₁, k₂, k₁+k₂, and u* = 2(ln τ)_xx. With their shares p_i of τ it is twice
    the rates' variance, Σ_{i<j} p_i p_j (rate_i - rate_j)²: a sum of positive terms, exact
    to rounding in the tails too.
    """
    time, space = x[:, :1], x[:, 1:]
    ratio = np.log((FAST - SLOW) / (FAST + SLOW))
    # crests start at x = 2, and at x = 6 once the fast one has been counted
    fast = FAST * (space - 2) - FAST**3 * time
    slow = SLOW * (space - 6) - SLOW**3 * time - 2 * ratio
    exponents = [0 * time, fast, slow, fast + slow + 2 * ratio]
    rates = [0.0, FAST, SLOW, FAST + SLOW]
    highest = np.max(exponents, axis=0)
    parts = [np.exp(exponent - highest) for exponent in exponents]
    shares = [part / sum(parts) for part in parts]
    mean = sum(share * rate for share, rate in zip(shares, rates, strict=True))
    value, slope = 0 * time, 0 * time
    for (p, a), (q, b) in combinations(zip(shares, rates, strict=True), 2):
        term = 2 * p * q * (a - b) ** 2
        value, slope = value + term, slope + term * (a + b - 2 * mean)
    return value, slope


def breather(x: np.ndarray) -> np.ndarray:
    """Evaluate ψ* [n, 2], the bound state of two solitons that starts as 2 sech x.

    ψ* = 4e^{it/2}(cosh 3x + 3e^{4it} cosh x)/(cosh 4x + 4 cosh 2x + 3 cos 4t).
    """
    time, space = x[:, :1], x[:, 1:]
    scale = 4 / (np.cosh(4 * space) + 4 * np.cosh(2 * space) + 3 * np.cos(4 * time))
    outer, inner = scale * np.cosh(3 * space), 3 * scale * np.cosh(space)
    return np.hstack(
        [
            outer * np.cos(time / 2) + inner * np.cos(9 * time / 2),
            outer * np.sin(time / 2) + inner * np.sin(9 * time / 2),
        ]
    )


@family(only=(1,), order=17)
def kdv(dim: int) -> Problem:
    """Pose two solitons, of which one overtakes the other; 5000, 400, 300 and 150 points.

    u is given at both ends, u_x at the right one. The points reach the last time within
    100 steps, and are redrawn every 20 then: else networks settle on another function.
    """
    lower, upper = (np.array(bound, dtype=np.float64) for bound in CHANNEL)
    slope = Operator(lambda jet, x, y: jet.u_x - y, reads={"u_x": partial(1)})
    right = slice_at(lower, upper, {1: upper[1]})
    return on_box(
        f"kdv_{dim}d",
        AXES,
        CHANNEL,
        Operator(
            kdv_residual,
            reads={"u_t": partial(0), "u_x": partial(1), "u_xxx": partial(1, 1, 1)},
        ),
        lambda x: solitons(x)[0],
        points={"interior": 5000, "initial": 400, "boundary": 300, "slope": 150},
        conditions={"slope": (slope, right, lambda x: solitons(x)[1])},
        solution_norm=root_mean_square(lambda x: solitons(x)[0], CHANNEL, (12, 48)),
        resample_every=20,
        march=100,
        networks=("box_3_tanh_20_20_20",),
        reference="Hirota (1971), Phys. Rev. Lett. 27",
    )


@family(only=(1,), order=19)
def nls(dim: int) -> Problem:
    """Pose the bound state of two solitons; 3000, 400 and 200 points, redrawn every 20.

    At the ends, where it has decayed to 0.03, its own values are given: no period is
    needed.
    """
    return on_box(
        f"nls_{dim}d",
        AXES,
        PULSE,
        Operator(schroedinger_residual, reads={"u_t": partial(0), "u_xx": partial(1, 1)}),
        breather,
        points={"interior": 3000, "initial": 400, "boundary": 200},
        outputs=2,
        solution_norm=root_mean_square(breather, PULSE, (8, 16)),
        resample_every=20,
        networks=("box_3_tanh_20_20_20",),
        reference=(
            "Satsuma, Yajima (1974), Prog. Theor. Phys. Suppl. 55; "
            "data of Raissi, Perdikaris, Karniadakis (2019), arXiv 1711.10561"
        ),
    )
