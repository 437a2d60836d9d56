"""Which points a step has: redraws, a march in time, Sobol sequences."""

import numpy as np
import pytest
from fakes import request
from posed import convection, kdv
from scipy.stats import qmc
from small import frameworks
from stopping import StopAfter, bits

from optbench import implementations, problems
from optbench.problems import seeds
from optbench.records import frames
from optbench.training import draws
from optbench.training import run as train
from optbench.training.draws import Draws
from optbench.training.limits import Limits
from optbench.training.loop import Stopped

KDV = problems.get("kdv_1d")
TINY = {"interior": 9, "initial": 4, "boundary": 6, "slope": 3}
START, END = KDV.bounds[0][0], KDV.bounds[1][0]


def drawn_before(plan, steps):
    """The steps that have another batch than the one before them, from the first on."""
    numbers = [plan.number(step) for step in range(1, steps + 1)]
    assert sorted(set(numbers)) == list(range(numbers[-1] + 1))
    return [
        step
        for step, (before, now) in enumerate(
            zip([-1, *numbers[:-1]], numbers, strict=True), 1
        )
        if before != now
    ]


@pytest.mark.parametrize(
    ("fields", "steps", "expected"),
    [
        ({}, 50, [1]),
        ({"resample_every": 1}, 4, [1, 2, 3, 4]),
        ({"resample_every": 20}, 100, [1, 21, 41, 61, 81]),
        ({"march": 100}, 200, [*range(1, 101, 5), 101]),
        ({"march": 100, "resample_every": 20}, 160, [*range(1, 102, 5), 121, 141]),
        ({"march": 7, "resample_every": 4}, 18, [1, 6, 8, 12, 16]),
        # of 100 steps none after the 90th, of a sequence; of 101 none after 90.9
        ({"resample_every": 10, "sampling": "sobol"}, 100, list(range(1, 91, 10))),
        ({"resample_every": 30, "sampling": "sobol"}, 101, [1, 31, 61]),
        ({"resample_every": 30, "sampling": "sobol"}, 102, [1, 31, 61, 91]),
        # a march goes on to the last time
        ({"march": 10, "sampling": "sobol"}, 11, [1, 6, 11]),
    ],
)
def test_points_are_drawn_before_these_steps(fields, steps, expected):
    limited = Draws(KDV, TINY, 0, steps=steps, **fields)
    assert drawn_before(limited, steps) == expected


def test_without_a_known_number_of_steps_a_sequence_is_drawn_to_the_end():
    plan = Draws(KDV, TINY, 0, resample_every=10, sampling="sobol")
    assert drawn_before(plan, 100) == list(range(1, 101, 10))


@pytest.mark.parametrize("sampling", ["uniform", "sobol"])
def test_points_of_a_march_reach_these_times(sampling):
    whole = Draws(KDV, TINY, 5, sampling=sampling)
    marching = Draws(KDV, TINY, 5, sampling=sampling, march=100)
    reaches = [marching.reach(number) for number in range(22)]
    assert reaches == pytest.approx([0.1 + 0.045 * k for k in range(20)] + [1, 1])
    for number in (0, 1, 19, 20):
        far, near = whole.batch(number), marching.batch(number)
        reach = min(1, 0.1 + 0.9 * 5 * number / 100)
        for name, (x, y) in near.items():
            there = far[name][0].copy()
            if name != "initial":
                there[:, 0] = START + reach * (there[:, 0] - START)
            np.testing.assert_allclose(x, there, rtol=1e-14)
            np.testing.assert_array_equal(y, KDV.terms[name].target(x))


def test_points_that_all_have_one_time_keep_it():
    """A terminal value too, and not the one point of a term that has all times."""
    problem = problems.get("black_scholes_barenblatt_2d")
    points = dict.fromkeys(problem.terms, 1)
    whole, marching = (Draws(problem, points, 1, march=march).batch(0) for march in (0, 50))
    np.testing.assert_array_equal(whole["terminal"][0], marching["terminal"][0])
    for name in ("interior", "boundary"):
        assert marching[name][0][0, 0] == pytest.approx(0.1 * whole[name][0][0, 0])


def test_uniform_points_are_those_of_the_seeds():
    plan = Draws(KDV, TINY, 3, resample_every=2)
    for number in (0, 4):
        expected = seeds.batch(KDV, 3, number, TINY)
        for name, (x, y) in plan.batch(number).items():
            np.testing.assert_array_equal(x, expected[name][0])
            np.testing.assert_array_equal(y, expected[name][1])


