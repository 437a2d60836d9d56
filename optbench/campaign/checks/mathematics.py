"""What is asked of the mathematics: the solution solves the equation and has its data."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from optbench.campaign.checks.words import listed, read_there
from optbench.campaign.numerical_jets import NumericalJet, jet_of
from optbench.problems.problem import INTERIOR, Field, Problem, Term

# of a residual, relative to the sum of what its inputs contribute: rounding is 1e-13, and
# a digit that is wrong by 1e-6 is found in a summand that is 1e-5 of the largest
TOLERANCE = 1e-11
ROUGH = 1e-4  # the same of a solution whose derivatives cannot be told
STEP = 1e-4  # of an input's size: how far it is moved to see what it contributes
EVALUATIONS = 200  # about so many points and lines in all are differentiated
# data may be so many times further from a reference than its accuracy: theirs is a maximum
REFERENCE_MARGIN = 10.0


def solution(problem: Problem) -> Iterator[str]:
    """Check that the solution has no residual in the interior.

    Another function must have one. A reference is not asked.
    """
    if problem.floor:
        return
    term = problem.terms[INTERIOR]
    x, y = term.sample(np.random.default_rng(0), _points(problem))
    found = _residual(problem, term, problem.solution, x, y)
    if (trouble := found.trouble(x)) is not None:
        yield trouble
        return
    if (worst := found.worst()) is not None:
        yield (
            f"the solution has a residual of {np.abs(found.residual[worst]).max():.3g} at "
            f"x = {listed(x[worst])}, which must be 0: operator, target and solution do "
            "not belong together. There "
            f"{read_there(term.operator, found.jet.channels, y, worst)}"
        )
        if _residual(problem, term, problem.solution, x, -y).worst() is None:
            yield "with -y for y it would be 0: the target's sign is not the operator's"
        return
    if _residual(problem, term, partial(_another, problem), x, y).worst() is None:
        yield (
            "another function has no residual either: "
            "the operator does not see what is put in"
        )


def data(problem: Problem) -> Iterator[str]:
    """Check that the solution satisfies every condition.

    A reference must do so to its accuracy, where a condition is one of its values: that of
    its derivatives is not known.
    """
    for name in problem.conditions:
        term = problem.terms[name]
        if problem.floor and term.operator.order:
            continue
        x, y = term.sample(np.random.default_rng(0), max(51, _points(problem)))
        found = _residual(problem, term, problem.solution, x, y)
        if problem.floor:
            size = 1 + np.abs(found.jet.channels).max()
            least = np.full_like(found.allowed, REFERENCE_MARGIN * problem.floor * size)
            found = found._replace(allowed=least)
        if (trouble := found.trouble(x)) is not None:
            yield f"{name}: {trouble}"
            continue
        if (worst := found.worst()) is not None:
            yield (
                f"the solution misses the condition {name} by "
                f"{np.abs(found.residual[worst]).max():.3g} at x = {listed(x[worst])}, "
                f"where {read_there(term.operator, found.jet.channels, y, worst)}"
            )
            continue
        if _residual(problem, term, partial(_another, problem), x, y).worst() is None:
            yield (
                f"another function has no residual in {name} either: "
                "its operator does not see what is put in"
            )


def periodicity(problem: Problem) -> Iterator[str]:
    """Check that the solution is periodic in the inputs that are said to be.

    Its values are asked alone: initial values may have a corner where periods meet.
    """
    for axis, (period, _) in problem.periodic.items():
        x, _ = problem.terms[INTERIOR].sample(np.random.default_rng(0), 200)
        lower, upper = (float(bound[axis]) for bound in problem.bounds)
        # both points lie in the box, which may hold the period several times
        share = (x[:, axis] - lower) / (upper - lower)
        x = x.copy()
        x[:, axis] = lower + share * max(0.0, upper - lower - period)
        moved = x.copy()
        moved[:, axis] = np.minimum(x[:, axis] + period, upper)
        here, there = problem.solution(x), problem.solution(moved)
        allowed = max(TOLERANCE, REFERENCE_MARGIN * problem.floor) * (
            1 + np.abs(here).max()
        )
        worst = np.abs(there - here).max(1).argmax()
        if not np.abs(there - here).max() <= allowed:
            yield (
                f"periodic[{axis}] has the period {period:.10g}, but the solution is "
                f"{listed(here[worst])} at x = {listed(x[worst])} and "
                f"{listed(there[worst])} a period on"
            )


def reference(problem: Problem) -> Iterator[str]:
    """Check that between nodes a reference's interpolation is as good as its accuracy."""
    known: Any = problem.solution
    if problem.floor and not (error := known.interpolation_error()) <= problem.floor:
        yield (
            f"between the nodes of {known.source.path.name} interpolation is off by about "
            f"{error:.1e} in relative L2, more than its accuracy of {problem.floor:.1e}: "
            "a finer grid is needed, or a larger number"
        )


