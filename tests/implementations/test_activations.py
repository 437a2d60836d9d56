"""The sine and the cosine against many digits, for every size of number."""

from fractions import Fraction
from types import FunctionType

import mpmath
import numpy as np
import pytest
from made_up import coupled_2d
from small import frameworks, needs, needs_both, small

# 17 digits cancel beside a multiple of π/2, and 1e300 has 300 before its point
DIGITS = 400
GENERATOR = np.random.default_rng(0)


def multiples(numbers):
    """The float64 numbers nearest to multiples of π/2, and those beside them."""
    with mpmath.workdps(DIGITS):
        near = np.array([float(int(n) * mpmath.pi / 2) for n in numbers])
    return np.concatenate([near, np.nextafter(near, -np.inf), np.nextafter(near, np.inf)])


def signed(numbers):
    return np.concatenate([numbers, -numbers])


NUMBERS = {
    "one period": GENERATOR.uniform(-np.pi, np.pi, 2000),
    "a hundred": GENERATOR.uniform(-100, 100, 1000),
    "between the quarters": np.pi / 4 * np.arange(-99, 100, 2),
    "first multiples": multiples(np.arange(-200, 201)),
    "further multiples": multiples(signed(GENERATOR.integers(200, 31_800, 300))),
    "up to the bound": GENERATOR.uniform(-5e4, 5e4, 1000),
    "at the bound": np.nextafter(signed(np.full(1, 5e4)), [0, 0]),
    "beyond the bound": signed(np.array([5e4, 51_472.0, 1e5, 3e9, 1e22, 1e300])),
    "among large ones": np.array([0.3, 1e19, -7.0, 2.0]),
    "tiny": signed(10 ** GENERATOR.uniform(-300, -1, 300)),
}
jax_alone = needs["jax"]
every_range = pytest.mark.parametrize("numbers", NUMBERS)


def part_of(framework):
    case = small(framework, coupled_2d)
    return case, case.part("passes.activations")


def start(framework, z, sin_start=None):
    """Both at NumPy's numbers, by the framework's compiled `sin_start` or another."""
    case, part = part_of(framework)
    compiled = case.framework.backend.compile(sin_start or part.sin_start)
    return case.numpy(compiled(case.framework.backend.from_numpy(z)))


def last_places(z, both):
    """The largest error of the sine and of the cosine, in units in the last place."""
    errors = []
    with mpmath.workdps(DIGITS):
        for function, values in zip((mpmath.sin, mpmath.cos), both, strict=True):
            exact = [function(mpmath.mpf(float(number))) for number in z]
            units = np.spacing(np.abs(np.array([float(value) for value in exact])))
            errors += [
                abs(float((float(value) - right) / unit))
                for value, right, unit in zip(values, exact, units, strict=True)
            ]
    return max(errors)


@frameworks
@every_range
def test_the_error_is_at_most_two_units_in_the_last_place(framework, numbers):
    z = NUMBERS[numbers]
    assert last_places(z, start(framework, z)) <= 2


@frameworks
@pytest.mark.parametrize("rows", [1, 3])
def test_zero_keeps_its_sign_and_infinity_has_no_sine(framework, rows):
    sin, cos = start(framework, np.tile([0.0, -0.0, np.inf, -np.inf, np.nan], (rows, 1)))
    assert not sin[:, :2].any()
    assert (np.signbit(sin[:, :2]) == [False, True]).all()
    assert (cos[:, :2] == 1).all()
    assert np.isnan([sin[:, 2:], cos[:, 2:]]).all()
    sin, cos = start(framework, np.array([0.0, -0.0, 1.0]))
    assert (np.signbit(sin) == [False, True, False]).all()
    assert not sin[:2].any()


@frameworks
def test_single_precision_stays_so(framework):
    z = GENERATOR.uniform(-100, 100, 200).astype(np.float32)
    for values, right in zip(start(framework, z), (np.sin, np.cos), strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, right(z.astype(float)), atol=1e-6)


@needs_both
@every_range
def test_the_twins_agree(numbers):
    both = (start(framework, NUMBERS[numbers]) for framework in ("torch", "jax"))
    np.testing.assert_allclose(*both, rtol=1e-15, atol=0)


