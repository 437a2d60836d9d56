"""The problems beyond the paper's: what is posed, and that the solution solves it.

Solutions are compared with others of 40 digits, and so are the jets that residuals read.
"""

from typing import NamedTuple

import numpy as np
import pytest
from exact_jets import EXACT, channels, values
from scipy.signal import argrelmax
from scipy.stats import qmc

from optbench import problems
from optbench.problems import boxes, domains, networks, seeds
from optbench.problems.equations import burgers, dispersive, elliptic
from optbench.problems.reference import Reference


def rng(seed=0):
    return np.random.default_rng(seed)


class Row(NamedTuple):
    axes: str
    outputs: int
    network: str
    parameters: int
    points: dict
    weights: tuple
    resample_every: int = 0
    march: int = 0


# of the specification; weights in the order of the terms
TABLE = {
    "burgers_1d": Row(
        *("tx", 1, "box_3_tanh_20_20_20", 921),
        {"interior": 5000, "initial": 200, "boundary": 200},
        (1, 100, 100),
    ),
    "convection_1d": Row(
        *("tx", 1, "box_10_sin_20_20", 521), {"interior": 2500, "initial": 300}, (1, 100)
    ),
    "reaction_1d": Row(
        *("tx", 1, "box_3_tanh_20_20", 501), {"interior": 1500, "initial": 200}, (1, 1)
    ),
    "wave_1d": Row(
        *("tx", 1, "box_3_tanh_20_20", 501),
        {"interior": 2000, "initial": 200, "initial_velocity": 200, "boundary": 200},
        (1, 1000, 1, 1000),
    ),
    "helmholtz_2d": Row(
        *("xy", 1, "box_1_sin_20_20", 501), {"interior": 1000, "boundary": 200}, (1, 1e4)
    ),
    "multiscale_poisson_2d": Row(
        *("xy", 1, "fourier_24_20.0_tanh_20_20", 1421),
        {"interior": 4500, "boundary": 800},
        (1, 1e5),
    ),
    "nonlinear_poisson_2d": Row(
        *("xy", 1, "box_1_sin_20_20", 501), {"interior": 1000, "boundary": 200}, (1, 1e4)
    ),
    "fisher_kpp_1d": Row(
        *("tx", 1, "tanh_20_20", 501),
        {"interior": 1500, "initial": 200, "boundary": 100},
        (1, 1, 1),
    ),
    "allen_cahn_1d": Row(
        *("tx", 1, "box_1_tanh_20_20_20", 941),
        {"interior": 5000, "initial": 800},
        (1, 100),
        resample_every=20,
    ),
    "kdv_1d": Row(
        *("tx", 1, "box_3_tanh_20_20_20", 921),
        {"interior": 5000, "initial": 400, "boundary": 300, "slope": 150},
        (1, 1, 1, 1),
        resample_every=20,
        march=100,
    ),
    "kuramoto_sivashinsky_1d": Row(
        *("tx", 1, "tanh_20_20", 501),
        {"interior": 1500, "initial": 200, "boundary": 100, "slope": 100},
        (1, 1, 1, 1),
    ),
    "nls_1d": Row(
        *("tx", 2, "box_3_tanh_20_20_20", 942),
        {"interior": 3000, "initial": 400, "boundary": 200},
        (1, 1, 1),
        resample_every=20,
    ),
    "kovasznay_2d": Row(
        *("xy", 3, "box_1_tanh_20_20", 543), {"interior": 500, "boundary": 200}, (1, 1)
    ),
    "taylor_green_2d": Row(
        *("txy", 3, "box_1_tanh_20_20", 603),
        {"interior": 500, "initial": 200, "pressure": 50},
        (1, 1, 1),
    ),
    "beltrami_3d": Row(
        *("txyz", 4, "box_1_tanh_28_28", 1068),
        {"interior": 900, "initial": 300, "boundary": 600},
        (1, 100, 100),
    ),
    "biharmonic_2d": Row(
        *("xy", 1, "box_1_tanh_20_20", 501),
        {"interior": 800, "boundary": 150, "normal": 150},
        (1, 1e4, 100),
    ),
    "black_scholes_barenblatt_10d": Row(
        *(["t", *(f"x{i}" for i in range(1, 11))], 1, "tanh_20_20", 681),
        {"interior": 900, "terminal": 200, "boundary": 300},
        (1, 1, 1),
    ),
    "black_scholes_barenblatt_100d": Row(
        *(["t", *(f"x{i}" for i in range(1, 101))], 1, "box_1_tanh_12", 1237),
        {"interior": 300, "terminal": 600, "boundary": 1500},
        (1, 1, 1),
    ),
}
# smallest and largest values of the inputs; of many assets the first two
BOUNDS = {
    "burgers_1d": ((0, -1), (1, 1)),
    "convection_1d": ((0, 0), (1, 2 * np.pi)),
    "reaction_1d": ((0, 0), (1, 2 * np.pi)),
    "wave_1d": ((0, 0), (1, 1)),
    "helmholtz_2d": ((-1, -1), (1, 1)),
    "multiscale_poisson_2d": ((0, 0), (1, 1)),
    "nonlinear_poisson_2d": ((0, 0), (1, 1)),
    "fisher_kpp_1d": ((0, -5), (1, 10)),
    "allen_cahn_1d": ((0, -1), (1, 1)),
    "kdv_1d": ((0, 0), (5, 20)),
    "kuramoto_sivashinsky_1d": ((0, -20), (4, 20)),
    "nls_1d": ((0, -5), (np.pi / 2, 5)),
    "kovasznay_2d": ((-0.5, -0.5), (1, 1.5)),
    "taylor_green_2d": ((0, 0, 0), (1, 2 * np.pi, 2 * np.pi)),
    "beltrami_3d": ((0, -1, -1, -1), (1, 1, 1, 1)),
    "biharmonic_2d": ((0, 0), (1, 1)),
    "black_scholes_barenblatt_10d": ((0, *[0.5] * 10), (1, *[1.5] * 10)),
    "black_scholes_barenblatt_100d": ((0, *[0.5] * 100), (1, *[1.5] * 100)),
}
AFFINE = (
    *("convection_1d", "wave_1d", "helmholtz_2d", "multiscale_poisson_2d"),
    *("biharmonic_2d", "black_scholes_barenblatt_10d", "black_scholes_barenblatt_100d"),
)
PERIODIC = {
    "convection_1d": {1: (2 * np.pi, 1)},
    "allen_cahn_1d": {1: (2, 1)},
    "taylor_green_2d": {1: (2 * np.pi, 1), 2: (2 * np.pi, 1)},
}
# S of the terms
CHANNELS = {
    "burgers_1d": (4, 1, 1),
    "wave_1d": (5, 1, 2, 1),
    "kdv_1d": (5, 1, 1, 2),
    "kuramoto_sivashinsky_1d": (6, 1, 1, 2),
    "biharmonic_2d": (17, 1, 2),
    "helmholtz_2d": (4, 1),
    "beltrami_3d": (6, 1, 1),
}
every = pytest.mark.parametrize("name", TABLE)
every_term = pytest.mark.parametrize(
    ("name", "term"), [(name, term) for name, row in TABLE.items() for term in row.points]
)


