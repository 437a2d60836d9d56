"""A line search for the strong Wolfe conditions without a scale: bracket, then zoom.

Source: Nocedal and Wright, algorithms 3.5 and 3.6.

The order of decisions and the interpolation are those of torch.optim.LBFGS. Its absolute
constant is not: nothing here depends on the size of the loss or of the parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.solvers.control_flow import when, while_loop

SUFFICIENT, FLAT = 1e-4, 0.9  # c₁ and c₂ of the conditions
MOST = 25  # evaluations of a search
NARROW = 4  # times ε and the larger end: the width at which an interval is given up
SEARCHING, BRACKETED, DONE = 0, 1, 2


class Point(NamedTuple):
    """The loss at θ + t d."""

    size: Array  # t
    terms: Array  # of the loss [k]
    loss: Array  # φ(t), their sum
    gradient: Array  # [D]
    slope: Array  # φ′(t) = gradientᵀ d


class Bracketing(NamedTuple):
    """The search for an interval that holds a point with the conditions."""

    previous: Point
    current: Point
    status: Array
    evaluations: int | Array


class Zooming(NamedTuple):
    """The interval, and which of its ends has the lower loss."""

    first: Point
    second: Point
    first_is_low: Array
    near: Array  # the last trial was close to an end
    done: Array
    evaluations: int | Array


def strong_wolfe(
    evaluate: Callable[[Array], Point], start: Point, size: Array
) -> tuple[Point, int | Array]:
    """Look for a point with the strong Wolfe conditions, or else the best one.

    Returns it and the number of evaluations, at most MOST.

    `start` is the point at t = 0, `size` the first t tried. A loss that is not finite, or
    whose slope is not, counts as infinite.
    """

    def look(size: Array) -> Point:
        return finite(evaluate(size))

    bracketing = bracket(look, start, size)
    status, second = bracketing.status, bracketing.current
    first = choose(status == DONE, second, bracketing.previous)
    first = choose(status == SEARCHING, start, first)
    interval = Zooming(
        first,
        second,
        first.loss <= second.loss,
        jnp.zeros_like(status == DONE),
        status == DONE,
        bracketing.evaluations,
    )

    def goes_on(zooming: Zooming) -> Array:
        one, other = zooming.first.size, zooming.second.size
        narrow = NARROW * jnp.finfo(one.dtype).eps * jnp.maximum(one, other)
        wide = jnp.abs(other - one) > narrow
        return ~zooming.done & wide & (zooming.evaluations < MOST)

    end = while_loop(goes_on, lambda zooming: zoom(look, start, zooming), interval)
    return choose(end.first_is_low, end.first, end.second), end.evaluations


def bracket(evaluate: Callable[[Array], Point], start: Point, size: Array) -> Bracketing:
    """Lengthen t until the loss rises, is flat enough, or slopes upwards."""

    def lengthen(last: Bracketing) -> Bracketing:
        t = last.current.size
        longer = when(
            last.evaluations == 0,  # here too, so that one place alone evaluates
            lambda: size,
            lambda: cubic(
                last.previous, last.current, t + 0.01 * (t - last.previous.size), 10 * t
            ),
        )
        current, evaluations = evaluate(longer), last.evaluations + 1
        status = judge(start, last.current, current, evaluations)
        return Bracketing(last.current, current, status, evaluations)

    def goes_on(bracketing: Bracketing) -> Array:
        return (bracketing.status == SEARCHING) & (bracketing.evaluations < MOST)

    searching = jnp.zeros((), int)
    return while_loop(
        goes_on, lengthen, Bracketing(start, start, searching, jnp.zeros((), int))
    )


def judge(start: Point, previous: Point, current: Point, evaluations: int | Array) -> Array:
    """Judge the newest point: go on, an interval is bracketed, or this is the point."""
    rises = is_high(start, current) | ((evaluations > 2) & (current.loss >= previous.loss))
    bracketed = jnp.where(current.slope >= 0, BRACKETED, SEARCHING)
    return jnp.where(rises, BRACKETED, jnp.where(is_flat(start, current), DONE, bracketed))


def zoom(evaluate: Callable[[Array], Point], start: Point, last: Zooming) -> Zooming:
    """Try a point inside the interval, and keep the side that holds the conditions."""
    size, near = trial(last)
    new = evaluate(size)
    low, high = (
        choose(last.first_is_low, last.first, last.second),
        choose(last.first_is_low, last.second, last.first),
    )
    worse = is_high(start, new) | (new.loss >= low.loss)
    done = ~worse & is_flat(start, new)
    turned = ~worse & ~done & (new.slope * (high.size - low.size) >= 0)
    high, low = choose(worse, new, choose(turned, low, high)), choose(worse, low, new)
    first, second = (
        choose(last.first_is_low, low, high),
        choose(last.first_is_low, high, low),
    )
    first_is_low = jnp.where(worse, first.loss <= second.loss, last.first_is_low)
    return Zooming(first, second, first_is_low, near, done, last.evaluations + 1)


def trial(zooming: Zooming) -> tuple[Array, Array]:
    """Choose the next t, and say whether it is close to an end.

    The second time in a row it is moved inside by a tenth.
    """
    lower = jnp.minimum(zooming.first.size, zooming.second.size)
    upper = jnp.maximum(zooming.first.size, zooming.second.size)
    size, margin = cubic(zooming.first, zooming.second, lower, upper), 0.1 * (upper - lower)
    near = jnp.minimum(upper - size, size - lower) < margin
    pushed = near & (zooming.near | (size >= upper) | (size <= lower))
    inside = jnp.where(
        jnp.abs(size - upper) < jnp.abs(size - lower), upper - margin, lower + margin
    )
    return jnp.where(pushed, inside, size), near & ~pushed


def cubic(one: Point, other: Point, lower: Array, upper: Array) -> Array:
    """Minimize the cubic through two points with their slopes, within bounds.

    It is the bounds' middle where the cubic has no minimum, or an end no finite loss.
    """
    ordered = one.size <= other.size
    left, right = choose(ordered, one, other), choose(ordered, other, one)
    d1 = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.size - right.size)
    square = d1 * d1 - left.slope * right.slope
    d2 = jnp.sqrt(jnp.where(square >= 0, square, 0))
    share = (right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2)
    minimum = right.size - (right.size - left.size) * share
    minimum = jnp.minimum(jnp.maximum(minimum, lower), upper)
    return jnp.where((square >= 0) & jnp.isfinite(minimum), minimum, (lower + upper) / 2)


def finite(point: Point) -> Point:
    """Make the loss infinite where it, or the slope, is not a finite number."""
    usable = jnp.isfinite(point.loss) & jnp.isfinite(point.slope)
    return point._replace(loss=jnp.where(usable, point.loss, jnp.inf))


def is_high(start: Point, point: Point) -> Array:
    """Say whether the loss has not fallen enough (Armijo)."""
    return point.loss > start.loss + SUFFICIENT * point.size * start.slope


def is_flat(start: Point, point: Point) -> Array:
    """Say whether the slope has flattened enough."""
    return jnp.abs(point.slope) <= -FLAT * start.slope


def choose(condition: Array, one: Point, other: Point) -> Point:
    """Choose `one` where the condition holds, else `other`."""
    return Point(*(jnp.where(condition, a, b) for a, b in zip(one, other, strict=True)))
