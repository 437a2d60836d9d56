"""One seed, independent streams; points of training and of evaluation."""

from itertools import combinations

import numpy as np
import pytest
from made_up import coupled_2d

from optbench import problems
from optbench.problems import networks, seeds
from optbench.problems.names import UnknownName

PROBLEM = problems.get("poisson_sine_2d")


NUMBERS = {"interior": 50, "boundary": 20}


def points(seed, index=0, **numbers):
    return seeds.batch(PROBLEM, seed, index, NUMBERS | numbers)


def test_same_seed_and_index_give_the_same_bits():
    first = points(3, 2)
    networks.initial_parameters("tanh_64", 2, 1, 3)  # draws elsewhere change nothing
    points(3, 1)
    seeds.evaluation_points(PROBLEM, "report")
    second = points(3, 2)
    for (x, y), (x2, y2) in zip(first.values(), second.values(), strict=True):
        assert (x.tobytes(), y.tobytes()) == (x2.tobytes(), y2.tobytes())


def test_the_streams_are_what_the_documentation_says():
    generator = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(1, 4)))
    ours, expected = points(7, 4), PROBLEM.batch(generator, NUMBERS)
    for (x, y), (x2, y2) in zip(ours.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_streams_share_no_number():
    drawn = [
        points(seed, index)["interior"][0]
        for seed in (0, 1, seeds.EVALUATION_SEED)
        for index in (0, 1, 2)
    ]
    drawn += [
        seeds.evaluation_points(PROBLEM, which)[0] for which in ("report", "selection")
    ]
    drawn += [
        seeds.stream(seed, "parameters").random(100)
        for seed in (0, 1, seeds.EVALUATION_SEED)
    ]
    assert not any(np.intersect1d(one, other).size for one, other in combinations(drawn, 2))


@pytest.mark.parametrize(
    "problem",
    [*map(problems.get, problems.names()), coupled_2d],
    ids=lambda problem: problem.name,
)
@pytest.mark.parametrize("which", ["report", "selection"])
def test_evaluation_points_are_ten_times_the_default_and_fixed(problem, which):
    x, u = seeds.evaluation_points(problem, which)
    assert x.shape == (10 * problem.interior_points, problem.dim)
    np.testing.assert_array_equal(u, problem.solution(x))
    np.testing.assert_array_equal(x, seeds.evaluation_points(problem, which)[0])
    assert ((x >= problem.bounds[0]) & (x <= problem.bounds[1])).all()


def test_evaluation_points_differ_by_problem():
    x, z = (
        seeds.evaluation_points(problems.get(name), "report")[0]
        for name in ("poisson_sine_2d", "heat_sine_1d")
    )
    assert not np.intersect1d(x, z).size


def test_evaluation_points_stay_what_they_are():
    # published errors stand on these points: a change here is a change of every recorded
    # number
    x, _ = seeds.evaluation_points(PROBLEM, "report")
    np.testing.assert_allclose(x[0], [0.6529673284584883, 0.5582487195425644], rtol=1e-15)


def test_unknown_evaluation_set_is_answered_with_the_nearest():
    with pytest.raises(
        UnknownName, match="unknown evaluation set 'reports': did you mean report"
    ):
        seeds.evaluation_points(PROBLEM, "reports")
    with pytest.raises(UnknownName):
        seeds.evaluation_points(PROBLEM, "points")  # a training stream is no evaluation set


@pytest.mark.parametrize("seed", [-1, 1.0, 1.5, "1", None, True])
def test_a_seed_is_an_integer_of_at_least_0(seed):
    for use in (
        lambda: points(seed),
        lambda: networks.initial_parameters("tanh_4", 2, 1, seed),
    ):
        with pytest.raises(
            ValueError, match=f"a seed must be an integer of at least 0, not {seed!r}"
        ) as error:
            use()
        assert "\n" not in str(error.value)


def test_numpy_integers_are_seeds():
    one, other = points(np.int64(3)), points(3)
    np.testing.assert_array_equal(one["interior"][0], other["interior"][0])


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"index": -1}, "index of a batch must be at least 0, not -1"),
        ({"interior": 0}, "at least one interior point, not 0"),
        ({"boundary": 0}, "at least one boundary point, not 0"),
    ],
)
def test_bad_batches_are_refused(arguments, what):
    with pytest.raises(ValueError, match=what):
        points(0, **arguments)
