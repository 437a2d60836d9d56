"""A line search for the strong Wolfe conditions: bracket, then zoom.

Source: Nocedal and Wright, algorithms 3.5 and 3.6.

The constants, the interpolation and the order of decisions are those of torch.optim.LBFGS.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.control_flow import while_loop

SUFFICIENT, FLAT = 1e-4, 0.9  # c₁ and c₂ of the conditions
SHORTEST = 1e-9  # the smallest change of a parameter worth a trial
SEARCHING, BRACKETED, DONE = 0, 1, 2


class Point(NamedTuple):
    """The loss at θ + t d."""

    size: Tensor  # t
    loss: Tensor
    gradient: Tensor  # [D]
    slope: Tensor  # gradientᵀ d


class Bracketing(NamedTuple):
    """The search for an interval that holds a point with the conditions."""

    previous: Point
    current: Point
    status: Tensor
    iterations: int | Tensor


class Zooming(NamedTuple):
    """The interval, and which of its ends has the lower loss."""

    first: Point
    second: Point
    first_is_low: Tensor
    stuck: Tensor  # the last trial was close to an end
    done: Tensor
    iterations: int | Tensor


def strong_wolfe(
    evaluate: Callable[[Tensor], Point],
    start: Point,
    size: Tensor,
    longest: Tensor,
    budget: int | Tensor,
) -> tuple[Point, int | Tensor]:
    """Look for a point with the strong Wolfe conditions, or else the best one.

    Returns it and the number of evaluations.

    `start` is the point at t = 0, `size` the first t tried, `longest` the direction's
    largest entry: an interval that moves no parameter by SHORTEST is given up. After
    `budget` iterations the search ends. A loss that is not a number counts as infinite.
    """

    def look(size: Tensor) -> Point:
        return finite(evaluate(size))

    bracketing = bracket(look, start, size, budget)
    done = bracketing.status == DONE
    exhausted = torch.as_tensor(bracketing.iterations >= budget, device=done.device)
    first = choose(exhausted, start, choose(done, bracketing.current, bracketing.previous))
    second = bracketing.current
    stuck = torch.zeros_like(done)
    interval = Zooming(
        first, second, first.loss <= second.loss, stuck, done, bracketing.iterations
    )

    def goes_on(zooming: Zooming) -> Tensor:
        width = (zooming.second.size - zooming.first.size).abs() * longest
        return ~zooming.done & ~(width < SHORTEST) & (zooming.iterations < budget)

    end = while_loop(goes_on, lambda zooming: zoom(look, start, zooming), interval)
    return choose(end.first_is_low, end.first, end.second), end.iterations + 1


def bracket(
    evaluate: Callable[[Tensor], Point], start: Point, size: Tensor, budget: int | Tensor
) -> Bracketing:
    """Lengthen t until the loss rises, is flat enough, or slopes upwards."""

    def lengthen(last: Bracketing) -> Bracketing:
        t = last.current.size
        size = cubic(
            last.previous, last.current, t + 0.01 * (t - last.previous.size), 10 * t
        )
        current, iterations = evaluate(size), last.iterations + 1
        return Bracketing(
            last.current,
            current,
            judge(start, last.current, current, iterations),
            iterations,
        )

    def goes_on(bracketing: Bracketing) -> Tensor:
        return (bracketing.status == SEARCHING) & (bracketing.iterations < budget)

    current = evaluate(size)
    return while_loop(
        goes_on, lengthen, Bracketing(start, current, judge(start, start, current, 0), 0)
    )


def judge(
    start: Point, previous: Point, current: Point, iterations: int | Tensor
) -> Tensor:
    """Judge the newest point: go on, an interval is bracketed, or this is the point."""
    rises = is_high(start, current) | ((iterations > 1) & (current.loss >= previous.loss))
    bracketed = torch.where(current.slope >= 0, BRACKETED, SEARCHING)
    return torch.where(
        rises, BRACKETED, torch.where(is_flat(start, current), DONE, bracketed)
    )


def zoom(evaluate: Callable[[Tensor], Point], start: Point, last: Zooming) -> Zooming:
    """Try a point inside the interval, and keep the side that holds the conditions."""
    size, stuck = trial(last)
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
    first_is_low = torch.where(worse, first.loss <= second.loss, last.first_is_low)
    return Zooming(first, second, first_is_low, stuck, done, last.iterations + 1)


def trial(zooming: Zooming) -> tuple[Tensor, Tensor]:
    """Choose the next t, and say whether it is close to an end.

    The second time in a row it is moved inside by a tenth.
    """
    lower = torch.minimum(zooming.first.size, zooming.second.size)
    upper = torch.maximum(zooming.first.size, zooming.second.size)
    size, margin = cubic(zooming.first, zooming.second, lower, upper), 0.1 * (upper - lower)
    close = torch.minimum(upper - size, size - lower) < margin
    pushed = close & (zooming.stuck | (size >= upper) | (size <= lower))
    inside = torch.where(
        (size - upper).abs() < (size - lower).abs(), upper - margin, lower + margin
    )
    return torch.where(pushed, inside, size), close & ~pushed


def cubic(one: Point, other: Point, lower: Tensor, upper: Tensor) -> Tensor:
    """Minimize the cubic through two points with their slopes, within bounds.

    It is the bounds' middle where the cubic has no minimum.
    """
    ordered = one.size <= other.size
    left, right = choose(ordered, one, other), choose(ordered, other, one)
    d1 = left.slope + right.slope - 3 * (left.loss - right.loss) / (left.size - right.size)
    square = d1 * d1 - left.slope * right.slope
    d2 = torch.sqrt(torch.where(square >= 0, square, 0))
    share = (right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2)
    minimum = torch.minimum(
        torch.maximum(right.size - (right.size - left.size) * share, lower), upper
    )
    return torch.where(
        (square >= 0) & torch.isfinite(minimum), minimum, (lower + upper) / 2
    )


def finite(point: Point) -> Point:
    """Make the loss infinite where it, or the slope, is not a finite number."""
    usable = torch.isfinite(point.loss) & torch.isfinite(point.slope)
    return point._replace(loss=torch.where(usable, point.loss, torch.inf))


def is_high(start: Point, point: Point) -> Tensor:
    """Say whether the loss has not fallen enough (Armijo)."""
    return point.loss > start.loss + SUFFICIENT * point.size * start.slope


def is_flat(start: Point, point: Point) -> Tensor:
    """Say whether the slope has flattened enough."""
    return point.slope.abs() <= -FLAT * start.slope


def choose(condition: Tensor, one: Point, other: Point) -> Point:
    """Choose `one` where the condition holds, else `other`."""
    return Point(*(torch.where(condition, a, b) for a, b in zip(one, other, strict=True)))
