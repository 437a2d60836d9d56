"""A family: one PDE in every dimension of space, registered by a decorated function."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from optbench.problems.names import InvalidName
from optbench.problems.problem import Problem

LARGEST_DIMENSION = 9999  # an operator's A is a dense matrix of d² numbers


@dataclass(frozen=True)
class Family:
    """Problems `<name>_<n>d`, one for every dimension n of space.

    A call builds one, the same object every time.
    """

    build: Callable[[int], Problem]
    published: tuple[int, ...]  # the dimensions of the paper's cases
    order: float  # families are listed by it; equal ones by name

    @property
    def name(self) -> str:
        """The decorated function's name."""
        return self.build.__name__

    def __call__(self, dim: int) -> Problem:
        """Build the problem in `dim` dimensions of space.

        Raises:
            InvalidName: the family has none.
        """
        if not 1 <= operator.index(dim) <= LARGEST_DIMENSION:
            raise InvalidName(
                f"{self.name}: the dimension must be 1 to {LARGEST_DIMENSION}, not {dim}"
            )
        return self.build(operator.index(dim))


def family(
    published: tuple[int, ...] = (), order: float = float("inf")
) -> Callable[[Callable[[int], Problem]], Family]:
    """Register the decorated `function(dim) -> Problem` under its own name."""
    return lambda build: Family(cache(build), published, order)
