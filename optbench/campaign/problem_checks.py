"""What every problem must satisfy, ours and a user's: `optbench check`.

A check is a function that gives issues: what it finds wrong, a line each, in words.
"""

import traceback
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from optbench import implementations, problems
from optbench.campaign.numerical_jets import jet_of
from optbench.extras import Missing
from optbench.problems import networks, own, seeds
from optbench.problems.problem import Jet, Problem, Term

FEW, MANY = 6, 2001  # points: where each is differentiated, where they are counted
# of a residual, relative to 1 + the square of the jet's largest part, for operators may be
# quadratic
TOLERANCE = 1e-10
ROUGH = 1e-4  # the same of a solution whose derivatives cannot be told
# of the box's width: so far from the boundary there are points within and without
EDGE = 1e-7
# data may be so many times further from a reference than its accuracy: theirs is a maximum
REFERENCE_MARGIN = 10.0

Check = Callable[[Problem], Iterator[str]]


class Result(NamedTuple):
    """What a check found."""

    name: str
    issues: list[str]
    skipped: bool = False
    remark: str = ""

    def __str__(self) -> str:
        """One line."""
        count = len(self.issues)
        verdict = (
            "not checked"
            if self.skipped
            else "ok"
            if not count
            else f"{count} issue{'s'[: count > 1]}"
        )
        return f"{self.name:<10}  {verdict}{f' ({self.remark})' if self.remark else ''}"


def named(name: str) -> list[Problem]:
    """Find the problem of a name, or all of a file's. Raises InvalidName."""
    if own.is_own(name) and not own.split(name)[1]:
        return list(own.members(own.split(name)[0], "problem", problems.defined).values())
    return [problems.get(name)]


def of_name(name: str) -> Iterator[str | Result]:
    """Give the name of each problem that a name is of, then its results."""
    for problem in named(name):
        yield problem.name
        yield from check(problem)


def check(
    problem: Problem,
    names: Collection[str] | None = None,
    begin: Callable[[str], None] = lambda name: None,
) -> Iterator[Result]:
    """Give the results of the checks of some names, or of all; `begin` is told of each.

    After a wrong shape the other checks are skipped: they would say the same again.
    """
    sound = True
    for name, of in CHECKS.items():
        if names is not None and name not in names:
            continue
        if not sound and name not in FIRST:
            yield Result(name, [], skipped=True)
            continue
        begin(name)
        issues, remark = [], ""
        try:
            issues.extend(issues_of(of, problem))  # keeps those before an error
        except Missing as missing:
            remark = str(missing)
        yield Result(name, issues, skipped=bool(remark and not issues), remark=remark)
        sound = sound and not (issues and name in FIRST)


def issues_of(of: Check, problem: Problem) -> Iterator[str]:
    """Give a check's issues; an exception in the problem's own functions is one."""
    try:
        yield from of(problem)
    except Missing:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        yield f"{type(error).__name__} in {where}: {own.shortened(str(error))}"


