"""Conjugate gradients, with two rules that end them.

Truncated: where the quadratic model ½ xᵀA x − bᵀx hardly falls any more, the rule of
Martens (2010), section 4.4. Iterates are kept at few iterations, ever further apart:
Hessian-free looks back along them, and the memory is bounded.

Preconditioned: where the residual is small, or A has no curvature along a direction.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.control_flow import while_loop

SPACING = 1.3  # between iterations whose iterates are kept (Martens 2010, section 4.6)
# of the model's fall, the share below which the last iterations' part of it ends the search
PROGRESS = 5e-4
WINDOW = 10  # how many iterations that are at least; a tenth of all from the hundredth on
TOLERANCE = 1e-5  # ‖A x − b‖ / ‖b‖ of a solved system


class Iterate(NamedTuple):
    """Where an iteration has come to."""

    iteration: int | Tensor
    x: Tensor  # [D]
    residual: Tensor  # A x − b [D]
    square: Tensor  # its squared norm, residual · P⁻¹ residual with a preconditioner P
    direction: Tensor  # where the next iteration goes [D]


class Solution(NamedTuple):
    """Where the truncated iterations have come to, and their way."""

    at: Iterate
    models: Tensor  # the quadratic model at every iteration so far [iterations at most + 1]
    iterates: Tensor  # the kept ones in order, the last at `slot(iteration, …)` [slots, D]


class Solved(NamedTuple):
    """Where the preconditioned iterations have come to."""

    at: Iterate
    flat: Tensor  # whether A has no curvature along the next direction


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, most_iterations: int
) -> Solution:
    """Solve A x = b from a start, with v ↦ A v [D] and b [D].

    It ends on a residual that is not a number, too.
    """
    models = target.new_zeros(most_iterations + 1)
    iterates = target.new_zeros(slots(most_iterations), len(target))
    begin = kept(
        Solution(first(product, target, start), models, iterates),
        target,
        most_iterations,
    )
    solved = TOLERANCE * torch.sqrt(target.dot(target))

    def goes_on(last: Solution) -> Tensor:
        # not ≥: a gradient of zero is solved by zero
        return (
            (last.at.iteration < most_iterations)
            & (torch.sqrt(last.at.square) > solved)
            & ~stands(last)
        )

    def iterate(last: Solution) -> Solution:
        at = following(last.at, product(last.at.direction))
        return kept(last._replace(at=at), target, most_iterations)

    return while_loop(goes_on, iterate, begin)


def preconditioned(
    product: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    tolerance: Tensor,
    most_iterations: int,
) -> Solved:
    """Solve A x = b from a start, with v ↦ A v, v ↦ P⁻¹ v and b [D], to ‖A x − b‖.

    It ends before an iteration along a direction p with pᵀA p ≤ 0, and on a residual that
    is not a number, too.
    """

    def goes_on(last: Solved) -> Tensor:
        left = torch.linalg.vector_norm(last.at.residual)
        return (left > tolerance) & ~last.flat & (last.at.iteration < most_iterations)

    def iterate(last: Solved) -> Solved:
        image = product(last.at.direction)
        flat = ~(last.at.direction.dot(image) > 0)
        pairs = zip(last.at, following(last.at, image, precondition), strict=True)
        return Solved(Iterate(*(torch.where(flat, old, new) for old, new in pairs)), flat)

    begin = Solved(
        first(product, target, start, precondition), target.new_zeros((), dtype=torch.bool)
    )
    return while_loop(goes_on, iterate, begin)


def same(residual: Tensor) -> Tensor:
    """Precondition with nothing, P = I."""
    return residual


def first(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    precondition: Callable[[Tensor], Tensor] = same,
) -> Iterate:
    """Begin at a start."""
    residual = product(start) - target
    ahead = precondition(residual)
    return Iterate(0, start, residual, residual.dot(ahead), -ahead)


def following(
    last: Iterate, image: Tensor, precondition: Callable[[Tensor], Tensor] = same
) -> Iterate:
    """Do an iteration; `image` is A times its direction."""
    size = last.square / last.direction.dot(image)
    residual = last.residual + size * image
    ahead = precondition(residual)
    square = residual.dot(ahead)
    direction = square / last.square * last.direction - ahead
    x = last.x + size * last.direction
    return Iterate(last.iteration + 1, x, residual, square, direction)


def slots(most_iterations: int) -> int:
    """Count the iterates that are kept at most."""
    return len(staying(most_iterations)) + 1


def kept(solution: Solution, target: Tensor, most_iterations: int) -> Solution:
    """Write down a solution's model and iterate.

    Only iterates that were not to stay are written over.
    """
    (iteration, x, residual, *_), models, iterates = solution
    models[iteration] = (residual - target).dot(x) / 2
    iterates[slot(iteration, most_iterations)] = x
    return solution


def slot(iteration: int | Tensor, most_iterations: int) -> int | Tensor:
    """Find an iteration's slot: after the iterates before it that stay."""
    return sum(stays < iteration for stays in staying(most_iterations))


@lru_cache
def staying(most_iterations: int) -> tuple[int, ...]:
    """List the iterations ⌈1.3ʲ⌉ − 1 before the last possible one: their iterates stay."""
    powers = range(math.ceil(math.log(most_iterations + 1) / math.log(SPACING)) + 1)
    iterations = {math.ceil(SPACING**power) - 1 for power in powers}
    return tuple(
        sorted(iteration for iteration in iterations if iteration < most_iterations)
    )


def stands(last: Solution) -> Tensor:
    """Say whether the model's fall has come to an end.

    The last k iterations did less than PROGRESS of it then.
    """
    i = last.at.iteration
    window = max(WINDOW, i // 10)
    earlier = last.models[max(i - window, 0)]
    share = (last.models[i] - earlier) / (last.models[i] - last.models[0])
    return (i > window) & (share < PROGRESS)