@jax_alone
@pytest.mark.parametrize("largest", [1.0, 1e19])
def test_rows_and_derivatives_are_as_good(largest):
    """Under vmap, where the bound is each row's, and by differentiation, twice."""
    import jax

    sin_start = part_of("jax")[1].sin_start
    z = np.array([[0.1, -2.0, 1.6], [3.0, 9.0, largest]])
    rows = [values.ravel() for values in start("jax", z, jax.vmap(sin_start))]
    assert last_places(z.ravel(), rows) <= 2

    def sum_of_sines(z):
        return sin_start(z)[0].sum()

    def slope(z):
        return jax.grad(sum_of_sines)(z)

    # cos, and −sin along ones, since each number has its own slope
    first, second = start("jax", z, lambda z: jax.jvp(slope, (z,), (z * 0 + 1,)))
    assert last_places(z.ravel(), (-second.ravel(), first.ravel())) <= 2


@jax_alone
def test_the_pieces_of_half_pi_are_exact_up_to_the_bound():
    part = part_of("jax")[1]
    most = round(part.LARGE * 2 / np.pi)
    for piece in part.HALF_PI[:2]:
        assert Fraction(most * piece) == most * Fraction(piece)
        assert Fraction(piece).numerator.bit_length() + most.bit_length() <= 53
    with mpmath.workdps(DIGITS):
        rest = mpmath.pi / 2 - mpmath.fsum(part.HALF_PI)
        assert abs(rest) < mpmath.mpf(2) ** -130


@jax_alone
def test_the_coefficients_are_those_of_the_interpolants():
    part = part_of("jax")[1]
    with mpmath.workdps(60):
        root = mpmath.sqrt
        for coefficients, function in (
            (part.SIN_COEFFICIENTS, lambda u: (mpmath.sin(root(u)) / root(u) - 1) / u),
            (part.COS_COEFFICIENTS, lambda u: (mpmath.cos(root(u)) - 1 + u / 2) / u**2),
        ):
            k = len(coefficients)
            angles = [mpmath.pi * (2 * i + 1) / (2 * k) for i in range(k)]
            u = [(mpmath.pi / 4) ** 2 * (1 + mpmath.cos(angle)) / 2 for angle in angles]
            powers = mpmath.matrix([[node**j for j in range(k)] for node in u])
            exact = mpmath.lu_solve(powers, mpmath.matrix([function(node) for node in u]))
            assert coefficients == tuple(float(coefficient) for coefficient in exact)


def two_pieces(part):
    return "HALF_PI", part.HALF_PI[:2]


def one_piece_with_every_bit(part):
    """As in z mod 2π of float64 numbers."""
    return "HALF_PI", (np.pi / 2,)


def a_sine_coefficient_off(part):
    first, *others = part.SIN_COEFFICIENTS
    return "SIN_COEFFICIENTS", (first * (1 + 1e-14), *others)


def a_cosine_coefficient_missing(part):
    return "COS_COEFFICIENTS", part.COS_COEFFICIENTS[:-1]


def no_bound(part):
    return "LARGE", np.inf


@jax_alone
@pytest.mark.parametrize(
    ("plant", "numbers"),
    [
        (two_pieces, "further multiples"),
        (one_piece_with_every_bit, "a hundred"),
        (a_sine_coefficient_off, "one period"),
        (a_cosine_coefficient_missing, "one period"),
        (no_bound, "beyond the bound"),
        (no_bound, "among large ones"),
    ],
)
def test_a_planted_error_is_noticed(monkeypatch, plant, numbers):
    part, z = part_of("jax")[1], NUMBERS[numbers]
    monkeypatch.setattr(part, *plant(part))
    # new functions, since JAX remembers what it traced of old ones
    monkeypatch.setattr(part, "small_sin_start", copy_of(part.small_sin_start))
    assert last_places(z, start("jax", z, copy_of(part.sin_start_on_cpu))) > 2


def copy_of(function):
    return FunctionType(function.__code__, function.__globals__)
