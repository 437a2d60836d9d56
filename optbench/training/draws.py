"""Which points a step has: when they are drawn, how, and how far they reach in time.

Points depend on the seed and on the number of their draw alone: not on the network, the
framework or the optimizer. Draw 0 is the first batch. Steps count from 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
from numpy.random import Generator

from optbench.problems import seeds
from optbench.problems.problem import Batch, Problem, Term
from optbench.records.record import Request

MARCHING = 5  # steps from one draw of a march to the next
FIRST = 0.1  # of the time, which the first points of a march reach
# of a known number of steps, after which a Sobol sequence is not drawn anew
LAST = Fraction(9, 10)


@dataclass(frozen=True)
class Draws:
    """A run's batches by number.

    During a march of M steps points are drawn before steps 1, 6, 11, …, then before step
    M + 1 and, from there on, every `resample_every` steps. A late redraw throws the loss
    up, so that no step after LAST of all steps begins with one of a Sobol sequence; points
    that are uniform are redrawn to the end, as they were before there was another way.
    """

    problem: Problem
    points: Mapping[str, int]  # by the names of the problem's terms
    seed: int
    resample_every: int = 0
    sampling: str = "uniform"
    march: int = 0
    steps: int | None = None  # of the run, where their number is known

    @classmethod
    def of(cls, request: Request) -> Self:
        """Read a run's."""
        return cls(
            request.posed,
            request.points,
            request.seed,
            request.resample_every,
            request.sampling,
            request.march,
            request.steps,
        )

    def number(self, step: int) -> int:
        """Give the number of the draw whose points a step has."""
        if step <= self.march:
            return (step - 1) // MARCHING
        marched = -(-self.march // MARCHING)
        if not self.resample_every:
            return marched
        if self.sampling == "sobol" and self.steps is not None:
            step = min(step, int(LAST * self.steps))
        return marched + max(0, step - self.march - 1) // self.resample_every

    def fixed(self, step: int) -> bool:
        """Say whether a step and all after it have the same points."""
        return not self.resample_every and step > self.march

    def reach(self, number: int) -> float:
        """Give the share of the time that the points of a draw reach."""
        step = 1 + MARCHING * number
        if step > self.march:
            return 1.0
        return FIRST + (1 - FIRST) * (step - 1) / self.march

    def batch(self, number: int) -> Batch:
        """Draw a batch with its targets, in float64."""
        if self.sampling == "sobol":
            batch = self._sobol(number)
        else:
            batch = seeds.batch(self.problem, self.seed, number, self.points)
        if (reach := self.reach(number)) == 1:
            return batch
        return {
            name: self._earlier(self.problem.terms[name], *points, reach)
            for name, points in batch.items()
        }

    def _sobol(self, number: int) -> Batch:
        """Place a sequence of its own on every term's region."""
        seeds.check_batch(self.problem, number, self.points)
        batch = {}
        for index, (name, term) in enumerate(self.problem.terms.items()):
            if term.region is None or term.target is None:
                raise ValueError(f"the term {name} has no region for a Sobol sequence")
            generator = seeds.stream(self.seed, "points", number, index)
            x = term.region.place(sobol(generator, self.points[name], term.region.free))
            batch[name] = x, term.target(x)
        return batch

    def _earlier(
        self, term: Term, x: np.ndarray, y: np.ndarray, reach: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move points [n, d] to earlier times, unless they all have one, with targets."""
        if len(_times(term, x)) == 1:
            return x, y
        if term.target is None:
            raise ValueError("a term without a target cannot march in time")
        start = self.problem.bounds[0][0]
        x = x.copy()
        x[:, 0] = start + reach * (x[:, 0] - start)
        return x, term.target(x)


def sobol(generator: Generator, n: int, dim: int) -> np.ndarray:
    """Draw the first n points [n, dim] of a scrambled Sobol sequence of the unit cube."""
    from scipy.stats import qmc

    if dim == 0:  # of a single place
        return np.empty((n, 0))
    # a whole power of two is what the sequence is balanced for
    return qmc.Sobol(dim, rng=generator).random_base2(int(n - 1).bit_length())[:n]


def _times(term: Term, x: np.ndarray) -> set[float]:
    """Give the times of a term's points: those of its faces, where they are known."""
    if term.region is None:
        return set(x[:, 0])
    return {corner[0] for face in term.region.faces for corner in face}