@every
def test_problem_is_that_of_the_table(name):
    problem, row = problems.get(name), TABLE[name]
    assert (problem.name, problem.dim, problem.axes) == (name, len(row.axes), (*row.axes,))
    assert problem.outputs == row.outputs
    assert list(problem.points.items()) == list(row.points.items())  # in this order
    assert tuple(problem.weights.values()) == row.weights
    assert (problem.resample_every, problem.march) == (row.resample_every, row.march)
    assert problem.sampling == "sobol"
    assert problem.periodic == PERIODIC.get(name, {})
    np.testing.assert_array_equal(problem.bounds, BOUNDS[name])
    assert problem.affine is (name in AFFINE)


@every
def test_default_network_has_the_tables_parameters(name):
    problem, row = problems.get(name), TABLE[name]
    assert problem.networks[0] == row.network
    size = row.network, problem.inputs, problem.outputs
    assert networks.parameter_count(*size) == row.parameters


@pytest.mark.parametrize("name", CHANNELS)
def test_operators_read_so_many_channels(name):
    terms = problems.get(name).terms.values()
    assert tuple(term.operator.channels for term in terms) == CHANNELS[name]


def test_they_are_listed_after_the_papers():
    assert problems.names()[7:] == [*TABLE]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("burgers_2d", "burgers: the dimension must be 1, not 2"),
        ("helmholtz_1d", "helmholtz: the dimension must be 2, not 1"),
        ("beltrami_2d", "beltrami: the dimension must be 3, not 2"),
        ("kdv_0d", "kdv: the dimension must be 1, not 0"),
        ("black_scholes_barenblatt_0d", "the dimension must be 1 to 9999, not 0"),
    ],
)
def test_a_dimension_that_there_is_not_is_one_line(name, what):
    with pytest.raises(problems.InvalidName, match=what) as error:
        problems.get(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("dim", "network"), [(1, "tanh_20_20"), (60, "box_1_tanh_12")])
