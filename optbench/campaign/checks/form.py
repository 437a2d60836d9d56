"""What is asked of a problem's fields, and of the shapes that its functions give."""

from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_type_hints

import numpy as np

from optbench.campaign.checks.words import kind, listed
from optbench.problems import networks
from optbench.problems.jets import layout
from optbench.problems.problem import Operator, Periodic, Problem, Term

ROUNDED = 1e-9  # two widths that agree so far, relatively, are the same


def fields(problem: Problem) -> Iterator[str]:
    """Check the numbers and names that a run reads."""
    if not problem.name.isidentifier():
        yield f"name is {problem.name!r}: must be letters, digits and _"
    for name, least in (("dim", 1), ("outputs", 1), ("resample_every", 0), ("march", 0)):
        value = getattr(problem, name)
        if not _is_whole(value, least):
            yield f"{name} is {value!r}: must be a whole number of at least {least}"
            return
    for name, term in problem.terms.items():
        if not _is_whole(term.default_points, 1):
            yield (
                f"default_points of {name} is {term.default_points!r}: "
                "must be a whole number of at least 1"
            )
    for which, bound in zip(("lower", "upper"), problem.bounds, strict=True):
        if np.shape(bound) != (problem.dim,) or np.asarray(bound).dtype != np.float64:
            yield (
                f"the {which} bound must be a float64 array [{problem.dim}], "
                f"one number per input; {kind(bound)}"
            )
            return
    if not (problem.bounds[0] < problem.bounds[1]).all():
        lower, upper = map(listed, problem.bounds)
        yield f"every lower bound must be below the upper one: {lower}, {upper}"
        return
    if type(problem.solution_norm) is not float or not 0 < problem.solution_norm < np.inf:
        yield (
            f"solution_norm is {problem.solution_norm!r}: must be a float > 0, "
            "(E |u*|²)^½ over the evaluation's points"
        )
    for network in problem.networks:
        networks.parse(network)
    yield from _axes(problem)
    for axis, periodic in problem.periodic.items():
        yield from _period(problem, axis, periodic)
    yield from _drawn(problem)
    for name, term in problem.terms.items():
        yield from _inputs(problem, name, term.operator)


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _axes(problem: Problem) -> Iterator[str]:
    axes = problem.axes
    if axes and (len(axes) != problem.dim or len(set(axes)) < len(axes)):
        yield f"axes is {axes!r}: must be {problem.dim} different names, one per input"
    for axis in axes:
        if not axis.isidentifier():
            yield f"axes has {axis!r}: must be letters, digits and _"


def _period(problem: Problem, axis: int, periodic: Periodic) -> Iterator[str]:
    """Check that the box holds an axis' period once, or several times."""
    if not _is_whole(axis, 0) or axis >= problem.dim:
        yield f"periodic names the input {axis!r}: must be 0 to {problem.dim - 1}"
        return
    if not isinstance(periodic, Periodic):
        yield f"periodic[{axis}] is {periodic!r}: must be Periodic(period, modes)"
        return
    if not _is_whole(periodic.modes, 1):
        yield (
            f"periodic[{axis}] has modes {periodic.modes!r}: "
            "must be a whole number of at least 1"
        )
    width = float(problem.bounds[1][axis] - problem.bounds[0][axis])
    period = periodic.period
    times = width / period if period > 0 else 0
    if times < 0.5 or abs(times - round(times)) > ROUNDED * times:
        yield (
            f"periodic[{axis}] has the period {period!r}: must be the box's width of "
            f"{width:.10g}, or that divided by a whole number"
        )


def _drawn(problem: Problem) -> Iterator[str]:
    """Check that points can be drawn as the problem says they are."""
    ways = get_args(get_type_hints(Problem)["sampling"])
    if problem.sampling not in ways:
        yield f"sampling is {problem.sampling!r}: must be {' or '.join(map(repr, ways))}"
    if problem.march and "t" not in problem.axes:
        yield f"march is {problem.march}: axes must say which input is the time, 't'"
    for field, needs, asked in (
        ("sampling", "region", problem.sampling == "sobol"),
        ("march", "target", bool(problem.march)),
    ):
        for name, term in problem.terms.items():
            if asked and getattr(term, needs) is None:
                yield (
                    f"{field} is {getattr(problem, field)!r}, but {name} has no {needs}: "
                    "make it by Term.of with a Region and a target"
                )


def _inputs(problem: Problem, name: str, operator: Operator) -> Iterator[str]:
    """Check that an operator reads of inputs that there are."""
    if operator.diffusion is not None and len(operator.diffusion) != problem.dim:
        size = len(operator.diffusion)
        yield (
            f"diffusion of the {name} is [{size}, {size}]: must be "
            f"[{problem.dim}, {problem.dim}], as dim inputs"
        )
    for read, what in operator.reads.items():
        if (named := layout({read: what}).inputs) > problem.dim:
            yield (
                f"{read} of {name} reads along the input {named - 1}: "
                f"must be 0 to {problem.dim - 1}"
            )