def test_a_sequence_is_scipys_own_with_a_generator_of_seed_draw_and_term():
    plan = Draws(KDV, TINY, 3, sampling="sobol")
    lower, upper = KDV.bounds
    for number in (0, 2):
        batch = plan.batch(number)
        for index, (name, count) in enumerate(TINY.items()):
            term = KDV.terms[name]
            generator = np.random.default_rng(
                np.random.SeedSequence(3, spawn_key=(1, number, index))
            )
            power = int(np.ceil(np.log2(count)))
            unit = qmc.Sobol(term.region.free, rng=generator).random_base2(power)[:count]
            x, y = batch[name]
            np.testing.assert_array_equal(x, term.region.place(unit))
            np.testing.assert_array_equal(y, term.target(x))
            assert (lower <= x).all()
            assert (x <= upper).all()


def test_faces_share_a_sequence_evenly():
    batch = Draws(KDV, TINY | {"boundary": 7}, 0, sampling="sobol").batch(0)
    ends = batch["boundary"][0][:, 1]
    np.testing.assert_array_equal(ends, [KDV.bounds[0][1]] * 4 + [KDV.bounds[1][1]] * 3)


def test_a_sequence_of_one_place_and_of_one_point():
    one = np.random.default_rng(0)
    assert draws.sobol(one, 3, 0).shape == (3, 0)
    assert draws.sobol(one, 1, 2).shape == (1, 2)
    problem = convection()
    assert len(Draws(problem, problem.points, 0, sampling="sobol").batch(0)["gauge"][0])


def test_terms_of_a_sequence_and_draws_of_it_differ():
    problem = kdv()
    points = dict.fromkeys(problem.terms, 8)
    first, second = (Draws(problem, points, 0, sampling="sobol").batch(k) for k in (0, 1))
    assert not np.array_equal(first["boundary"][0], first["slope"][0])
    assert not np.array_equal(first["boundary"][0], second["boundary"][0])


MODE = {"torch": "eager", "jax": "jit"}


def asked(framework, name, **fields):
    problem = problems.get(name)
    return request(
        framework=framework,
        mode=MODE[framework],
        problem=name,
        problem_version=problem.version,
        network="box_3_fourier_3_1.0_tanh_5",
        points=dict.fromkeys(problem.terms, 6),
        optimizer="adam",
        hyperparameters={},
        **{"weights": problem.weights, "sampling": "sobol", "march": 10} | fields,
    )


@frameworks
@pytest.mark.medium
@pytest.mark.parametrize("name", ["burgers_1d", "kdv_1d"])
@pytest.mark.parametrize(
    "sampling", [pytest.param("uniform", marks=pytest.mark.slow), "sobol"]
)
def test_a_run_that_is_stopped_ends_with_the_same_numbers(
    framework, name, sampling, tmp_path
):
    run = asked(framework, name, steps=16, resample_every=2, sampling=sampling)
    limits = Limits(checkpoints=tmp_path)
    whole = train.perform(run)
    with pytest.raises(Stopped):
        train.perform(run, limits, stop=StopAfter(7))
    resumed = train.perform(run, limits)
    assert (resumed.status, resumed.resumed, resumed.error) == ("finished", 1, None)
    assert bits(resumed) == bits(whole)
    terms = problems.get(name).terms
    assert [set(row.losses) for row in whole.history] == [set(terms)] * 17
    loaded = frames.from_records([whole]).history
    assert set(terms) <= set(loaded)
    np.testing.assert_allclose(loaded["loss"], loaded[list(terms)].sum(axis=1))


@pytest.mark.medium
@pytest.mark.parametrize("name", ["burgers_1d", "kdv_1d"])
def test_both_frameworks_walk_the_same_path(name):
    if len(implementations.installed()) < 2:
        pytest.skip("twins need both frameworks")
    runs = [train.perform(asked(framework, name, steps=8)) for framework in MODE]
    for one, other in zip(*(run.history for run in runs), strict=True):
        assert list(one.numbers) == list(other.numbers)
        assert one.numbers == pytest.approx(other.numbers, rel=1e-9)


@frameworks
def test_the_loss_of_a_row_has_the_weights(framework):
    run = asked(framework, "burgers_1d", steps=1, march=0)
    weights = run.weights | {"initial": 10 * run.weights["initial"]}
    light, heavy = (
        train.perform(run.model_copy(update={"weights": each})).history[0].losses
        for each in (run.weights, weights)
    )
    assert heavy == pytest.approx(light | {"initial": 10 * light["initial"]})