def test_any_number_of_assets_is_had(dim, network):
    problem = problems.get(f"black_scholes_barenblatt_{dim}d")
    assert (problem.dim, problem.networks[0]) == (1 + dim, network)


# -- the solution solves it --


@pytest.mark.parametrize("name", EXACT)
def test_solution_is_that_of_40_digits(name):
    problem = problems.get(name)
    lower, upper = problem.bounds
    inside = lower + (upper - lower) * rng().random((12, problem.dim))
    inside[:2, 0] = lower[0], upper[0]
    exact = values(EXACT[name], inside)
    np.testing.assert_allclose(problem.solution(inside), exact, rtol=2e-13, atol=1e-14)


def summands(operator, jet, x, y):
    """The largest change [n, r] of a residual without one channel of the jet."""
    whole = operator.apply(operator.jet(jet), x, y)
    sizes = [np.abs(operator.apply(operator.jet(jet), x, 0 * y) - whole)]
    for channel in range(len(jet)):
        without = jet * (np.arange(len(jet)) != channel)[:, None, None]
        sizes.append(np.abs(operator.apply(operator.jet(without), x, y) - whole))
    return np.max(sizes, axis=0)


def residual(name, term, seed=1, n=3):
    """The residual [n, r] of the 40-digit solution at a few points, and its summands."""
    term = problems.get(name).terms[term]
    x, y = term.sample(rng(seed), n)
    jet = channels(EXACT[name], term.operator, x)
    return (
        term.operator.apply(term.operator.jet(jet), x, y),
        summands(term.operator, jet, x, y),
    )


@pytest.mark.parametrize("name", EXACT)
def test_solution_has_no_residual(name):
    r, sizes = residual(name, "interior")
    assert r.shape == sizes.shape == (3, problems.get(name).outputs)
    assert (sizes > 0).all()
    assert (np.abs(r) <= 1e-12 * sizes).all()


@pytest.mark.parametrize(
    ("name", "term"),
    [
        (name, term)
        for name in EXACT
        if name in TABLE
        for term in TABLE[name].points
        if term != "interior"
    ],
)
def test_data_are_the_solutions(name, term):
    r, sizes = residual(name, term, n=9)
    assert (np.abs(r) <= 1e-12 * np.maximum(sizes, 1)).all()


@every_term
def test_a_residual_sees_the_jet_and_is_compared_with_its_target(name, term):
    problem = problems.get(name)
    term = problem.terms[term]
    x, y = term.sample(rng(2), 5)
    shape = term.operator.channels, 5, problem.outputs
    jet = term.operator.jet(rng(3).standard_normal(shape))
    r, more = (term.operator.apply(jet, x, target) for target in (y, y + 2.0))
    np.testing.assert_allclose(r - more, 2.0, rtol=1e-9)
    assert (np.abs(r + y) > 1e-6).all()


