"""`optbench check`: a planted fault is found by the check that it is about."""

import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import posed
import pytest
from made_up import on_grid
from own_files import PDE
from typer.testing import CliRunner

from optbench import implementations, problems
from optbench.campaign import problem_checks as contract
from optbench.campaign.checks import twins
from optbench.cli.app import app
from optbench.problems.domains import Region, box, faces, outward_normal, walls
from optbench.problems.jets import along, trace
from optbench.problems.jets import partial as derivative
from optbench.problems.own import get
from optbench.problems.problem import DIRICHLET, Operator, Term

LOWER, UPPER = np.zeros(2), np.ones(2)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    file = tmp_path_factory.mktemp("own") / "my_pde.py"
    file.write_text(PDE)
    return get(f"{file}:helmholtz_2d", "problem", problems.defined)


def interior(residual=None, diffusion=None, points=None, target=None):
    """The problem with another interior."""

    def change(good):
        operator = good.interior.operator
        operator = Operator(
            residual or operator.residual,
            operator.diffusion if diffusion is None else diffusion,
        )
        sample = (
            Term.of(operator, points, lambda x: -18 * good.solution(x)).sample
            if points
            else good.interior.sample
        )
        if target:

            def aimed(generator, n):
                x, y = sample(generator, n)
                return x, target(x, y)

            return replace(good, interior=Term(operator, aimed))
        return replace(good, interior=Term(operator, sample))

    return change


def boundary(points=None, target=None, operator=DIRICHLET):
    """The problem with another boundary."""
    points = points or partial(faces, dim=2)
    return lambda good: replace(
        good, boundary=Term.of(operator, points, target or good.solution)
    )


def fields(**given):
    return lambda good: replace(good, **given)


def unseeded(generator, n):
    return np.random.default_rng().random((n, 2))


def globally(generator, n):
    return np.random.rand(n, 2)  # noqa: NPY002


def fixed(generator, n):
    return np.random.default_rng(5).random((n, 2))


