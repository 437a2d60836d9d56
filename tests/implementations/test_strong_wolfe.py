"""The strong Wolfe search against torch.optim's, where no absolute constant bites."""

from functools import cache

import numpy as np
import pytest
from small import frameworks, small

from optbench import problems

torch = pytest.importorskip("torch")

FUNCTIONS = {
    "bowl": (lambda t: (t - 1.0) ** 2, lambda t: 2 * (t - 1.0)),
    "valley": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "ripples": (
        lambda t: 0.1 * t * t - np.sin(3 * t) - t,
        lambda t: 0.2 * t - 3 * np.cos(3 * t) - 1,
    ),
    "kink": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "cliff": (lambda t: np.exp(5 * (t - 2)) - t, lambda t: 5 * np.exp(5 * (t - 2)) - 1),
    # no numbers beyond: the loss is none, or its slope alone, or the loss is infinite
    "root": (
        lambda t: np.sqrt(1.5 - t) - t if t < 1.5 else np.nan,
        lambda t: -0.5 / np.sqrt(1.5 - t) - 1 if t < 1.5 else np.nan,
    ),
    "corner": (lambda t: -t, lambda t: -1.0 if t < 1.5 else np.nan),
    "wall": (lambda t: -t if t < 1.5 else np.inf, lambda t: -1.0),
    "nowhere": (lambda t: 0.0 if t == 0 else np.nan, lambda t: -1.0),
}


@frameworks
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("size", [1e-4, 0.03, 0.6, 2.5, 40.0])
def test_the_search_is_torch_s_without_its_constant(framework, function, size):
    from torch.optim.lbfgs import _strong_wolfe

    value, slope = FUNCTIONS[function]

    def theirs(x, t, d):
        loss, gradient = float(value(float(t))), float(slope(float(t)))
        usable = np.isfinite(loss) and np.isfinite(gradient)
        return loss if usable else np.inf, torch.tensor(
            # not a number, where it would give their cubic a minimum that is none
            [gradient if usable else np.nan],
            dtype=torch.float64,
        )

    f, g = theirs(None, 0.0, None)
    one = torch.ones(1, dtype=torch.float64)
    _, _, expected, evaluations = _strong_wolfe(
        theirs, None, size, one, f, g, g.dot(one), tolerance_change=0, max_ls=24
    )
    point_at_end, count = search(framework, function)(size)
    assert int(count) == evaluations
    assert np.isfinite(float(point_at_end.loss))
    assert float(point_at_end.size) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


@frameworks
def test_the_third_trial_may_not_rise_above_the_second_but_the_second_above_the_first(
    framework,
):
    case = small(framework, problems.get("poisson_sine_2d"))
    put, part = case.framework.backend.from_numpy, case.part("solvers.strong_wolfe")

    def point(t, loss, slope):
        t, loss, slope = (put(np.array(number)) for number in (t, loss, slope))
        return part.Point(t, loss[None], loss, slope[None], slope)

    start, lower, higher = (
        point(*numbers)
        for numbers in ((0.0, 0.0, -10.0), (0.6, -6.0, -10.0), (6.0, -5.0, -9.5))
    )
    found = [int(part.judge(start, lower, higher, evaluations)) for evaluations in (2, 3)]
    assert found == [part.SEARCHING, part.BRACKETED]


@cache
def search(framework, function):
    """Our search along a function, by its first size, compiled once."""
    value, slope = FUNCTIONS[function]
    case = small(framework, problems.get("poisson_sine_2d"))
    put, part = case.framework.backend.from_numpy, case.part("solvers.strong_wolfe")

    def point(t):
        t = float(t)
        numbers = (np.array(float(v)) for v in (t, value(t), slope(t)))
        t, loss, gradient = map(put, numbers)
        return part.Point(t, loss.reshape(1), loss, gradient.reshape(1), gradient)

    if framework == "jax":
        point = traceable(value, slope, part.Point)

    def along(size):
        return part.strong_wolfe(point, point(put(np.array(0.0))), size)

    along = case.framework.backend.compile(along)
    return lambda size: along(put(np.array(size)))


def traceable(value, slope, Point):
    """The same function for a compiled loop."""
    import jax

    def call(t):
        return tuple(np.array(float(f(float(t)))) for f in (value, slope))

    def point(t):
        shape = jax.ShapeDtypeStruct((), np.float64)
        loss, gradient = jax.pure_callback(call, (shape, shape), t)
        return Point(t, loss.reshape(1), loss, gradient.reshape(1), gradient)

    return point