@pytest.mark.parametrize(
    ("name", "term", "jet", "expected"),
    [
        # u = 2, u_t = 3, u_xx = 5 below u_x = 11; y = 7
        ("allen_cahn_1d", "interior", (2, 3, 11, 5), 3 - 5e-4 - 5 * (2 - 8) - 7),
        ("wave_1d", "initial_velocity", (2, 3), 3 - 7),
        ("kdv_1d", "slope", (2, 3), 3 - 7),
        ("kuramoto_sivashinsky_1d", "slope", (2, 3), 3 - 7),
        ("biharmonic_2d", "normal", (2, 3), 3 - 7),
    ],
)
def test_residual_is_that_by_hand(name, term, jet, expected):
    operator = problems.get(name).terms[term].operator
    x, y = np.zeros((1, 2)), np.full((1, 1), 7.0)
    numbers = np.array(jet, dtype=float)[:, None, None]
    assert operator.apply(operator.jet(numbers), x, y) == pytest.approx(expected)


def test_a_plates_normal_points_outward_on_all_four_edges():
    term = problems.get("biharmonic_2d").terms["normal"]
    x, _ = term.sample(rng(13), 8)
    (line,) = term.operator.layout.lines
    expected = np.repeat([[-1, 0], [1, 0], [0, -1], [0, 1]], 2, axis=0)
    np.testing.assert_array_equal(np.stack(line.direction(x), 1), expected)


@pytest.mark.medium
@every_term
def test_residuals_are_the_same_in_every_framework(name, term):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    problem = problems.get(name)
    operator, sample = problem.terms[term].operator, problem.terms[term].sample
    x, y = sample(rng(4), 5)
    jet = rng(5).standard_normal((operator.channels, 5, problem.outputs))
    expected = operator.apply(operator.jet(jet), x, y)
    with jax.enable_x64(True):
        theirs = operator.apply(
            operator.jet(jax.numpy.asarray(jet)),
            *map(jax.numpy.asarray, (x, y)),
            jax.numpy.concatenate,
        )
    np.testing.assert_allclose(theirs, expected, rtol=1e-13, atol=1e-13)
    theirs = operator.apply(
        operator.jet(torch.from_numpy(jet)), *map(torch.from_numpy, (x, y)), torch.cat
    )
    np.testing.assert_allclose(theirs, expected, rtol=1e-13, atol=1e-13)


# -- where points lie --


@every_term
def test_points_are_in_the_box_and_on_their_faces(name, term):
    problem = problems.get(name)
    x, _ = problem.terms[term].sample(rng(6), 401)
    lower, upper = problem.bounds
    assert ((x >= lower) & (x <= upper)).all()
    on_face = (x == lower) | (x == upper)
    space = on_face[:, [axis != "t" for axis in problem.axes]]
    fixed = {
        "interior": ~on_face.any(1),
        **{
            initial: (x[:, 0] == lower[0]) & (on_face.sum(1) == 1)
            for initial in ("initial", "initial_velocity")
        },
        "terminal": (x[:, 0] == upper[0]) & (on_face.sum(1) == 1),
        **dict.fromkeys(("boundary", "slope", "normal"), space.sum(1) == 1),
        "pressure": (x[:, 1:] == 0).all(1),
    }
    assert fixed[term].all()


@pytest.mark.parametrize(
    "name", [name for name, row in TABLE.items() if "boundary" in row.points]
)
def test_faces_share_sobols_points_evenly(name):
    """A sequence goes face by face, x low, x high, …; the first faces have one more."""
    problem = problems.get(name)
    region = problem.terms["boundary"].region
    space = [axis for axis, known in enumerate(problem.axes) if known != "t"]
    unit = qmc.Sobol(region.free, rng=rng(7)).random(512)
    x = region.place(unit)
    counts = [
        np.flatnonzero(x[:, axis] == end[axis]) for axis in space for end in problem.bounds
    ]
    assert region.free == problem.dim - 1
    np.testing.assert_array_equal(np.concatenate(counts), np.arange(512))
    sizes = np.array(list(map(len, counts)))
    assert (np.diff(sizes) <= 0).all()
    assert sizes[0] - sizes[-1] <= 1