def shapes(problem: Problem) -> Iterator[str]:
    """Check that points, targets and the solution are finite and of the right shape.

    They must be float64, and be so for one point and for several. Directions and matrices
    of points must fit them.
    """
    for name, term in problem.terms.items():
        for n in (1, 7):
            x, y = term.sample(np.random.default_rng(0), n)
            yield from _wrong(f"points x of {name}", x, (n, problem.dim))
            if np.ndim(y) != 2 or np.shape(y)[0] != n:
                shape = f"[{n}, r], one row per point"
                yield f"targets y of {name} must be {shape}; {kind(y)}"
            else:
                yield from _wrong(f"targets y of {name}", y, (n, np.shape(y)[1]))
        if np.shape(x) == (7, problem.dim):
            yield from _pointwise(name, term, x)
    if problem.evaluation is not None:
        x = problem.evaluation(np.random.default_rng(0), 7)
        yield from _wrong("points x of evaluation", x, (7, problem.dim))
    x, _ = problem.terms["interior"].sample(np.random.default_rng(0), 7)
    yield from _wrong("solution(x)", problem.solution(x), (7, problem.outputs))


def _wrong(what: str, array: Any, shape: tuple[int, ...]) -> Iterator[str]:
    if np.shape(array) != shape or getattr(array, "dtype", None) != np.float64:
        yield f"{what} must be a float64 array {list(shape)}; {kind(array)}"
    elif not np.isfinite(array).all():
        yield f"{what} are not finite"


def _pointwise(name: str, term: Term, x: np.ndarray) -> Iterator[str]:
    """Check the directions and the matrices that depend on x, at points [n, d]."""
    for read, what in term.operator.reads.items():
        for _, line in what.lines:
            if callable(line.direction):
                yield from _direction(f"{read} of {name}", line.direction(x), x)
        if what.family and callable(what.family.matrix):
            k = len(what.family.axes)
            yield from _matrix(f"{read} of {name}", what.family.matrix(x), len(x), k)


def _direction(of: str, v: Any, x: np.ndarray) -> Iterator[str]:
    columns = isinstance(v, Sequence)
    fits = (
        len(v) == x.shape[1] and all(np.shape(column) == x.shape[:1] for column in v)
        if columns
        else np.shape(v) == x.shape
    )
    if not fits:
        got = f"it is {len(v)} columns" if columns else kind(v)
        yield (
            f"the direction of {of} must be [{len(x)}, {x.shape[1]}] at {len(x)} points, "
            f"or {x.shape[1]} columns [{len(x)}]; {got}"
        )
        return
    v = np.stack(v, 1) if columns else v
    if not np.isfinite(v).all():
        yield f"the direction of {of} is not finite"
    elif (still := ~v.any(1)).any():
        yield (
            f"the direction of {of} is 0 at x = {listed(x[still][0])}: "
            "a derivative along it says nothing"
        )


def _matrix(of: str, A: Any, n: int, k: int) -> Iterator[str]:
    if np.shape(A) not in ((n, k, k), (n, k)):
        yield (
            f"the matrix of {of} must be [{n}, {k}, {k}] at {n} points, "
            f"or its diagonal [{n}, {k}]; {kind(A)}"
        )
    elif not np.isfinite(A).all():
        yield f"the matrix of {of} is not finite"
    elif np.ndim(A) == 3 and not np.array_equal(A, np.swapaxes(A, 1, 2)):
        yield f"the matrix of {of} must be symmetric: A is not equal to its transpose"


def operators(problem: Problem) -> Iterator[str]:
    """Check that a residual is like the targets, and uses what it reads.

    Each row must come from its own point alone.
    """
    for name, term in problem.terms.items():
        channels, x, y = random_channels(problem, term, 7)
        operator = term.operator
        r = operator.apply(operator.jet(channels), x, y)
        if np.shape(r) != y.shape:
            shape = f"[7, {y.shape[1]}]"
            yield f"the residual of {name} must be {shape} as its targets; {kind(r)}"
            continue
        part = operator.apply(operator.jet(channels[:, :3]), x[:3], y[:3])
        if not np.allclose(part, r[:3], rtol=1e-12, atol=1e-12):
            yield (
                f"the residual of {name} at a point depends on the other points of the "
                "batch"
            )
        for read in operator.reads:
            jet = operator.jet(channels)
            setattr(jet, read, getattr(jet, read) + 1.5)
            if np.array_equal(operator.apply(jet, x, y), r):
                yield (
                    f"the operator of {name} reads {read} and does not use it: "
                    "it would be computed for nothing"
                )


def random_channels(
    problem: Problem, term: Term, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw channels [S, n, m] of nothing in particular, points and targets of a term."""
    generator = np.random.default_rng(3)
    x, y = term.sample(generator, n)
    shape = term.operator.channels, n, problem.outputs
    return generator.normal(size=shape), x, y
