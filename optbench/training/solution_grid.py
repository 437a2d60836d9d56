"""The function u on a grid, for pictures of problems with two inputs and one output."""

from typing import Any

import numpy as np

from optbench.problems.problem import Problem

SIDE = 33  # points along each input


def grid(problem: Problem) -> Any:
    """Give x [SIDE², 2] over the domain's box, the first input varying slowest.

    None for problems with other numbers of inputs or outputs.
    """
    if (problem.dim, problem.outputs) != (2, 1):
        return None
    sides = [
        np.linspace(low, high, SIDE) for low, high in zip(*problem.bounds, strict=True)
    ]
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)


def as_image(problem: Problem, u: np.ndarray) -> np.ndarray:
    """Arrange u as [SIDE, SIDE], to be drawn with the first input to the right.

    It is NaN outside of the domain.
    """
    x = grid(problem)
    inside = np.full(len(x), True) if problem.inside is None else problem.inside(x)
    return np.where(inside, np.ravel(u), np.nan).reshape(SIDE, SIDE).T
