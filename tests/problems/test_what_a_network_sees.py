"""What a network sees of a point, and what its name says of that."""

import numpy as np
import posed
import pytest

from optbench import problems
from optbench.problems import InvalidName, input_maps, networks

CONVECTION = posed.convection(modes=2)
SINE = problems.get("poisson_sine_2d")


def seen(problem, network, x, seed=0):
    for made in input_maps.of(problem, network, seed):
        x = made(x)
    return x


def points(problem, n=9):
    lower, upper = problem.bounds
    return np.random.default_rng(0).uniform(lower, upper, (n, problem.dim))


def test_a_bare_name_sees_the_points():
    assert input_maps.of(SINE, "tanh_4", 0) == ()


def test_a_periodic_axis_is_its_waves_in_its_place():
    x = points(CONVECTION)
    t, phase = x[:, 0], x[:, 1]  # its period is 2π
    waves = [np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)]
    expected = np.stack([t, *waves], 1)
    assert np.allclose(seen(CONVECTION, "tanh_4", x), expected, atol=1e-14)
    later = seen(CONVECTION, "tanh_4", x + np.array([0, 2 * np.pi]))
    assert np.allclose(later, expected, atol=1e-13)
    assert CONVECTION.inputs == 5


@pytest.mark.parametrize("name", ["kdv_1d", "poisson_sine_2d", "burgers_1d"])
def test_a_box_maps_the_domain_s_corners_to_its_own(name):
    problem = problems.get(name)
    lower, upper = problem.bounds
    mapped = seen(problem, "box_3_tanh_4", np.stack([lower, (lower + upper) / 2, upper]))
    corners = np.repeat([[-3.0], [0.0], [3.0]], problem.dim, 1)
    assert np.allclose(mapped, corners, atol=1e-14)


def test_a_box_leaves_periodic_axes_alone():
    x = points(CONVECTION)
    bare, boxed = (seen(CONVECTION, name, x) for name in ("tanh_4", "box_3_tanh_4"))
    assert np.array_equal(bare[:, 1:], boxed[:, 1:])
    assert np.allclose(boxed[:, 0], 6 * x[:, 0] - 3)


def test_features_are_cosines_then_sines_of_what_comes_before():
    x = points(CONVECTION)
    features = seen(CONVECTION, "box_3_fourier_24_20.0_tanh_4", x)
    assert features.shape == (9, 48)
    assert np.allclose(features[:, :24] ** 2 + features[:, 24:] ** 2, 1)
    before = seen(CONVECTION, "box_3_tanh_4", x)
    drawn = problems.seeds.stream(0, "features").normal(0, 20, (24, 5))
    assert np.allclose(features[:, :24], np.cos(before @ drawn.T), atol=1e-12)
    assert np.allclose(features[:, 24:], np.sin(before @ drawn.T), atol=1e-12)


def test_the_seed_draws_the_features_apart_from_all_else():
    one, again, other = (
        input_maps.of(SINE, "fourier_6_2.0_tanh_4", seed)[0].matrix for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    start = [
        networks.initial_parameters(name, 12, 1, 3)
        for name in ("tanh_4", "fourier_6_2.0_tanh_4", "box_3_fourier_6_5.0_tanh_4")
    ]
    for matrices in zip(*start, strict=True):
        assert all(np.array_equal(matrices[0], matrix) for matrix in matrices)


@pytest.mark.parametrize(
    ("name", "network", "count"),
    [
        ("burgers_1d", "box_3_tanh_20_20_20", 921),
        ("convection_1d", "box_10_sin_20_20", 521),
        ("allen_cahn_1d", "box_1_tanh_20_20_20", 941),
        ("kovasznay_2d", "box_1_tanh_20_20", 543),
        ("taylor_green_2d", "box_1_tanh_20_20", 603),
        ("beltrami_3d", "box_1_tanh_28_28", 1068),
        ("multiscale_poisson_2d", "fourier_24_20.0_tanh_20_20", 1421),
        ("black_scholes_barenblatt_100d", "box_1_tanh_12", 1237),
    ],
)
def test_d_does_not_count_the_maps(name, network, count):
    problem = problems.get(name)
    assert networks.parameter_count(network, problem.inputs, problem.outputs) == count
    start = networks.initial_parameters(network, problem.inputs, problem.outputs, 0)
    assert sum(matrix.size for matrix in start) == count


@pytest.mark.parametrize(
    "name",
    [
        *("box_tanh_4", "box_0_tanh_4", "box_-1_tanh_4", "box_3.0_tanh_4"),
        *("fourier_24_tanh_4", "fourier_0_20.0_tanh_4", "fourier_24_0.0_tanh_4"),
        *("fourier_24_20_tanh_4", "fourier_24_20.0_box_3_tanh_4", "box_1_box_2_tanh_4"),
    ],
)
def test_a_wrong_map_is_refused(name):
    with pytest.raises(InvalidName, match=r"box_3_tanh_20_20|write|positive"):
        networks.parse(name)


def test_a_name_is_written_as_it_is_read():
    for name in ("box_1_fourier_24_20.0_tanh_20_20", "box_0.5_sin_4", "tanh_4"):
        assert str(networks.parse(name)) == name
