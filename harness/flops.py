"""How many floating-point operations a run needs at least: a bound below every optimizer's, not an estimate."""

import problems
from harness.record import Record, Request
from problems import networks
from problems.problem import Term

GRADIENT = 2  # forward passes that a gradient costs at least: itself and a way back (which costs two, in fact)


def run(record: Record) -> float:
    """Flops of a run's steps, at least."""
    return record.steps * step(record.request)


def step(request: Request) -> float:
    """Flops of one step, at least: the loss's gradient on one batch, which every optimizer needs in every step.

    Matrix products alone count. Left out are activations, the operator, the parameters' update, curvature, line
    searches and inner iterations.
    """
    problem = problems.get(request.problem)
    layers = [(out, columns - 1) for out, columns in networks.shapes(request.network, problem.dim, problem.outputs)]
    terms = ((problem.interior, request.points.interior), (problem.boundary, request.points.boundary))
    return GRADIENT * sum(_forward(layers, points, _rows(term, problem.dim)) for term, points in terms)


def _forward(layers: list[tuple[int, int]], points: int, rows: int) -> float:
    """2 n (h₀ h₁ + s Σ_l≥2 h_l₋₁ h_l): a multiplication and an addition for each weight, point and row of the jet.

    In the first layer the value's row alone counts: the others are columns of its matrix.
    """
    first, *others = (out * inputs for out, inputs in layers)
    return 2.0 * points * (first + rows * sum(others))


def _rows(term: Term, dim: int) -> int:
    """The jet's rows: value, d derivatives, curvature; the value alone where the operator reads nothing else."""
    return 1 if term.operator.diffusion is None else dim + 2