def fields(problem: Problem) -> Iterator[str]:
    """Check the numbers and names that a run reads."""
    if not problem.name.isidentifier():
        yield f"name is {problem.name!r}: must be letters, digits and _"
    for name, least in (
        ("dim", 1),
        ("outputs", 1),
        ("interior_points", 1),
        ("boundary_points", 1),
        ("resample_every", 0),
    ):
        value = getattr(problem, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            yield f"{name} is {value!r}: must be a whole number of at least {least}"
            return
    for which, bound in zip(("lower", "upper"), problem.bounds, strict=True):
        if np.shape(bound) != (problem.dim,) or np.asarray(bound).dtype != np.float64:
            yield (
                f"the {which} bound must be a float64 array [{problem.dim}], "
                f"one number per input; {_kind(bound)}"
            )
            return
    if not (problem.bounds[0] < problem.bounds[1]).all():
        lower, upper = map(_list, problem.bounds)
        yield f"every lower bound must be below the upper one: {lower}, {upper}"
    if type(problem.solution_norm) is not float or not problem.solution_norm > 0:
        yield (
            f"solution_norm is {problem.solution_norm!r}: must be a float > 0, "
            "(E |u*|²)^½ over the interior"
        )
    for network in problem.networks:
        networks.parse(network)
    for name, term in _terms(problem):
        if (
            term.operator.diffusion is not None
            and len(term.operator.diffusion) != problem.dim
        ):
            size = len(term.operator.diffusion)
            yield (
                f"diffusion of the {name} is [{size}, {size}]: must be "
                f"[{problem.dim}, {problem.dim}], as dim inputs"
            )


def shapes(problem: Problem) -> Iterator[str]:
    """Check that points, targets and the solution are finite and of the right shape.

    They must be float64, and be so for one point and for several.
    """
    for name, term in _terms(problem):
        for n in (1, 7):
            x, y = term.sample(_rng(), n)
            yield from _wrong(f"points x of the {name}", x, (n, problem.dim))
            if np.ndim(y) != 2 or np.shape(y)[0] != n:
                shape = f"[{n}, r], one row per point"
                yield f"targets y of the {name} must be {shape}; {_kind(y)}"
            else:
                yield from _wrong(f"targets y of the {name}", y, (n, np.shape(y)[1]))
    x, _ = problem.interior.sample(_rng(), 7)
    yield from _wrong("solution(x)", problem.solution(x), (7, problem.outputs))


def domain(problem: Problem) -> Iterator[str]:
    """Check that interior points lie within the bounds, and where `inside` says so."""
    x, _ = problem.interior.sample(_rng(), MANY)
    out = ~_inside(problem, x)
    if out.any():
        lower, upper = map(_list, problem.bounds)
        yield (
            f"{out.sum()} of {MANY} interior points lie outside of the domain, such as "
            f"x = {_list(x[out][0])}; bounds: {lower} to {upper}"
        )


def boundary(problem: Problem) -> Iterator[str]:
    """Check that points of the boundary lie on it.

    A little aside, along some input, there must be the domain, and there must not.
    """
    n = min(500, max(50, 20_000 // problem.dim))
    x, _ = problem.boundary.sample(_rng(), n)
    steps = EDGE * (problem.bounds[1] - problem.bounds[0]) * np.eye(problem.dim)
    around = [_inside(problem, x)] + [
        _inside(problem, x + sign * step) for step in steps for sign in (1, -1)
    ]
    lost, within = ~np.any(around, axis=0), np.all(around, axis=0)
    if lost.any():
        yield (
            f"{lost.sum()} of {n} boundary points lie outside of the domain, such as "
            f"x = {_list(x[lost][0])}"
        )
    if within.any():
        yield (
            f"{within.sum()} of {n} boundary points lie within the domain and not on its "
            f"boundary, such as x = {_list(x[within][0])}; "
            "where the domain is no box, give the problem `inside`"
        )


def solution(problem: Problem) -> Iterator[str]:
    """Check that the solution has no residual in the interior.

    Another function must have one. A reference is not asked.
    """
    if problem.floor:
        return
    x, y = problem.interior.sample(_rng(), FEW)
    residual = problem.interior.operator.residual
    jet, tolerance = _jet(problem, problem.interior, problem.solution, x)
    r = residual(jet, x, y)
    worst = np.abs(r).max(1).argmax()
    if not np.isfinite(r).all():
        where = _list(x[worst])
        yield f"the solution's derivatives or their residual are not finite at x = {where}"
        return
    if not tolerance <= ROUGH * (1 + max(np.abs(channel).max() for channel in jet)) ** 2:
        yield "the solution's derivatives cannot be found from its values: is it smooth?"
        return
    if np.abs(r).max() > tolerance:
        yield (
            f"the solution has a residual of {np.abs(r[worst]).max():.3g} at "
            f"x = {_list(x[worst])}, which must be 0: operator, target and solution do not "
            f"belong together. There {_in_words(jet, y, worst)}"
        )
        if np.abs(residual(jet, x, -y)).max() <= tolerance:
            yield "with -y for y it would be 0: the target's sign is not the operator's"
    other, _ = _jet(problem, problem.interior, partial(_another, problem), x)
    if (
        not np.abs(residual(other, x, y)).max() > tolerance
        and not np.abs(r).max() > tolerance
    ):
        yield (
            "another function has no residual either: "
            "the operator does not see what is put in"
        )


def data(problem: Problem) -> Iterator[str]:
    """Check that the solution satisfies the boundary and initial conditions.

    A reference must do so to its accuracy.
    """
    x, y = problem.boundary.sample(_rng(), 51)
    jet, tolerance = _jet(problem, problem.boundary, problem.solution, x)
    r = problem.boundary.operator.residual(jet, x, y)
    if problem.floor:
        tolerance = REFERENCE_MARGIN * problem.floor * (1 + np.abs(jet.value).max())
    worst = np.abs(r).max(1).argmax()
    if not np.abs(r).max() <= tolerance:
        yield (
            "the solution misses the boundary or initial condition by "
            f"{np.abs(r[worst]).max():.3g} at x = {_list(x[worst])}, "
            f"where {_in_words(jet, y, worst)}"
        )
    elsewhere = Jet(jet.value + 1.0, jet.gradient, jet.curvature)
    if (
        problem.boundary.operator.diffusion is None
        and not np.abs(problem.boundary.operator.residual(elsewhere, x, y)).max()
    ):
        yield (
            "another value has no residual on the boundary either: "
            "its operator does not see what is put in"
        )


def norm(problem: Problem) -> Iterator[str]:
    """Check solution_norm over interior points, to what 20,000 of them can tell."""
    x, _ = problem.interior.sample(_rng(), 20_000)
    square = (problem.solution(x) ** 2).sum(1)
    mean, spread = square.mean(), square.std() / np.sqrt(len(x))
    if abs(problem.solution_norm**2 - mean) > 6 * spread + 1e-2 * mean:
        yield (
            f"solution_norm is {problem.solution_norm:.4g}, "
            f"but over 20,000 interior points (E |u*|²)^½ is {mean**0.5:.4g}"
        )


def randomness(problem: Problem) -> Iterator[str]:
    """Check that points depend on the generator alone.

    They must be the same for the same seed, and others for another.
    """
    # NumPy's global generator must be neither read nor moved
    np.random.seed(1)  # noqa: NPY002
    before = str(np.random.get_state())  # noqa: NPY002
    first = problem.batch(_rng(7), 20, 11)
    if str(np.random.get_state()) != before:  # noqa: NPY002
        yield (
            "drawing points moves NumPy's global generator: "
            "draw from the generator that `sample` is given"
        )
    np.random.seed(2)  # noqa: NPY002
    again, other = problem.batch(_rng(7), 20, 11), problem.batch(_rng(8), 20, 11)
    for name, one, two in zip(("interior", "boundary"), first, again, strict=True):
        if not all(np.array_equal(a, b) for a, b in zip(one, two, strict=True)):
            yield (
                f"the same seed gives other points or targets of the {name}: "
                "a run could not be repeated"
            )
    if np.array_equal(first.interior[0], other.interior[0]):
        yield (
            "every seed gives the same interior points: "
            "errors would be measured where the network was trained"
        )


def operators(problem: Problem) -> Iterator[str]:
    """Check that a residual is like the targets, each row from its own point alone."""
    for name, term in _terms(problem):
        jet, x, y = _random(problem, term, 7)
        r = term.operator.residual(jet, x, y)
        if np.shape(r) != y.shape:
            shape = f"[7, {y.shape[1]}]"
            yield f"the residual of the {name} must be {shape} as its targets; {_kind(r)}"
            continue
        part = Jet(*(None if channel is None else channel[:3] for channel in jet))
        if not np.allclose(
            term.operator.residual(part, x[:3], y[:3]), r[:3], rtol=1e-12, atol=1e-12
        ):
            yield (
                f"the residual of the {name} at a point depends on the other points of the "
                "batch"
            )


def frameworks(problem: Problem) -> Iterator[str]:
    """Check that every framework that is installed gives NumPy's residual.

    All of them must give the same gradient of the loss. Where one that is installed does
    not import, the problem is not to blame: raises FrameworkBroken after all issues.
    """
    if not implementations.installed():
        raise implementations.FrameworkMissing(implementations.FRAMEWORKS[0])
    gradients, broken = {}, None
    for name in implementations.installed():
        try:
            loaded = implementations.load(name)
        except implementations.FrameworkBroken as error:
            error.msg = f"{error}; the check of the twins was not made"
            broken = error
            continue
        try:
            yield from _like_numpy(problem, loaded)
            gradients[name] = _gradient(problem, loaded)
        except Exception as error:
            yield (
                f"does not run in {name}: {own.in_a_line(error)}. An operator is "
                "arithmetic on jet, x and y, without NumPy's functions; a term of x alone "
                "can be part of the targets"
            )
    for (one, a), (two, b) in combinations(gradients.items(), 2):
        difference = np.linalg.norm(a - b) / np.linalg.norm(a)
        if not difference <= 1e-10:
            yield (
                f"the loss's gradient in {one} and {two} differs by {difference:.1e}, "
                "relative"
            )
    if broken is not None:
        raise broken


def reference(problem: Problem) -> Iterator[str]:
    """Check that between nodes a reference's interpolation is as good as its accuracy."""
    known: Any = problem.solution
    if problem.floor and not (error := known.interpolation_error()) <= problem.floor:
        yield (
            f"between the nodes of {known.source.path.name} interpolation is off by about "
            f"{error:.1e} in relative L2, more than its accuracy of {problem.floor:.1e}: "
            "a finer grid is needed, or a larger number"
        )


CHECKS: dict[str, Check] = {
    "fields": fields,
    "shapes": shapes,
    "domain": domain,
    "boundary": boundary,
    "solution": solution,
    "data": data,
    "norm": norm,
    "randomness": randomness,
    "operators": operators,
    "frameworks": frameworks,
    "reference": reference,
}
FIRST = ("fields", "shapes")


def _terms(problem: Problem) -> tuple[tuple[str, Term], tuple[str, Term]]:
    return ("interior", problem.interior), ("boundary", problem.boundary)


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _wrong(what: str, array: Any, shape: tuple[int, ...]) -> Iterator[str]:
    if np.shape(array) != shape or getattr(array, "dtype", None) != np.float64:
        yield f"{what} must be a float64 array {list(shape)}; {_kind(array)}"
    elif not np.isfinite(array).all():
        yield f"{what} are not finite"


def _inside(problem: Problem, x: np.ndarray) -> np.ndarray:
    lower, upper = problem.bounds
    within = np.all((x >= lower) & (x <= upper), axis=1)
    return within if problem.inside is None else within & problem.inside(x)


def _jet(problem: Problem, term: Term, function: Any, x: np.ndarray) -> tuple[Jet, float]:
    """Give a function's jet, and how far from zero its residual may be.

    Rounding and interpolation move it.
    """
    jet, error = jet_of(
        function,
        term.operator.diffusion,
        x,
        float((problem.bounds[1] - problem.bounds[0]).min()),
    )
    scale = 1 + max(np.abs(channel).max() for channel in jet if channel is not None)
    return jet, TOLERANCE * scale**2 + error * scale


def _another(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Evaluate a function that is not the solution.

    It has a wave, for a polynomial might be a solution too.
    """
    phase = x @ np.arange(1.0, problem.dim + 1) / problem.dim
    return 1.01 * problem.solution(x) + 0.1 * np.sin(phase + 0.7)[:, None]


def _random(problem: Problem, term: Term, n: int) -> tuple[Jet, np.ndarray, np.ndarray]:
    """Draw points, targets and a jet of nothing in particular."""
    generator = _rng(3)
    x, y = term.sample(generator, n)
    value = generator.normal(size=(n, problem.outputs))
    if term.operator.diffusion is None:
        return Jet(value, None, None), x, y
    gradient = generator.normal(size=(n, problem.dim, problem.outputs))
    return Jet(value, gradient, generator.normal(size=value.shape)), x, y


def _like_numpy(problem: Problem, framework: implementations.Framework) -> Iterator[str]:
    for name, term in _terms(problem):
        jet, x, y = _random(problem, term, 7)
        put = framework.backend.from_numpy
        theirs = Jet(*(None if channel is None else put(channel) for channel in jet))
        residual = framework.backend.to_numpy(
            term.operator.residual(theirs, put(x), put(y))
        )
        if not np.allclose(
            residual, term.operator.residual(jet, x, y), rtol=1e-12, atol=1e-12
        ):
            yield f"the residual of the {name} in {framework.name} is not that in NumPy"


def _gradient(problem: Problem, framework: implementations.Framework) -> np.ndarray:
    """Compute the gradient of the loss of a small network, [D]."""
    start = networks.initial_parameters("tanh_5_4", problem.dim, problem.outputs, 1)
    gradient = framework.backend.compile(framework.Objective(problem).gradient)
    arrays = framework.backend.from_numpy_tree((start, seeds.batch(problem, 1, 0, 7, 5)))
    _, matrices = gradient(*arrays)
    return np.concatenate(
        [matrix.ravel() for matrix in framework.backend.to_numpy_tree(matrices)]
    )


def _in_words(jet: Jet, y: np.ndarray, point: int) -> str:
    """Describe what an operator reads there."""
    words = [f"u = {_list(jet.value[point])}"]
    if jet.gradient is not None:
        words += [
            f"∇u = {_list(jet.gradient[point].T)}",
            f"tr(A∇²u) = {_list(jet.curvature[point])}",
        ]
    return ", ".join([*words, f"y = {_list(y[point])}"])


def _kind(array: Any) -> str:
    """Say what it is instead."""
    if not isinstance(array, np.ndarray):
        return f"it is of type {type(array).__name__}"
    return f"it is {array.dtype} {list(array.shape)}"


def _list(numbers: Any) -> str:
    shown = [f"{number:.4g}" for number in np.ravel(numbers)[:4]]
    more = ", …" if np.size(numbers) > 4 else ""
    return shown[0] if np.size(numbers) == 1 else f"({', '.join(shown)}{more})"
