"""A family: one PDE in its dimensions of space, registered by a decorated function."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from optbench.problems.names import InvalidName
from optbench.problems.problem import Problem

LARGEST_DIMENSION = 9999  # an operator's A is a dense matrix of d² numbers


@dataclass(frozen=True)
class Family:
    """Problems `<name>_<n>d`, one for every dimension n of space that the family has.

    A call builds one, the same object every time.
    """

    build: Callable[[int], Problem]
    published: tuple[int, ...]  # the dimensions that are listed
    only: tuple[int, ...]  # the dimensions that there are; none: every one
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
        if self.only and operator.index(dim) not in self.only:
            there_are = " or ".join(map(str, self.only))
            raise InvalidName(f"{self.name}: the dimension must be {there_are}, not {dim}")
        if not 1 <= operator.index(dim) <= LARGEST_DIMENSION:
            raise InvalidName(
                f"{self.name}: the dimension must be 1 to {LARGEST_DIMENSION}, not {dim}"
            )
        return self.build(operator.index(dim))


def family(
    published: tuple[int, ...] = (),
    order: float = float("inf"),
    only: tuple[int, ...] = (),
) -> Callable[[Callable[[int], Problem]], Family]:
    """Register the decorated `function(dim) -> Problem` under its own name.

    A family that has some dimensions `only` lists these.
    """
    return lambda build: Family(cache(build), published or only, only, order)
