"""Conjugate gradients, truncated where the quadratic model hardly falls any more.

The model is ½ xᵀA x − bᵀx, the rule that of Martens (2010), section 4.4.

Iterates are kept at few iterations, ever further apart: Hessian-free looks back along them,
and the memory is bounded.
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


class Solution(NamedTuple):
    """The iteration that was reached."""

    iteration: int | Tensor
    x: Tensor  # [D]
    residual: Tensor  # A x − b [D]
    square: Tensor  # its squared norm
    direction: Tensor  # where the next iteration goes [D]
    models: Tensor  # the quadratic model at every iteration so far [iterations at most + 1]
    iterates: Tensor  # the kept ones in order, the last at `slot(iteration, …)` [slots, D]


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, most_iterations: int
) -> Solution:
    """Solve A x = b from a start, with v ↦ A v [D] and b [D].

    It ends on a residual that is not a number, too.
    """
    residual = product(start) - target
    square = residual.dot(residual)
    models = target.new_zeros(most_iterations + 1)
    iterates = target.new_zeros(slots(most_iterations), len(target))
    begin = kept(
        Solution(0, start, residual, square, -residual, models, iterates),
        target,
        most_iterations,
    )
    solved = TOLERANCE * torch.sqrt(target.dot(target))

    def goes_on(last: Solution) -> Tensor:
        # not ≥: a gradient of zero is solved by zero
        return (
            (last.iteration < most_iterations)
            & (torch.sqrt(last.square) > solved)
            & ~stands(last)
        )

    def iterate(last: Solution) -> Solution:
        image = product(last.direction)
        size = last.square / last.direction.dot(image)
        residual = last.residual + size * image
        square = residual.dot(residual)
        direction = square / last.square * last.direction - residual
        moved = Solution(
            last.iteration + 1,
            last.x + size * last.direction,
            residual,
            square,
            direction,
            *last[5:],
        )
        return kept(moved, target, most_iterations)

    return while_loop(goes_on, iterate, begin)


def slots(most_iterations: int) -> int:
    """Count the iterates that are kept at most."""
    return len(staying(most_iterations)) + 1


def kept(solution: Solution, target: Tensor, most_iterations: int) -> Solution:
    """Write down a solution's model and iterate.

    Only iterates that were not to stay are written over.
    """
    iteration, x, residual, _, _, models, iterates = solution
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
    i = last.iteration
    window = max(WINDOW, i // 10)
    earlier = last.models[max(i - window, 0)]
    share = (last.models[i] - earlier) / (last.models[i] - last.models[0])
    return (i > window) & (share < PROGRESS)