def test_slopes_of_solitons_are_asked_for_at_the_right_end_alone():
    x, _ = problems.get("kdv_1d").terms["slope"].sample(rng(8), 50)
    assert (x[:, 1] == 20).all()


def test_a_shocks_slopes_are_asked_for_at_both_ends():
    x, _ = problems.get("kuramoto_sivashinsky_1d").terms["slope"].sample(rng(8), 50)
    np.testing.assert_array_equal(x[:, 1], np.repeat([-20, 20], 25))


def test_burgers_points_are_denser_at_the_layer_and_errors_are_taken_at_uniform_ones():
    problem = problems.get("burgers_1d")
    x, _ = problem.interior.sample(rng(9), 40_000)
    near = np.mean(np.abs(x[:, 1]) < 0.01)
    # in the middle dx/dv = 4/sinh 4 = 0.147: of so many uniform ones, 0.01
    assert near == pytest.approx(0.01 * np.sinh(4) / 4, rel=0.05)
    known, _ = seeds.evaluation_points(problem, "report")
    assert np.abs(np.mean(np.abs(known[:, 1]) < 0.25) - 0.25) < 0.01
    assert known.shape == (50_000, 2)


# -- what is known of the solutions --


def test_norms_are_those_of_quadrature():
    for name, panels in {
        "convection_1d": (16, 8),
        "reaction_1d": (6, 12),
        "wave_1d": (8, 8),
        "helmholtz_2d": (2, 8),
        "multiscale_poisson_2d": (8, 8),
        "nonlinear_poisson_2d": (6, 6),
        "fisher_kpp_1d": (3, 12),
        "kdv_1d": (16, 60),
        "kuramoto_sivashinsky_1d": (3, 20),
        "nls_1d": (12, 20),
        "kovasznay_2d": (3, 5),
        "taylor_green_2d": (1, 3, 3),
        "beltrami_3d": (2, 1, 1, 1),
        "biharmonic_2d": (3, 3),
        "black_scholes_barenblatt_1d": (1, 1),
        "black_scholes_barenblatt_2d": (1, 1, 1),
    }.items():
        problem = problems.get(name)
        norm = boxes.root_mean_square(problem.solution, problem.bounds, panels)
        assert problem.solution_norm == pytest.approx(norm, rel=1e-12), name


def test_quadrature_by_panels_is_that_of_one_long_rule():
    problem = problems.get("kovasznay_2d")
    nodes, weights = np.polynomial.legendre.leggauss(60)
    lower, upper = problem.bounds
    grid = [
        low + (high - low) * (nodes + 1) / 2 for low, high in zip(lower, upper, strict=True)
    ]
    x = np.stack(np.meshgrid(*grid, indexing="ij"), -1).reshape(-1, 2)
    square = np.outer(weights, weights).ravel() / 4 @ (problem.solution(x) ** 2).sum(1)
    assert problem.solution_norm == pytest.approx(np.sqrt(square), rel=1e-13)


def test_the_norm_of_burgers_solution_is_that_of_quadrature():
    def stretched(x):
        """u* with the square root of dx/dv, where x = sinh(6v)/sinh 6 at (t, v)."""
        space = np.sinh(6 * x[:, 1:]) / np.sinh(6)
        width = 6 * np.cosh(6 * x[:, 1:]) / np.sinh(6)
        return burgers.solution(np.hstack([x[:, :1], space])) * np.sqrt(width)

    norm = boxes.root_mean_square(stretched, ((0, 0), (1, 1)), (10, 10))  # odd: half of it
    assert problems.get("burgers_1d").solution_norm == pytest.approx(norm, rel=1e-12)