FAULTS = {
    "no dimension": (
        fields(dim=0),
        "fields",
        "dim is 0: must be a whole number of at least 1",
    ),
    "no name": (
        fields(name="a b"),
        "fields",
        "name is 'a b': must be letters, digits and _",
    ),
    "flat bounds": (
        fields(bounds=(LOWER, LOWER)),
        "fields",
        r"every lower bound must be below the upper one",
    ),
    "whole bounds": (
        fields(bounds=([0, 0], [1, 1])),
        "fields",
        r"lower bound must be a float64 array \[2\], .* list",
    ),
    "no network": (
        fields(networks=("relu",)),
        "fields",
        "InvalidName in networks.py, .*: malformed network name",
    ),
    "a norm of another type": (
        fields(solution_norm=1),
        "fields",
        "solution_norm is 1: must be a float > 0",
    ),
    "A of another size": (
        interior(diffusion=np.eye(3)),
        "fields",
        r"interior is \[3, 3\]: must be \[2, 2\]",
    ),
    "flat points": (
        interior(points=lambda g, n: g.random(n)),
        "shapes",
        "Error|x of interior must be",
    ),
    "three inputs": (
        interior(points=lambda g, n: g.random((n, 3))),
        "shapes",
        r"\[1, 2\]; it is float64 \[1, 3\]",
    ),
    "flat targets": (
        interior(target=lambda x, y: y[:, 0]),
        "shapes",
        r"must be \[1, r\], .*; it is float64 \[1\]",
    ),
    "rounded": (
        interior(target=lambda x, y: y.astype(np.float32)),
        "shapes",
        "float64 array .*; it is float32",
    ),
    "infinite targets": (
        interior(target=lambda x, y: y / 0),
        "shapes",
        "targets y of interior are not finite",
    ),
    "a flat solution": (
        fields(solution=lambda x: x[:, 0]),
        "shapes",
        r"solution\(x\) must be .* \[7, 1\]",
    ),
    "points outside": (
        interior(points=partial(box, lower=LOWER, upper=1.1 * UPPER)),
        "domain",
        r"\d+ of 2001 interior points lie outside of the domain, such as x = \(.*\); "
        r"bounds: \(0, 0\) to \(1, 1\)",
    ),
    "points outside of a disc": (
        fields(inside=lambda x: (x**2).sum(1) < 0.5),
        "domain",
        "interior points lie outside",
    ),
    "a boundary within": (
        boundary(partial(box, lower=LOWER, upper=UPPER)),
        "boundary",
        "500 of 500 .* lie within",
    ),
    "a boundary without": (
        boundary(lambda g, n: 2 + faces(g, n, 2)),
        "boundary",
        "500 of 500 .* lie outside",
    ),
    "half a source": (
        interior(target=lambda x, y: y / 2),
        "solution",
        r"the solution has a residual of .* at x = .*There u = .*, ∇u = \(.*\), "
        r"tr\(A∇²u\) = .*, y = ",
    ),
    "another sign": (
        interior(target=lambda x, y: -y),
        "solution",
        "with -y for y it would be 0: the target's sign",
    ),
    "a wrong digit": (
        interior(target=lambda x, y: (1 + 1e-6) * y),
        "solution",
        "the solution has a residual of",
    ),
    "half the curvature": (
        interior(diffusion=np.diag([1.0, 0.5])),
        "solution",
        "the solution has a residual of",
    ),
    "a blind operator": (
        interior(residual=lambda jet, x, y: 0 * jet.value),
        "solution",
        "another function has no res",
    ),
    "a rough solution": (
        fields(solution=lambda x: np.random.default_rng(len(x)).random((len(x), 1))),
        "solution",
        "cannot be found from its values: is it smooth",
    ),
    "other data": (
        boundary(target=lambda x: 0.1 + 0 * x[:, :1]),
        "data",
        "misses the condition boundary by 0.1 at .* u = .*, y = 0.1",
    ),
    "blind data": (
        boundary(operator=Operator(lambda jet, x, y: 0 * y)),
        "data",
        "another function has no residual in boundary either",
    ),
    "another norm": (
        fields(solution_norm=0.4),
        "norm",
        r"solution_norm is 0.4, but over .* is 0.(49|50)",
    ),
    "points without a seed": (
        interior(points=unseeded),
        "randomness",
        "the same seed gives other points",
    ),
    "NumPy's global generator": (
        interior(points=globally),
        "randomness",
        "moves NumPy's global generator",
    ),
    "always the same points": (
        interior(points=fixed),
        "randomness",
        "every seed gives the same interior points",
    ),
    "a residual of another shape": (
        interior(residual=lambda jet, x, y: (jet.curvature + 4 * jet.value - y)[:, 0]),
        "operators",
        r"the residual of interior must be \[7, 1\] as its targets; "
        r"it is float64 \[7\]",
    ),
    "a mean over the batch": (
        interior(
            residual=lambda jet, x, y: (
                jet.curvature + 4 * jet.value - y - (jet.value - jet.value.mean())
            )
        ),
        "operators",
        "at a point depends on the other points of the batch",
    ),
    "derivatives that are not there": (
        boundary(operator=Operator(lambda jet, x, y: jet.gradient[:, 0] - y)),
        "data",
        "TypeError in test_problem_checks.py, line",
    ),
    "NumPy in the operator": (
        interior(residual=lambda jet, x, y: jet.curvature + 4 * np.sin(jet.value) - y),
        "frameworks",
        "does not run in .* An operator is arithmetic on jet, x and y, "
        "without NumPy's functions",
    ),
}
SKIPPED = {name: {"frameworks"} for name in FAULTS} | {
    "NumPy in the operator": set()
}  # compiling takes seconds


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_found_and_explained(what, good, monkeypatch):
    change, expected, message = FAULTS[what]
    checks = {
        name: check for name, check in contract.CHECKS.items() if name not in SKIPPED[what]
    }
    monkeypatch.setattr(contract, "CHECKS", checks)
    with np.errstate(all="ignore"):
        results = list(contract.check(change(good)))
    found = {result.name: result.issues for result in results if result.issues}
    assert expected in found
    said = " | ".join(found[expected])
    assert re.search(message, said), said
    assert all("\n" not in issue for issues in found.values() for issue in issues)
    after_first = [
        result.skipped for result in results if result.name not in contract.FIRST
    ]
    assert all(after_first) if expected in contract.FIRST else not any(after_first)


