"""What is asked of a problem's points: where they lie, and what they depend on."""

from collections.abc import Iterator

import numpy as np

from optbench.campaign.checks.words import listed
from optbench.problems.problem import INTERIOR, Problem

MANY = 2001  # points where they are counted
# of the box's width: so far from the boundary there are points within and without
EDGE = 1e-7


def domain(problem: Problem) -> Iterator[str]:
    """Check that interior points lie within the bounds, and where `inside` says so."""
    generator = np.random.default_rng(0)
    x, _ = problem.terms[INTERIOR].sample(generator, MANY)
    drawn = {INTERIOR: x}
    if problem.evaluation is not None:
        drawn["evaluation"] = problem.evaluation(generator, MANY)
    for name, x in drawn.items():
        out = ~_inside(problem, x)
        if out.any():
            lower, upper = map(listed, problem.bounds)
            yield (
                f"{out.sum()} of {MANY} {name} points lie outside of the domain, such as "
                f"x = {listed(x[out][0])}; bounds: {lower} to {upper}"
            )


def boundary(problem: Problem) -> Iterator[str]:
    """Check that the points of every condition lie on the domain's boundary.

    A little aside, along some input, there must be the domain, and there must not. A
    periodic input has no boundary. A condition may also hold at one place of the domain,
    whatever the time.
    """
    n = min(500, max(50, 20_000 // problem.dim))
    edges = EDGE * (problem.bounds[1] - problem.bounds[0]) * np.eye(problem.dim)
    steps = [step for axis, step in enumerate(edges) if axis not in problem.periodic]
    for name in problem.conditions:
        x, _ = problem.terms[name].sample(np.random.default_rng(0), n)
        around = [_inside(problem, x)] + [
            _inside(problem, x + sign * step) for step in steps for sign in (1, -1)
        ]
        lost, within = ~np.any(around, axis=0), np.all(around, axis=0)
        if lost.any():
            yield (
                f"{lost.sum()} of {n} points of {name} lie outside of the domain, such as "
                f"x = {listed(x[lost][0])}"
            )
        if within.any() and not _is_one_place(problem, x):
            why = (
                "a periodic input has no boundary"
                if problem.periodic
                else "where the domain is no box, give the problem `inside`"
            )
            yield (
                f"{within.sum()} of {n} points of {name} lie within the domain and not on "
                f"its boundary, such as x = {listed(x[within][0])}; {why}"
            )


def _inside(problem: Problem, x: np.ndarray) -> np.ndarray:
    lower, upper = problem.bounds
    within = np.all((x >= lower) & (x <= upper), axis=1)
    return within if problem.inside is None else within & problem.inside(x)


def _is_one_place(problem: Problem, x: np.ndarray) -> bool:
    """Say whether all points agree in every input but the time."""
    axes = problem.axes or [""] * problem.dim
    space = x[:, [axis != "t" for axis in axes]]
    return bool((space == space[0]).all())


def randomness(problem: Problem) -> Iterator[str]:
    """Check that points depend on the generator alone.

    They must be the same for the same seed, and others for another.
    """
    points = {name: 20 if name == INTERIOR else 11 for name in problem.terms}

    def batch(seed: int):
        return problem.batch(np.random.default_rng(seed), points)

    # NumPy's global generator must be neither read nor moved
    np.random.seed(1)  # noqa: NPY002
    before = str(np.random.get_state())  # noqa: NPY002
    first = batch(7)
    if str(np.random.get_state()) != before:  # noqa: NPY002
        yield (
            "drawing points moves NumPy's global generator: "
            "draw from the generator that `sample` is given"
        )
    np.random.seed(2)  # noqa: NPY002
    again, other = batch(7), batch(8)
    for name in problem.terms:
        if not all(map(np.array_equal, first[name], again[name])):
            yield (
                f"the same seed gives other points or targets of {name}: "
                "a run could not be repeated"
            )
    if np.array_equal(first[INTERIOR][0], other[INTERIOR][0]):
        yield (
            "every seed gives the same interior points: "
            "errors would be measured where the network was trained"
        )


def norm(problem: Problem) -> Iterator[str]:
    """Check solution_norm over the evaluation's points, to what 20,000 of them can tell."""
    generator = np.random.default_rng(0)
    if problem.evaluation is None:
        where, (x, _) = INTERIOR, problem.terms[INTERIOR].sample(generator, 20_000)
    else:
        where, x = "evaluation", problem.evaluation(generator, 20_000)
    square = (problem.solution(x) ** 2).sum(1)
    mean, spread = square.mean(), square.std() / np.sqrt(len(x))
    if abs(problem.solution_norm**2 - mean) > 6 * spread + 1e-2 * mean:
        yield (
            f"solution_norm is {problem.solution_norm:.4g}, "
            f"but over 20,000 {where} points (E |u*|²)^½ is {mean**0.5:.4g}"
        )