class _Found(NamedTuple):
    """A residual, and how far from 0 rounding and differentiation may leave it."""

    jet: NumericalJet
    residual: np.ndarray  # [n, r]
    allowed: np.ndarray
    doubt: np.ndarray  # the part of it that differentiation leaves
    size: np.ndarray  # of its summands

    def worst(self) -> int | None:
        """Give the point where it is too large by most; none where it is 0 everywhere."""
        excess = np.abs(self.residual) - self.allowed
        return int(excess.max(1).argmax()) if excess.max() > 0 else None

    def trouble(self, x: np.ndarray) -> str | None:
        """Say why it cannot be told, where it cannot."""
        bad = ~np.isfinite(self.residual).all(1)
        if bad.any():
            return (
                "the solution's derivatives or their residual are not finite at "
                f"x = {listed(x[bad][0])}"
            )
        if not (self.doubt <= ROUGH * self.size.max(0)).all():
            return (
                "the solution's derivatives cannot be found from its values: is it smooth?"
            )
        return None


def _points(problem: Problem) -> int:
    """Count the points where each derivative is taken: less of them in more inputs."""
    return max(6, min(40, EVALUATIONS // problem.dim))


def _residual(
    problem: Problem, term: Term, function: Field, x: np.ndarray, y: np.ndarray
) -> _Found:
    """Give a function's residual, and how far from zero it may be.

    The residual F is asked what it makes of an error in each of its inputs z: it may be off
    by Σ |∂F/∂z| (the error of z + TOLERANCE · the size of z), at every point.
    """
    lower, upper = problem.bounds
    jet = jet_of(function, term.operator, x, upper - lower)
    # where the solution is 0 at a face, it still has the rounding of its values elsewhere
    inside, _ = problem.terms[INTERIOR].sample(np.random.default_rng(0), 200)
    jet.scales[0] = np.maximum(
        jet.scales[0], np.abs(np.concatenate([function(x), function(inside)])).max(0)
    )

    def apply(channels: np.ndarray, y: np.ndarray) -> np.ndarray:
        return term.operator.apply(term.operator.jet(channels), x, y)

    residual = apply(jet.channels, y)
    size, doubt = np.zeros_like(residual), np.zeros_like(residual)
    with np.errstate(all="ignore"):
        for channel, output in np.ndindex(len(jet.channels), problem.outputs):
            entry = channel, slice(None), output
            step = _steps(jet.scales[entry])
            moved = jet.channels.copy()
            moved[entry] += step
            slope = np.abs(apply(moved, y) - residual) / step[:, None]
            # what it does not read may be unknown
            error = np.where(slope > 0, jet.errors[entry][:, None], 0)
            doubt += slope * error
            size += slope * jet.scales[entry][:, None]
        for column in range(y.shape[1]):
            step = _steps(np.abs(y[:, column]))
            moved = y.copy()
            moved[:, column] += step
            slope = np.abs(apply(jet.channels, moved) - residual) / step[:, None]
            size += slope * np.abs(y[:, column])[:, None]
    return _Found(jet, residual, TOLERANCE * size + doubt, doubt, size)


def _steps(sizes: np.ndarray) -> np.ndarray:
    return np.where((sizes > 0) & np.isfinite(sizes), STEP * sizes, STEP)


def _another(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Evaluate a function that is not the solution.

    It has a wave, for a polynomial might be a solution too.
    """
    phase = x @ np.arange(1.0, problem.dim + 1) / problem.dim
    return 1.01 * problem.solution(x) + 0.1 * np.sin(phase + 0.7)[:, None]