def test_a_disc_is_a_domain(good):
    """Where `inside` says what is the domain, its own boundary counts, not the box's."""

    def circle(generator, n):
        angle = generator.uniform(0, 2 * np.pi, n)
        return np.stack([np.cos(angle), np.sin(angle)], 1)

    def within(generator, n):
        return circle(generator, n) * np.sqrt(generator.random((n, 1)))

    def parabola(x):
        return 1 - (x**2).sum(1, keepdims=True)

    domain = {"bounds": (-UPPER, UPPER), "inside": lambda x: (x**2).sum(1) <= 1}
    operator = Operator(lambda jet, x, y: jet.curvature + y, np.eye(2))
    terms = {
        "interior": Term.of(operator, within, lambda x: np.full((len(x), 1), 4.0)),
        "boundary": Term.of(DIRICHLET, circle, parabola),
    }
    problem = replace(good, **terms, **domain, solution=parabola, solution_norm=3**-0.5)
    for name in ("domain", "boundary", "solution", "data", "norm", "randomness"):
        assert list(contract.issues_of(contract.CHECKS[name], problem)) == []
    boxed = replace(problem, inside=None)
    assert "lie within the domain" in next(contract.issues_of(contract.boundary, boxed))


def test_a_condition_may_have_derivatives(good):
    """∂₁u on two faces, by an operator with a matrix."""

    def sides(generator, n):
        return np.stack([np.round(generator.random(n)), generator.random(n)], 1)

    def slope(x):
        return np.pi * np.cos(np.pi * x[:, :1]) * np.sin(np.pi * x[:, 1:])

    neumann = Operator(lambda jet, x, y: jet.gradient[:, 0] - y, np.zeros((2, 2)))
    right = replace(good, boundary=Term.of(neumann, sides, slope))
    assert list(contract.data(right)) == []
    wrong = replace(good, boundary=Term.of(neumann, sides, lambda x: -slope(x)))
    assert "misses the condition boundary by 6.2" in next(iter(contract.data(wrong)))


@pytest.mark.parametrize(("nodes", "coarse"), [(33, False), (9, True)])
def test_a_reference_is_asked_for_its_accuracy_alone(nodes, coarse, good):
    axis = np.linspace(0, 1, nodes)
    known = on_grid(good.solution, axis, axis, accuracy=1e-4)
    problem = replace(good, solution=known, solution_norm=known.norm)
    found = {
        name: list(contract.issues_of(check, problem))
        for name, check in contract.CHECKS.items()
        if name != "frameworks"
    }
    (wrong,) = found.pop("reference") or [None]
    assert coarse == (
        wrong is not None
        and "interpolation is off by about" in wrong
        and "its accuracy of 1.0e-04" in wrong
    )
    assert not coarse or "a finer grid is needed" in wrong
    assert {name for name, issues in found.items() if issues} <= (
        {"norm"} if coarse else set()
    )


def test_a_reference_that_misses_the_data_is_found(good):
    axis = np.linspace(0, 1, 33)
    shifted = on_grid(lambda x: good.solution(x) + 0.1, axis, axis, accuracy=1e-3)
    assert "misses the condition boundary" in next(
        iter(contract.data(replace(good, solution=shifted)))
    )