@every
def test_norms_are_those_of_points(name):
    problem = problems.get(name)
    x = domains.box(rng(10), 4000, *problem.bounds)
    norm = np.sqrt((problem.solution(x) ** 2).sum(1).mean())
    assert problem.solution_norm == pytest.approx(norm, rel=0.05)


@every
def test_solutions_are_finite_at_the_ends_of_the_box(name):
    problem = problems.get(name)
    corners = np.random.default_rng(11).integers(2, size=(64, problem.dim))
    x = np.where(corners, *problem.bounds[::-1])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert np.isfinite(problem.solution(x)).all()


def test_crests_of_the_solitons_start_at_2_and_6():
    x = np.linspace(0, 20, 20_001)
    u, slope = (part[:, 0] for part in dispersive.solitons(np.column_stack([0 * x, x])))
    (crests,) = argrelmax(u)
    np.testing.assert_allclose(x[crests], [2, 6], atol=0.1)
    np.testing.assert_allclose(u[crests], [3, 1], rtol=0.02)  # half their speeds, k²/2
    np.testing.assert_allclose(slope[1:-1], (u[2:] - u[:-2]) / 2e-3, atol=1e-4)


def test_the_fast_soliton_overtakes_the_slow_one():
    x = np.linspace(0, 20, 2001)
    u = dispersive.solitons(np.column_stack([np.full_like(x, 2.5), x]))[0][:, 0]
    forward = 2 * np.log((np.sqrt(6) + np.sqrt(2)) / (np.sqrt(6) - np.sqrt(2))) / np.sqrt(6)
    assert x[u.argmax()] == pytest.approx(2 + 6 * 2.5 + forward, abs=0.02)


def test_a_pulse_starts_as_2_sech_and_comes_back_after_its_period():
    x = np.linspace(-5, 5, 101)
    start, end = (
        dispersive.breather(np.column_stack([np.full_like(x, t), x]))
        for t in (0, np.pi / 2)
    )
    np.testing.assert_allclose(start, np.column_stack([2 / np.cosh(x), 0 * x]), atol=1e-14)
    np.testing.assert_allclose(np.hypot(*end.T), start[:, 0], rtol=1e-13)


def test_burgers_starts_as_a_sine_and_is_odd():
    x = np.linspace(-1, 1, 41)
    start = burgers.solution(np.column_stack([0 * x, x]))[:, 0]
    np.testing.assert_allclose(start, -np.sin(np.pi * x), atol=1e-15)
    u = burgers.solution(np.column_stack([np.full_like(x, 0.7), x]))[:, 0]
    np.testing.assert_allclose(u, -u[::-1], atol=1e-14)


def test_vortices_keep_their_momentum_and_lose_their_energy():
    problem = problems.get("taylor_green_2d")
    x = np.stack(np.meshgrid(*[np.arange(16) * np.pi / 8] * 2), -1).reshape(-1, 2)
    for t in (0.0, 1.0):
        u = problem.solution(np.column_stack([np.full(len(x), t), x]))
        np.testing.assert_allclose(u.mean(0), 0, atol=1e-15)  # of the pressure too
        energy = (u[:, :2] ** 2).sum(1).mean() / 2
        assert energy == pytest.approx(np.exp(-0.04 * t) / 4)


def test_the_best_function_of_time_alone_misses_a_hundred_assets_by_5_percent():
    problem = problems.get("black_scholes_barenblatt_100d")
    x = rng(12).uniform(*problem.bounds, (20_000, 101))
    u = problem.solution(x)
    t = np.exp(0.21 * (1 - x[:, :1])) * 13 / 12  # the mean over x
    linear = t + np.exp(0.21 * (1 - x[:, :1])) * 2 * (x[:, 1:] - 1).mean(1, keepdims=True)
    scale = np.linalg.norm(u)
    assert np.linalg.norm(u - t) / scale == pytest.approx(5.4e-2, rel=0.03)
    assert np.linalg.norm(u - linear) / scale == pytest.approx(6.9e-3, rel=0.03)


