"""A made-up system of two equations, and references made of functions.

The system has two unknowns, and every channel of the jet matters in it. For w = (u, v) on
the unit square, with A full and symmetric, k the component and s(x) a source:
r_k = tr(A∇²w_k) - (w·∇)w_k - (div w) w_k + x₁ u v - s_k.
Its solution is w* = (sin(x₁ + 2x₂), cos(2x₁ - x₂)).
"""

from functools import partial
from pathlib import Path

import numpy as np

from optbench.problems.domains import box, faces
from optbench.problems.own import Source
from optbench.problems.problem import DIRICHLET, Jet, Operator, Problem, Term
from optbench.problems.reference import Reference

DIFFUSION = np.array([[1.0, 0.3], [0.3, 0.5]])
WAVES = np.array([[1.0, 2.0], [2.0, -1.0]])  # one wave vector per component


def residual(jet, x, y):
    u, gradient = jet.value, jet.gradient
    transport = (u[:, :, None] * gradient).sum(1)
    divergence = gradient[:, 0, :1] + gradient[:, 1, 1:]
    return jet.curvature - transport - divergence * u + x[:, :1] * u[:, :1] * u[:, 1:] - y


def solution(x):
    phase = x @ WAVES.T
    return np.stack([np.sin(phase[:, 0]), np.cos(phase[:, 1])], 1)


def exact_jet(x):
    phase, value = x @ WAVES.T, solution(x)
    slope = np.stack([np.cos(phase[:, 0]), -np.sin(phase[:, 1])], 1)
    stretch = np.einsum("ki,ij,kj->k", WAVES, DIFFUSION, WAVES)
    return Jet(value, WAVES.T * slope[:, None, :], -stretch * value)


def source(x):
    return residual(exact_jet(x), x, 0.0)


def solution_norm():
    nodes, weights = np.polynomial.legendre.leggauss(20)
    x = (np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2) + 1) / 2
    return float(
        np.sqrt(np.outer(weights, weights).ravel() @ (solution(x) ** 2).sum(1) / 4)
    )


coupled_2d = Problem(
    name="coupled_2d",
    dim=2,
    outputs=2,
    interior=Term.of(
        Operator(residual, DIFFUSION),
        partial(box, lower=np.zeros(2), upper=np.ones(2)),
        source,
    ),
    boundary=Term.of(DIRICHLET, partial(faces, dim=2), solution),
    bounds=(np.zeros(2), np.ones(2)),
    solution=solution,
    solution_norm=solution_norm(),
    interior_points=40,
    boundary_points=16,
    resample_every=0,
    networks=("tanh_5_4",),
    reference="made up for these tests",
)


def on_grid(function, *axes, accuracy=1e-3):
    """A reference whose values are those of the function."""
    nodes = np.meshgrid(*axes, indexing="ij")
    return Reference(
        Source(Path("r.npz"), ""),
        axes,
        function(np.stack(nodes, -1).reshape(-1, len(axes))).reshape(*nodes[0].shape, -1),
        accuracy,
    )
