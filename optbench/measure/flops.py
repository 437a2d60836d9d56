"""Flops by formula: a run's lower bound, and those of a step's phases.

Counted are the floating-point operations of matrix products and factorisations. Left out
are activations, the operator, the parameters' update and everything else that is
elementwise.
"""

import math

from optbench import problems
from optbench.measure.timed import Work
from optbench.problems import networks
from optbench.records.record import Record, Request

# forward passes that a gradient costs at least: itself and a way back (which costs two)
GRADIENT = 2
EVALUATED = 10  # evaluation points for each interior one, as `seeds.evaluation_points` has


def run(record: Record) -> float:
    """Give the flops of a run's steps, at least."""
    return record.steps * step(record.request)


def step(request: Request) -> float:
    """Give the flops of one step, at least: those of the loss's gradient on one batch.

    Every optimizer needs it in every step. Curvature, line searches and inner iterations
    are left out.
    """
    return GRADIENT * _losses(request)


def row(request: Request) -> float:
    """Give the flops of a row of the history: the losses, and u where errors are taken."""
    problem = problems.get(request.problem)
    points = EVALUATED * problem.interior_points
    return _losses(request) + _forward(_layers(request), points, 1)


def _losses(request: Request) -> float:
    problem = problems.get(request.problem)
    terms = (
        (problem.interior, request.points.interior),
        (problem.boundary, request.points.boundary),
    )
    return sum(
        _forward(_layers(request), points, term.operator.channels) for term, points in terms
    )


def _layers(request: Request) -> list[tuple[int, int]]:
    """Give every layer's outputs and inputs."""
    problem = problems.get(request.problem)
    return [
        (out, columns - 1)
        for out, columns in networks.shapes(request.network, problem.dim, problem.outputs)
    ]


def _forward(layers: list[tuple[int, int]], points: int, channels: int) -> float:
    """Give 2 n (h₀ h₁ + s Σ_l≥2 h_l₋₁ h_l) for n points and s channels of the jet.

    That is a multiplication and an addition for each weight, point and channel. In the
    first layer the value's channel alone counts: the others are columns of its matrix.
    """
    first, *others = (out * inputs for out, inputs in layers)
    return 2.0 * points * (first + channels * sum(others))


def phases(work: Work, evaluations: int, products: int = 0) -> dict[str, float]:
    """Give the flops of a step's phases.

    `evaluations` are those of the loss in its line search, `products` those G v. The way
    back costs two forward passes, but for the cotangents below the first layer, which are
    not needed. A full Kronecker factor of width h costs 2 h² per row of its matrix, a pair
    of factors n³ (1/3 + 2 + 9 + 1): Cholesky, two triangular solves, the eigenvectors, one
    solve more. G v is J v and Jᵀ of that, each as much as a forward pass.
    """
    problem = problems.get(work.problem)
    shapes = networks.shapes(work.network, problem.dim, problem.outputs)
    layers = [(out, columns - 1) for out, columns in shapes]
    points = (
        work.interior or problem.interior_points,
        work.boundary or problem.boundary_points,
    )
    terms = list(zip((problem.interior, problem.boundary), points, strict=True))
    forward = sum(_forward(layers, n, term.operator.channels) for term, n in terms)
    first = 2.0 * sum(points) * math.prod(layers[0])
    counted = {
        "forward": forward,
        "backward": 2 * forward - first,
        "line search": evaluations * forward,
    }
    if products:
        counted["products"] = products * 2 * forward
    if work.optimizer in ("kfac", "kfac_star"):
        counted["factors"] = sum(
            _factors(layers, n, term.operator.channels, term.components)
            for term, n in terms
        )
        counted["inverses"] = sum(
            (37 / 3) * float(out**3 + columns**3) for out, columns in shapes
        )
    return counted


def _factors(
    layers: list[tuple[int, int]], points: int, channels: int, components: int
) -> float:
    """Give Σ 2 n s (h_l² r + h_l₋₁²); the first input factor needs the points alone."""
    first, *others = (inputs**2 for _, inputs in layers)
    return (
        2.0
        * points
        * (first + channels * (sum(others) + components * sum(out**2 for out, _ in layers)))
    )