def test_powers_of_e_are_its_exponential():
    u = np.linspace(-3, 3, 61)[:, None]
    jet = problems.get("nonlinear_poisson_2d").interior.operator.jet
    read = jet(np.stack([u, 0 * u, 0 * u, 0 * u]))
    r = elliptic.nonlinear_residual(read, u, 0 * u)
    np.testing.assert_allclose(r, -np.exp(u), rtol=1e-15)


# -- Allen and Cahn's reference --


def split_steps(steps, end, points=4096):
    """u(end, x) of Allen and Cahn by Strang's splitting, on an even grid of [-1, 1)."""
    h = end / steps
    x = -1 + 2 * np.arange(points) / points
    spread = np.exp(-1e-4 * (np.pi * np.arange(points // 2 + 1)) ** 2 * h)
    u = x**2 * np.cos(np.pi * x)

    def react(u, time):  # u_t = 5(u - u³) exactly
        return u / np.sqrt(u**2 + (1 - u**2) * np.exp(-10 * time))

    u = react(u, h / 2)
    for step in range(steps):
        u = np.fft.irfft(spread * np.fft.rfft(u))
        u = react(u, h if step < steps - 1 else h / 2)
    return x, u


@pytest.mark.parametrize("t", [0.05, 0.4, 1.0])
def test_reference_is_that_of_split_steps(t):
    solution = problems.get("allen_cahn_1d").solution
    x, coarse = split_steps(200, t)
    _, fine = split_steps(400, t)
    expected = (4 * fine - coarse) / 3  # of second order
    u = solution(np.column_stack([np.full_like(x, t), x]))[:, 0]
    assert np.sqrt(np.mean((u - expected) ** 2)) < 2e-6


def test_reference_starts_as_it_must_and_is_even():
    problem = problems.get("allen_cahn_1d")
    assert isinstance(problem.solution, Reference)
    x = problem.solution.axes[1]
    np.testing.assert_array_equal(x, -x[::-1])
    np.testing.assert_array_equal(problem.solution.values, problem.solution.values[:, ::-1])
    start = problem.solution(np.column_stack([0 * x, x]))[:, 0]
    np.testing.assert_allclose(start, x**2 * np.cos(np.pi * x), atol=1e-14)
    between = np.linspace(-1, 1, 5001)
    start = problem.solution(np.column_stack([0 * between, between]))[:, 0]
    np.testing.assert_allclose(start, between**2 * np.cos(np.pi * between), atol=1e-6)


def test_reference_states_its_accuracy_and_is_small():
    problem = problems.get("allen_cahn_1d")
    assert problem.floor == pytest.approx(1.2e-7, rel=0.1)
    assert problem.solution.interpolation_error() < problem.floor
    assert problem.solution.source.path.stat().st_size < 1e6
    assert [len(axis) for axis in problem.solution.axes] == [201, 801]
    assert problem.data[0].path.name == "allen_cahn_1d.npz"


@pytest.mark.medium
def test_the_norm_of_the_reference_is_that_of_quadrature():
    problem = problems.get("allen_cahn_1d")
    time, space = problem.solution.axes
    nodes, weights = np.polynomial.legendre.leggauss(3)

    def rule(axis):
        width = np.diff(axis)[:, None]
        return (axis[:-1, None] + width * (nodes + 1) / 2).ravel(), (
            width * weights / 2
        ).ravel()

    (t, over_time), (x, over_space) = rule(time), rule(space[400:])
    square = 0.0
    for moment, weight in zip(t, over_time, strict=True):
        u = problem.solution(np.column_stack([np.full_like(x, moment), x]))[:, 0]
        square += weight * (over_space @ u**2)
    assert problem.solution_norm == pytest.approx(np.sqrt(square), rel=1e-7)
