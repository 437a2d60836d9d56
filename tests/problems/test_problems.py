"""Problems prove themselves: the solution has no residual, and the data are its own."""

import numpy as np
import pytest
from cases import OTHERS, PUBLISHED, every_problem
from scipy.stats import multivariate_normal, norm

from optbench import problems
from optbench.campaign import problem_checks
from optbench.problems.problem import Jet

COMPILED = ("coupled_2d",)  # the twins' own tests go through the others in both frameworks


@pytest.mark.parametrize("check", problem_checks.CHECKS)
@every_problem
def test_contract(problem, check):
    """What `optbench check` asks of a user's problem."""
    if check != "frameworks" or problem.name in COMPILED:
        assert list(problem_checks.issues_of(problem_checks.CHECKS[check], problem)) == []


@every_problem
def test_boundary_and_initial_data_are_the_solution_itself(problem):
    x, y = problem.boundary.sample(np.random.default_rng(1), 51)
    assert problem.boundary.operator.diffusion is None
    np.testing.assert_array_equal(
        problem.boundary.operator.residual(Jet(problem.solution(x), None, None), x, y), 0
    )
    np.testing.assert_array_equal(
        problem.boundary.operator.residual(Jet(y + 2.5, None, None), x, y), (y + 2.5) - y
    )


# -- written a second time, from the issue's source and not from the code --
SOLUTIONS = {
    "poisson_sine": lambda t, x: np.prod([np.sin(np.pi * s) for s in x]),
    "poisson_cosine": lambda t, x: sum(np.cos(np.pi * s) for s in x),
    "poisson_harmonic": lambda t, x: (
        sum(a * b for a, b in zip(x[::2], x[1::2], strict=True))
        / (1.34 if len(x) == 10 else 12.59 if len(x) == 100 else 1)
    ),
    "poisson_norm": lambda t, x: np.linalg.norm(x) ** 2 / 33.47,
    "heat_sine": lambda t, x: (
        np.exp(-(np.pi**2) * len(x) * t / 4) * np.prod([np.sin(np.pi * s) for s in x])
    ),
    "heat_sum": lambda t, x: np.exp(-t) * sum(np.sin(2 * s) for s in x),
    "log_fokker_planck": lambda t, x: multivariate_normal.logpdf(
        x, cov=(2 - np.exp(-t)) * np.eye(len(x))
    ),
}


@pytest.mark.parametrize("name", PUBLISHED + OTHERS)
def test_solution_is_the_papers(name):
    problem, family = problems.get(name), name.rpartition("_")[0]
    for term in (problem.interior, problem.boundary):
        x, _ = term.sample(np.random.default_rng(2), 8)
        space = int(name.rpartition("_")[2][:-1])
        expected = [SOLUTIONS[family](point[0], point[len(point) - space :]) for point in x]
        np.testing.assert_allclose(
            problem.solution(x)[:, 0], expected, rtol=1e-12, atol=1e-14
        )


def test_interior_residuals_have_the_papers_signs():
    # numbers by hand at one point: u_t or ∂₁u = 3, ∂₂u = 5, curvature 7, y = 11, x = (0.5,
    # 2)
    jet, x, y = (
        Jet(np.ones((1, 1)), np.array([[[3.0], [5.0]]]), np.full((1, 1), 7.0)),
        np.array([[0.5, 2.0]]),
        11.0,
    )
    residuals = {
        name: problems.get(name).interior.operator.residual(jet, x, y).item()
        for name in PUBLISHED
    }
    assert all(
        residuals[name] == 7 + 11 for name in PUBLISHED if name.startswith("poisson")
    )
    assert residuals["heat_sine_1d"] == residuals["heat_sum_4d"] == 3 - 7 / 4 - 11
    assert residuals["log_fokker_planck_9d"] == 3 - 1 / 2 - 2 * 5 / 2 - 5**2 - 7 - 11


@pytest.mark.parametrize("name", PUBLISHED + OTHERS)
def test_curvature_is_that_of_space_alone(name):
    problem, space = problems.get(name), int(name.rpartition("_")[2][:-1])
    time = problem.dim - space
    assert time == (0 if name.startswith("poisson") else 1)
    np.testing.assert_array_equal(
        problem.interior.operator.diffusion, np.diag([0.0] * time + [1.0] * space)
    )


@pytest.mark.parametrize("name", PUBLISHED + OTHERS)
def test_log_fokker_planck_alone_is_not_affine(name):
    assert problems.get(name).affine is not name.startswith("log_fokker_planck")


def test_initial_density_is_the_standard_gaussian():
    x, y = problems.get("log_fokker_planck_3d").boundary.sample(np.random.default_rng(5), 9)
    np.testing.assert_allclose(y[:, 0], norm.logpdf(x[:, 1:]).sum(1), rtol=1e-13)


TABLE = {
    "poisson_sine_2d": (2, 900, 120, 0, 3),
    "poisson_cosine_5d": (5, 3000, 500, 1, 3),
    "poisson_harmonic_10d": (10, 3000, 1000, 1, 1),
    "poisson_norm_100d": (100, 100, 50, 1, 1),
    "heat_sine_1d": (2, 900, 120, 0, 3),
    "heat_sum_4d": (5, 3000, 500, 1, 3),
    "log_fokker_planck_9d": (10, 3000, 1000, 1, 1),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_those_of_the_table(name):
    p = problems.get(name)
    assert (
        p.dim,
        p.interior_points,
        p.boundary_points,
        p.resample_every,
        len(p.networks),
    ) == TABLE[name]
    large = (
        "tanh_768_768_512_512" if name == "poisson_norm_100d" else "tanh_256_256_128_128"
    )
    assert p.networks[-1] == large
    assert p.networks[:-1] in ((), ("tanh_64", "tanh_64_64_48_48"))
