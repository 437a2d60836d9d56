"""One integer seed, several named and independent streams of random numbers."""

import operator
import zlib
from collections.abc import Mapping
from typing import SupportsIndex

import numpy as np
from numpy.random import Generator, SeedSequence

from optbench.problems.names import UnknownName
from optbench.problems.problem import INTERIOR, Batch, Problem

# a stream's number is part of what a seed means: add new ones at the end, change none
STREAMS = {"parameters": 0, "points": 1, "report": 2, "selection": 3, "features": 4}
EVALUATION_SETS = ("report", "selection")
# the paper's arXiv number: evaluation points are the same whatever a run's seed
EVALUATION_SEED = 240515603


def checked(seed: SupportsIndex) -> int:
    """Check a seed, and return it as an int.

    Raises:
        ValueError: it is not an integer of at least 0.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or operator.index(seed) < 0:
        raise ValueError(f"a seed must be an integer of at least 0, not {seed!r}")
    return operator.index(seed)


def stream(seed: SupportsIndex, name: str, *index: int) -> Generator:
    """Make the generator of the stream `name` with a number, 0 if not given, or several.

    It is independent of every other seed, stream and index.
    """
    return np.random.default_rng(
        SeedSequence(checked(seed), spawn_key=(STREAMS[name], *(index or (0,))))
    )


def batch(
    problem: Problem, seed: SupportsIndex, index: int, points: Mapping[str, int]
) -> Batch:
    """Draw uniform training points and targets after the `index`-th redraw, in float64.

    Redraw 0 is the first batch.

    The points depend on the arguments alone: not on the network, the framework or the
    optimizer. Raises ValueError for a bad seed, a negative index or fewer than one point.
    """
    check_batch(problem, index, points)
    return problem.batch(stream(seed, "points", index), points)


def check_batch(problem: Problem, index: int, points: Mapping[str, int]) -> None:
    """Raise ValueError for a negative index, or a term without a point."""
    if index < 0:
        raise ValueError(f"the index of a batch must be at least 0, not {index}")
    for name in problem.terms:
        if (count := points.get(name, 0)) < 1:
            raise ValueError(f"a batch must have at least one {name} point, not {count}")


def evaluation_points(problem: Problem, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw the fixed points x [10·N, d] at which errors are taken, with u* [10·N, m].

    N is the problem's default number of interior points.

    `which` is "report", or "selection", the set that tuning alone sees. They come from a
    constant and the problem's name, whatever the points and the seed of a run. Raises
    UnknownName.
    """
    if which not in EVALUATION_SETS:
        raise UnknownName("evaluation set", which, EVALUATION_SETS)
    generator = stream(EVALUATION_SEED, which, zlib.crc32(problem.name.encode()))
    count = 10 * problem.points[INTERIOR]
    if problem.evaluation is None:
        x, _ = problem.terms[INTERIOR].sample(generator, count)
    else:
        x = problem.evaluation(generator, count)
    return x, problem.solution(x)
