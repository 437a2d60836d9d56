"""‖u*‖ is that of quadrature, of the recorded numbers and of the points drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from cases import PUBLISHED, every_problem
from made_up import coupled_2d

from optbench import problems

NORMS = json.loads(
    (Path(__file__).parents[1] / "data" / "solution_l2_norms.json").read_text()
)


def quadrature_norm(problem, nodes):
    """(E |u*|²)^½ over the box, by Gauss-Legendre with `nodes` points per coordinate."""
    points, weights = zip(*(np.polynomial.legendre.leggauss(n) for n in nodes), strict=True)
    lower, upper = problem.bounds
    axes = [a + (b - a) * (p + 1) / 2 for a, b, p in zip(lower, upper, points, strict=True)]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, problem.dim)
    weight = np.ones(())
    for w in weights:
        weight = np.multiply.outer(weight, w / 2)
    return np.sqrt(weight.ravel() @ (problem.solution(x) ** 2).sum(1))


def additive_norm(problem, nodes=8):
    """The same for u* = Σ_i g_i(x_i): squares of the terms and products of their means."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    lines = ((points + 1) / 2)[:, None, None] * np.eye(problem.dim)  # [nodes, d, d]
    g = problem.solution(lines.reshape(-1, problem.dim)).reshape(nodes, problem.dim)
    x = np.random.default_rng(0).random((3, problem.dim))
    singles = problem.solution(
        (x[:, :, None] * np.eye(problem.dim)).reshape(-1, problem.dim)
    ).reshape(3, -1)
    np.testing.assert_allclose(singles.sum(1), problem.solution(x)[:, 0], rtol=1e-12)
    mean, square = weights @ g / 2, weights @ g**2 / 2
    return np.sqrt(square.sum() + mean.sum() ** 2 - (mean**2).sum())


QUADRATURE = {
    **{name: [24] * 2 for name in ("poisson_sine_2d", "poisson_cosine_2d", "heat_sum_1d")},
    **{name: [24] * 3 for name in ("poisson_sine_3d", "heat_sine_2d", "heat_sum_2d")},
    **{name: [24] for name in ("poisson_sine_1d", "poisson_cosine_1d", "poisson_norm_1d")},
    "poisson_cosine_5d": [10] * 5,
    "heat_sine_1d": [40, 20],
    "heat_sine_3d": [40, 12, 12, 12],
    "heat_sum_4d": [10] * 5,
    # exact: u² is of degree 2 in each coordinate
    **{f"poisson_harmonic_{d}d": [2] * d for d in (2, 4, 10)},
    "log_fokker_planck_1d": [24, 3],  # exact in space: degree 4
    "log_fokker_planck_3d": [24, 3, 3, 3],
    "log_fokker_planck_9d": [16] + [3] * 9,
    "coupled_2d": [16, 16],
}


@pytest.mark.parametrize("name", QUADRATURE)
def test_norm_is_that_of_quadrature(name):
    problem = coupled_2d if name == "coupled_2d" else problems.get(name)
    assert problem.solution_norm == pytest.approx(
        quadrature_norm(problem, QUADRATURE[name]), rel=1e-10
    )


@pytest.mark.parametrize("dim", [1, 10, 100])
def test_norm_of_the_norm_family(dim):
    problem = problems.get(f"poisson_norm_{dim}d")
    assert problem.solution_norm == pytest.approx(additive_norm(problem), rel=1e-12)


@pytest.mark.parametrize("name", NORMS)
def test_norm_is_the_recorded_one(name):
    assert problems.get(name).solution_norm == pytest.approx(NORMS[name], rel=1e-9)


def test_recorded_norms_cover_the_papers_problems():
    assert set(PUBLISHED) <= set(NORMS)


def test_papers_scales_are_rounded_norms():
    for name in ("poisson_harmonic_10d", "poisson_harmonic_100d", "poisson_norm_100d"):
        assert problems.get(name).solution_norm == pytest.approx(1, abs=3e-3)
    assert problems.get("poisson_harmonic_4d").solution_norm == pytest.approx(
        np.sqrt(2 / 9 + 2 / 16)
    )


@every_problem
def test_norm_is_that_of_interior_points(problem):
    x, _ = problem.interior.sample(np.random.default_rng(3), 20_000)
    assert problem.solution_norm == pytest.approx(
        np.sqrt((problem.solution(x) ** 2).sum(1).mean()), rel=0.05
    )
