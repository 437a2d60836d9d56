"""Poisson's equation -Δu = f on the unit cube with u = g on its boundary.

Solutions, right-hand sides and constants of arXiv 2405.15603 as its published code has
them.
"""

from functools import partial

import numpy as np

from optbench.problems.domains import box, faces
from optbench.problems.family import family
from optbench.problems.names import InvalidName
from optbench.problems.networks import SMALL_MEDIUM_LARGE
from optbench.problems.problem import DIRICHLET, Array, Field, Jet, Operator, Problem, Term

# rounded L2 norms of the solution before scaling, as the paper's code has them
HARMONIC_SCALE = {10: 1.34, 100: 12.59}
NORM_SCALE = 33.47


def residual(jet: Jet, x: Array, y: Array) -> Array:
    """Compute Δu + f [n, 1], in the paper's sign."""
    return jet.curvature + y


@family(published=(2,), order=1)
def poisson_sine(dim: int) -> Problem:
    """Pose u* = Π_i sin(π x_i); 900 and 120 points in one fixed batch."""

    def solution(x: np.ndarray) -> np.ndarray:
        return np.sin(np.pi * x).prod(1, keepdims=True)

    return _poisson(
        f"poisson_sine_{dim}d",
        dim,
        source=lambda x: dim * np.pi**2 * solution(x),
        solution=solution,
        solution_norm=2 ** (-dim / 2),
        interior_points=900,
        boundary_points=120,
        resample_every=0,
        networks=SMALL_MEDIUM_LARGE,
    )


@family(published=(5,), order=2)
def poisson_cosine(dim: int) -> Problem:
    """Pose u* = Σ_i cos(π x_i); 3000 and 500 points, redrawn every step."""

    def solution(x: np.ndarray) -> np.ndarray:
        return np.cos(np.pi * x).sum(1, keepdims=True)

    return _poisson(
        f"poisson_cosine_{dim}d",
        dim,
        source=lambda x: np.pi**2 * solution(x),
        solution=solution,
        solution_norm=np.sqrt(dim / 2),  # E cos(π x_i) = 0: no cross terms
        interior_points=3000,
        boundary_points=500,
        resample_every=1,
        networks=SMALL_MEDIUM_LARGE,
    )


@family(published=(10,), order=3)
def poisson_harmonic(dim: int) -> Problem:
    """Pose u* = (x₁x₂ + x₃x₄ + …)/c with c = 1.34 in 10d, 12.59 in 100d, else 1.

    It has 3000 and 1000 points, redrawn every step.

    The dimension must be even.
    """
    if dim % 2:
        raise InvalidName(
            "poisson_harmonic: the dimension must be even "
            f"(its solution pairs coordinates), not {dim}"
        )
    scale, pairs = HARMONIC_SCALE.get(dim, 1.0), dim // 2
    return _poisson(
        f"poisson_harmonic_{dim}d",
        dim,
        source=lambda x: np.zeros((len(x), 1)),
        solution=lambda x: (x[:, ::2] * x[:, 1::2]).sum(1, keepdims=True) / scale,
        # E (x₁x₂)² = 1/9, E x₁x₂ = 1/4
        solution_norm=np.sqrt(pairs / 9 + pairs * (pairs - 1) / 16) / scale,
        interior_points=3000,
        boundary_points=1000,
        resample_every=1,
        networks=("tanh_256_256_128_128",),
    )


@family(published=(100,), order=4)
def poisson_norm(dim: int) -> Problem:
    """Pose u* = ‖x‖²/33.47 in every dimension.

    It has 100 and 50 points, redrawn every step; they are ours: the paper tuned them.
    """
    return _poisson(
        f"poisson_norm_{dim}d",
        dim,
        source=lambda x: np.full((len(x), 1), -2 * dim / NORM_SCALE),
        solution=lambda x: (x**2).sum(1, keepdims=True) / NORM_SCALE,
        # E x⁴ = 1/5, E x² = 1/3
        solution_norm=np.sqrt(dim / 5 + dim * (dim - 1) / 9) / NORM_SCALE,
        interior_points=100,
        boundary_points=50,
        resample_every=1,
        networks=("tanh_768_768_512_512",),
    )


def _poisson(
    name: str, dim: int, source: Field, solution: Field, solution_norm: float, **defaults
) -> Problem:
    """Pose a problem on [0, 1]^dim with a right-hand side f and boundary values g.

    f is `source`, g is `solution`.
    """
    lower, upper = np.zeros(dim), np.ones(dim)
    return Problem(
        name=name,
        dim=dim,
        outputs=1,
        interior=Term.of(
            Operator(residual, np.eye(dim)), partial(box, lower=lower, upper=upper), source
        ),
        boundary=Term.of(DIRICHLET, partial(faces, dim=dim), solution),
        bounds=(lower, upper),
        solution=solution,
        solution_norm=float(solution_norm),
        reference="Dangel, Müller, Zeinhofer (2024), arXiv 2405.15603",
        **defaults,
    )
