"""Samplers stay in the domain, are distributed right, and depend on the generator alone."""

import numpy as np
import pytest
from cases import PUBLISHED
from made_up import coupled_2d
from scipy.stats import kstest

from optbench import problems
from optbench.problems import domains

PAPERS = [
    *PUBLISHED,
    "poisson_sine_1d",
    "poisson_cosine_3d",
    "heat_sum_2d",
    "heat_sine_3d",
]
NAMES = [*PAPERS, *problems.names()[len(PUBLISHED) :]]


def rng(seed=0):
    return np.random.default_rng(seed)


def is_uniform(sample, lower, upper):
    return kstest(sample, "uniform", (lower, upper - lower)).pvalue > 1e-3


@pytest.mark.parametrize(
    "problem", [*map(problems.get, NAMES), coupled_2d], ids=lambda problem: problem.name
)
def test_points_are_in_the_box(problem):
    lower, upper = problem.bounds
    for term in problem.terms.values():
        x, _ = term.sample(rng(), 2001)
        assert x.shape == (2001, problem.dim)
        assert (x >= lower).all()
        assert (x <= upper).all()


@pytest.mark.parametrize("name", PAPERS)
def test_interior_points_fill_the_box_uniformly(name):
    problem = problems.get(name)
    x, _ = problem.interior.sample(rng(1), 4000)
    assert all(is_uniform(*column) for column in zip(x.T, *problem.bounds, strict=True))
    if problem.dim > 1:
        correlation = np.corrcoef(x.T) - np.eye(problem.dim)
        assert np.abs(correlation).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("dim", [1, 2, 5, 10])
def test_each_face_has_the_same_probability(dim):
    n, p = 100_000, 1 / (2 * dim)
    x = domains.faces(rng(2), n, dim)
    hits = np.stack([x == 0, x == 1], -1)  # [n, dim, side]
    assert (hits.sum((1, 2)) == 1).all()  # one face a point
    assert np.abs(hits.sum(0) - n * p).max() < 4 * np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("dim", [2, 5])
def test_points_fill_a_face_uniformly(dim):
    x = domains.faces(rng(3), 20_000, dim)
    on_top = x[x[:, 0] == 1]
    assert all(is_uniform(column, 0, 1) for column in on_top.T[1:])


@pytest.mark.parametrize("name", [name for name in PAPERS if name.startswith("poisson")])
def test_poisson_conditions_are_on_the_faces(name):
    x, _ = problems.get(name).boundary.sample(rng(4), 500)
    assert (((x == 0) | (x == 1)).sum(1) == 1).all()


@pytest.mark.parametrize("n", [1, 2, 51, 500])
@pytest.mark.parametrize("name", [name for name in PAPERS if name.startswith("heat")])
def test_half_of_the_heat_conditions_are_initial_and_no_point_is_lost(name, n):
    x, _ = problems.get(name).boundary.sample(rng(5), n)
    time, space = x[:, 0], x[:, 1:]
    spatial = np.arange(n) < n // 2
    assert len(x) == n
    assert (time[spatial] > 0).all()
    assert (time[~spatial] == 0).all()
    assert ((space == 0) | (space == 1)).any(1)[spatial].all()
    assert ((space > 0) & (space < 1))[~spatial].all()
    if n == 500:
        assert is_uniform(time[spatial], 0, 1)
        assert all(is_uniform(column, 0, 1) for column in space[~spatial].T)


def test_log_fokker_planck_conditions_are_initial():
    x, _ = problems.get("log_fokker_planck_9d").boundary.sample(rng(6), 4000)
    assert (x[:, 0] == 0).all()
    assert all(is_uniform(column, -5, 5) for column in x.T[1:])


@pytest.mark.parametrize("name", NAMES)
def test_points_depend_on_nothing_but_the_generator(name):
    problem = problems.get(name)
    np.random.seed(1)  # noqa: NPY002  the global generator must be neither read nor moved
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    points = dict.fromkeys(problem.terms, 20)
    first = problem.batch(rng(7), points)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    second, other = problem.batch(rng(7), points), problem.batch(rng(8), points)
    for name, (x, y) in first.items():
        (x2, y2), (x3, _) = second[name], other[name]
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
        assert not np.array_equal(x, x3)


def test_samplers_are_vectorised():
    """The generator is called a fixed number of times, however many points are drawn."""

    class Counting:
        def __init__(self):
            self.calls, self.generator = 0, rng()

        def __getattr__(self, name):
            self.calls += 1
            return getattr(self.generator, name)

    for name in NAMES:
        for term in problems.get(name).terms.values():
            few, many = Counting(), Counting()
            term.sample(few, 3)
            term.sample(many, 3000)
            assert 1 <= few.calls == many.calls <= 4
