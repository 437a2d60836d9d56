"""The heat equation u_t = Δu/4 for t in [0, 1] on the unit cube.

It has boundary and initial values.

Time is input 0. Half of the boundary points lie on the cube's boundary, half at t = 0.
Solutions of arXiv 2405.15603.
"""

from functools import partial

import numpy as np

from optbench.problems.domains import box, parabolic_boundary
from optbench.problems.family import family
from optbench.problems.networks import SMALL_MEDIUM_LARGE
from optbench.problems.problem import DIRICHLET, Array, Field, Jet, Operator, Problem, Term


def residual(jet: Jet, x: Array, y: Array) -> Array:
    """Compute u_t - Δu/4 - y [n, 1], with Δ over space alone."""
    return jet.gradient[:, 0] - jet.curvature / 4 - y


@family(published=(1,), order=5)
def heat_sine(dim: int) -> Problem:
    """Pose u* = exp(-π² n t/4) Π_i sin(π x_i) in n dimensions of space.

    It has 900 and 120 points in one fixed batch.
    """
    decay = np.pi**2 * dim / 4
    return _heat(
        f"heat_sine_{dim}d",
        dim,
        solution=lambda x: (
            np.exp(-decay * x[:, :1]) * np.sin(np.pi * x[:, 1:]).prod(1, keepdims=True)
        ),
        # E exp(-2 decay t) · (E sin²(π x))^n
        solution_norm=np.sqrt(-np.expm1(-2 * decay) / (2 * decay) / 2**dim),
        interior_points=900,
        boundary_points=120,
        resample_every=0,
    )


@family(published=(4,), order=6)
def heat_sum(dim: int) -> Problem:
    """Pose u* = exp(-t) Σ_i sin(2 x_i); 3000 and 500 points, redrawn every step."""
    mean, square = np.sin(1) ** 2, 1 / 2 - np.sin(4) / 8  # of sin(2x) over [0, 1]
    return _heat(
        f"heat_sum_{dim}d",
        dim,
        solution=lambda x: np.exp(-x[:, :1]) * np.sin(2 * x[:, 1:]).sum(1, keepdims=True),
        solution_norm=np.sqrt(
            -np.expm1(-2) / 2 * (dim * square + dim * (dim - 1) * mean**2)
        ),
        interior_points=3000,
        boundary_points=500,
        resample_every=1,
    )


def _heat(
    name: str, dim: int, solution: Field, solution_norm: float, **defaults
) -> Problem:
    """Pose a problem on [0, 1] × [0, 1]^dim without a source.

    Its boundary and initial values are those of `solution`.
    """
    lower, upper = np.zeros(1 + dim), np.ones(1 + dim)
    space = np.diag([0.0] + [1.0] * dim)
    points = partial(box, lower=lower, upper=upper)
    return Problem(
        name=name,
        dim=1 + dim,
        outputs=1,
        interior=Term.of(
            Operator(residual, space), points, lambda x: np.zeros((len(x), 1))
        ),
        boundary=Term.of(DIRICHLET, partial(parabolic_boundary, dim=dim), solution),
        bounds=(lower, upper),
        solution=solution,
        solution_norm=float(solution_norm),
        networks=SMALL_MEDIUM_LARGE,
        reference="Dangel, Müller, Zeinhofer (2024), arXiv 2405.15603",
        **defaults,
    )
