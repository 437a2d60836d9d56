"""The Fokker-Planck equation of an Ornstein-Uhlenbeck process, for its log-density.

p_t + div(p μ) - Tr(σσᵀ∇²p)/2 = 0 with μ(x) = -x/2, σ = √2 I; q = log p. Time is input 0.
Source: arXiv 2405.15603.
"""

from functools import partial

import numpy as np

from optbench.problems.domains import box, initial_time
from optbench.problems.family import family
from optbench.problems.problem import DIRICHLET, Array, Jet, Operator, Problem, Term

HALF_WIDTH = 5.0  # space is [-5, 5]^n
# of one coordinate, uniform there
SECOND_MOMENT, FOURTH_MOMENT = (HALF_WIDTH**2 / 3, HALF_WIDTH**4 / 5)


def residual(jet: Jet, x: Array, y: Array) -> Array:
    """Compute q_t - n/2 - x·∇q/2 - |∇q|² - Δq - y [n, 1].

    ∇ and Δ are over the n dimensions of space alone.
    """
    gradient = jet.gradient[:, 1:]
    drift = (x[:, 1:, None] * gradient).sum(1) / 2 + (x.shape[1] - 1) / 2
    return jet.gradient[:, 0] - drift - (gradient**2).sum(1) - jet.curvature - y


def solution(x: np.ndarray) -> np.ndarray:
    """Evaluate q* = log N(x; 0, v(t) I) [n, 1] with v(t) = 2 - exp(-t).

    The variance goes from 1 towards the stationary 2.
    """
    variance = 2 - np.exp(-x[:, :1])
    square = (x[:, 1:] ** 2).sum(1, keepdims=True)
    return -square / (2 * variance) - (x.shape[1] - 1) / 2 * np.log(2 * np.pi * variance)


@family(published=(9,), order=7)
def log_fokker_planck(dim: int) -> Problem:
    """Pose q* = log N(x; 0, (2 - exp(-t)) I), prescribed at t = 0 alone.

    It has 3000 and 1000 points, redrawn every step.
    """
    upper = np.full(dim, HALF_WIDTH)
    bounds = (np.append(0.0, -upper), np.append(1.0, upper))
    return Problem(
        name=f"log_fokker_planck_{dim}d",
        dim=1 + dim,
        outputs=1,
        interior=Term.of(
            Operator(residual, np.diag([0.0] + [1.0] * dim)),
            partial(box, lower=bounds[0], upper=bounds[1]),
            lambda x: np.zeros((len(x), 1)),
        ),
        boundary=Term.of(
            DIRICHLET, partial(initial_time, lower=-upper, upper=upper), solution
        ),
        bounds=bounds,
        solution=solution,
        solution_norm=_solution_norm(dim),
        interior_points=3000,
        boundary_points=1000,
        resample_every=1,
        networks=("tanh_256_256_128_128",),
        reference="Dangel, Müller, Zeinhofer (2024), arXiv 2405.15603",
        # 2: line searches look at the whole grid, since its residual is not affine
        version=2,
    )


def _solution_norm(dim: int) -> float:
    """Compute (E q*²)^½, with q* = -a|x|² - b, exactly over space.

    Over time it is computed by Gauss-Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(40)
    variance = 2 - np.exp(-(nodes + 1) / 2)
    a, b = 1 / (2 * variance), dim / 2 * np.log(2 * np.pi * variance)
    square = dim * SECOND_MOMENT  # E |x|², and E |x|⁴:
    fourth = dim * FOURTH_MOMENT + dim * (dim - 1) * SECOND_MOMENT**2
    return float(np.sqrt(weights @ (a**2 * fourth + 2 * a * b * square + b**2) / 2))