def test_a_framework_that_does_not_import_is_not_the_problems_fault(good, monkeypatch):
    load, (broken, *others) = implementations.load, implementations.FRAMEWORKS

    def load_others(name):
        if name == broken:
            raise implementations.FrameworkBroken(
                name, "does not import: ImportError: a planted fault"
            )
        return load(name)

    monkeypatch.setattr(implementations, "load", load_others)
    monkeypatch.setattr(implementations, "installed", lambda: implementations.FRAMEWORKS)
    monkeypatch.setattr(twins, "_like_numpy", lambda *given: others.clear() or ())
    monkeypatch.setattr(twins, "_gradient", lambda problem, loaded: np.ones(1))
    (result,) = contract.check(good, ["frameworks"])
    assert not others  # the other was asked
    assert str(result) == (
        f"frameworks  not checked ({broken} does not import: ImportError: a planted fault; "
        "the check of the twins was not made)"
    )
    monkeypatch.setattr(twins, "_like_numpy", lambda problem, loaded: ["planted"])
    (result,) = contract.check(good, ["frameworks"])
    assert (result.issues, result.skipped) == (["planted"], False)
    assert f"1 issue ({broken} does not import" in str(result)


def framework(name, gradient=1.0, residual=1.0):
    """A framework made of NumPy, whose numbers may be off by a factor."""

    class Objective:
        def __init__(self, problem, network, seed):
            self.problem = problem

        def gradient(self, params, batch):
            assert list(batch) == list(self.problem.terms)
            return None, [gradient * matrix for matrix in params]

    backend = SimpleNamespace(
        from_numpy=np.array,
        to_numpy=lambda array: residual * array,
        from_numpy_tree=lambda tree: tree,
        to_numpy_tree=lambda tree: tree,
        compile=lambda function: function,
    )
    return SimpleNamespace(name=name, backend=backend, Objective=Objective)


@pytest.mark.parametrize("pose", posed.EVERY)
def test_frameworks_are_compared_with_numpy_and_with_each_other(pose, monkeypatch):
    one, two = implementations.FRAMEWORKS
    monkeypatch.setattr(implementations, "installed", lambda: (one, two))

    def issues(**off):
        made = {one: framework(one), two: framework(two, **off)}
        monkeypatch.setattr(implementations, "load", made.get)
        return list(contract.frameworks(pose()))

    assert issues() == []
    assert issues(gradient=1 + 1e-9) == [
        f"the loss's gradient in {one} and {two} differs by 1.0e-09, relative"
    ]
    assert issues(residual=1 + 1e-9) == [
        f"the residual of {name} in {two} is not that in NumPy" for name in pose().terms
    ]


def test_a_reference_is_not_asked_for_derivatives(good):
    axis = np.linspace(0, 1, 33)
    neumann = Operator(lambda jet, x, y: jet.u_x - y, reads={"u_x": derivative(0)})
    flux = Term.of(neumann, partial(faces, dim=2), lambda x: 7 + 0 * x[:, :1])
    known = on_grid(good.solution, axis, axis, accuracy=1e-4)
    problem = replace(good, boundary=flux)
    assert "misses the condition boundary" in next(iter(contract.data(problem)))
    assert list(contract.data(replace(problem, solution=known))) == []


@pytest.mark.medium
def test_the_command_says_ok_or_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        contract, "CHECKS", {n: c for n, c in contract.CHECKS.items() if n != "frameworks"}
    )
    (tmp_path / "two.py").write_text(
        PDE
        + PDE.replace('"helmholtz_2d"', '"wrong_2d"')
        .replace("(K**2 -", "(K**2 +")
        .replace("helmholtz = ", "wrong = ")
    )
    said = CliRunner().invoke(app, ["check", "two.py:helmholtz_2d"])
    assert (said.exit_code, said.stderr) == (0, "")
    assert all(line.endswith(" ok") for line in said.stdout.splitlines()[1:])
    said = CliRunner().invoke(app, ["check", "two.py"])
    assert said.exit_code == 1
    assert said.stdout.count("  solution    1 issue\n") == 1
    assert "\nsolution: the solution has a residual of" in said.stdout
    assert said.stderr == "optbench: 1 issue in two.py\n"
    assert CliRunner().invoke(app, ["check", "heat_sine_1d"]).exit_code == 0


@pytest.mark.parametrize("pose", posed.EVERY)
def test_problems_of_several_terms_are_sound(pose):
    problem = pose()
    checks = contract.CHECKS.keys() - {"frameworks"}
    assert {result.name: result.issues for result in contract.check(problem, checks)} == {
        name: [] for name in checks
    }


def reading(**other):
    """Reads of the soliton's equation, some of them others."""
    return posed.kdv(reads=posed.THIRD | other)


def digit(six):
    """The soliton's equation with another coefficient."""
    return posed.kdv(
        residual=lambda jet, x, y: jet.u_t + six * jet.value * jet.u_x + jet.u_xxx - y
    )


def inward(x):
    return [-v for v in posed.OUTWARD(x)]


def poses(pose=posed.kdv, **given):
    return lambda: replace(pose(), **given)


def conditions(**terms):
    """The soliton with other conditions."""
    return lambda: replace(posed.kdv(), terms={**posed.kdv().terms, **terms})


def number(points):
    return replace(posed.kdv().terms["initial"], default_points=points)


def flowing(jet, x, y):
    """The flow's equations with another sign of the pressure, and v beside it."""
    first, second, third = posed.momentum(jet, x, y)
    return first - 2 * jet.w_x[:, 2:], second, third


SPOILED = {
    "a sign": (
        lambda: digit(-6),
        "solution",
        r"the solution has a residual of .* at x = .* There u = .*, u_t = .*, u_x = .*, "
        r"u_xxx = .*, y = 0$",
    ),
    "a digit": (lambda: digit(6 * (1 + 1e-6)), "solution", "has a residual of"),
    "a digit of the fourth order": (
        lambda: posed.plate(
            lambda jet, x, y: jet.u_xxxx + (2 + 2e-6) * jet.u_xxyy + jet.u_yyyy - y
        ),
        "solution",
        "u_xxyy = ",
    ),
    "an axis for another": (
        lambda: reading(u_xxx=derivative(0, 1, 1)),
        "solution",
        "u_xxx = ",
    ),
    "an order for another": (
        lambda: reading(u_xxx=derivative(1, 1)),
        "solution",
        "has a residual of",
    ),
    "a pressure that pulls": (
        lambda: posed.kovasznay(flowing),
        "solution",
        r"There u = \(.*\), w_x = \(.*\), w_y = .*, lap = .*, y = \(0, 0, 0\)",
    ),
    "half a trace": (
        lambda: posed.kovasznay(reads=posed.FLOW | {"lap": trace([1.0, 0.5])}),
        "solution",
        "lap = ",
    ),
    "an inward normal": (
        lambda: posed.kdv(normal=inward),
        "data",
        "misses the condition slope by .*, u_n = .*, y = ",
    ),
    "a normal that is nowhere": (
        lambda: posed.kdv(normal=outward_normal(posed.LOWER, posed.UPPER + 1e-9, [1])),
        "shapes",
        "the direction of u_n of slope is 0 at x = .*: a derivative along it says nothing",
    ),
    "a normal of one input": (
        lambda: posed.kdv(normal=lambda x: x[:, :1]),
        "shapes",
        r"the direction of u_n of slope must be \[7, 2\] at 7 points, .* float64 \[7, 1\]",
    ),
    "a matrix that is not symmetric": (
        lambda: posed.kovasznay(
            reads=posed.FLOW
            | {
                "lap": trace(
                    lambda x: np.tile([[1.0, 1.0], [0.0, 1.0]], (len(x), 1, 1)), [0, 1]
                )
            }
        ),
        "shapes",
        "the matrix of lap of interior must be symmetric",
    ),
    "a read for nothing": (
        lambda: reading(u_xx=derivative(1, 1)),
        "operators",
        "the operator of interior reads u_xx and does not use it",
    ),
    "an input that is not there": (
        lambda: reading(u_x=derivative(2)),
        "fields",
        "u_x of interior reads along the input 2: must be 0 to 1",
    ),
    "a direction that is too long": (
        lambda: reading(u_x=along([0, 1, 2])),
        "fields",
        "along the input 2",
    ),
    "no points": (
        conditions(initial=number(0)),
        "fields",
        "default_points of initial is 0: must be a whole number of at least 1",
    ),
    "other initial values": (
        conditions(
            initial=Term.of(
                DIRICHLET,
                posed.kdv().terms["initial"].region,
                lambda x: 1.5 * posed.soliton(x),
                9,
            )
        ),
        "data",
        "misses the condition initial by",
    ),
    "a condition within": (
        conditions(
            initial=Term.of(
                DIRICHLET, posed.kdv().terms["interior"].region, posed.soliton, 9
            )
        ),
        "boundary",
        "500 of 500 points of initial lie within the domain .*; where the domain is no box",
    ),
    "axes of another number": (
        poses(axes=("t",)),
        "fields",
        r"axes is \('t',\): must be 2 different names",
    ),
    "a march without a time": (
        poses(axes=(), march=100),
        "fields",
        "march is 100: axes must say which input is the time, 't'",
    ),
    "another way of drawing": (
        poses(sampling="grid"),
        "fields",
        "sampling is 'grid': must be 'uniform' or 'sobol'",
    ),
    "points that cannot be placed": (
        lambda: replace(
            conditions(slope=replace(posed.kdv().terms["slope"], region=None))(),
            sampling="sobol",
        ),
        "fields",
        "sampling is 'sobol', but slope has no region: make it by Term.of",
    ),
    "evaluation elsewhere": (
        poses(evaluation=lambda g, n: 9 + g.random((n, 2))),
        "domain",
        "2001 of 2001 evaluation points lie outside",
    ),
    "half a period": (
        lambda: posed.convection(period=np.pi),
        "periodicity",
        r"periodic\[1\] has the period 3.141592654, but the solution is .* a period on",
    ),
    "two periods": (
        lambda: posed.convection(period=4 * np.pi),
        "fields",
        r"periodic\[1\] has the period 12.5.*: must be the box's width of 6.283185307, or",
    ),
    "a period of nothing": (
        lambda: posed.convection(period=0),
        "fields",
        "has the period 0: must be",
    ),
    "no modes": (
        lambda: posed.convection(modes=0),
        "fields",
        r"periodic\[1\] has modes 0: must be a whole number of at least 1",
    ),
    "a period of an input that is not there": (
        poses(posed.convection, periodic={2: posed.Periodic(1.0)}),
        "fields",
        "periodic names the input 2: must be 0 to 1",
    ),
    "walls on a circle": (
        lambda: posed.convection(place=walls(posed.ROUND_LOWER, posed.ROUND_UPPER, [1])),
        "boundary",
        "points of gauge lie within .*; a periodic input has no boundary",
    ),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_fault_in_several_terms_is_found_and_explained(what):
    pose, expected, message = SPOILED[what]
    checks = contract.CHECKS.keys() - {"frameworks"}
    results = contract.check(pose(), checks)
    found = {result.name: result.issues for result in results if result.issues}
    assert any(re.search(message, issue) for issue in found.get(expected, [])), found


def test_a_condition_may_hold_at_one_place_of_the_domain():
    """A pressure is known up to a constant: it may be given anywhere, at all times."""
    lower, upper = posed.LOWER, posed.UPPER
    place = Region(((np.array([0.0, 1.0]), np.array([1.0, 1.0])),))
    gauge = Term.of(DIRICHLET, place, posed.soliton, 9)
    problem = replace(posed.kdv(), terms={**posed.kdv().terms, "gauge": gauge})
    assert list(contract.boundary(problem)) == []
    line = Region(((np.array([0.5, lower[1]]), np.array([0.5, upper[1]])),))
    along_it = Term.of(DIRICHLET, line, posed.soliton, 9)
    (said,) = contract.boundary(
        replace(problem, terms={**problem.terms, "gauge": along_it})
    )
    assert "points of gauge lie within" in said


def test_a_solution_without_extended_precision_is_checked_to_the_same_digits():
    def rounded(x):
        return posed.soliton(x.astype(np.float64))

    assert list(contract.solution(replace(posed.kdv(), solution=rounded))) == []
    assert list(contract.solution(replace(digit(6 * (1 + 1e-6)), solution=rounded)))


def test_the_contract_is_not_a_formality():
    """Every check has a planted fault."""
    faults = [*FAULTS.values(), *SPOILED.values()]
    assert {expected for _, expected, _ in faults} == set(contract.CHECKS) - {"reference"}
