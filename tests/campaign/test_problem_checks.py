"""`optbench check`: a planted fault is found by the check that it is about."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from made_up import on_grid
from own_files import PDE
from typer.testing import CliRunner

from optbench import implementations, problems
from optbench.campaign import problem_checks as contract
from optbench.campaign.numerical_jets import jet_of
from optbench.cli.app import app
from optbench.problems.domains import box, faces
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
        "Error|x of the interior must be",
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
        "targets y of the interior are not finite",
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
        "misses .* by 0.1 at .* u = .*, y = 0.1",
    ),
    "blind data": (
        boundary(operator=Operator(lambda jet, x, y: 0 * y)),
        "data",
        "another value has no residual",
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
        r"the residual of the interior must be \[7, 1\] as its targets; "
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
    assert "misses the boundary or initial condition by 6.2" in next(
        iter(contract.data(wrong))
    )


def test_derivatives_are_those_of_formulas():
    x = np.random.default_rng(0).random((5, 2))
    jet, error = jet_of(
        lambda x: np.exp(x[:, :1]) * np.sin(3 * x[:, 1:]),
        np.array([[2.0, 0.5], [0.5, 1.0]]),
        x,
    )
    e, s, c = np.exp(x[:, :1]), np.sin(3 * x[:, 1:]), np.cos(3 * x[:, 1:])
    np.testing.assert_allclose(
        jet.gradient, np.stack([e * s, 3 * e * c], 1), rtol=1e-11, atol=1e-11
    )
    np.testing.assert_allclose(
        jet.curvature, 2 * e * s + 3 * e * c - 9 * e * s, atol=10 * error
    )
    assert error < 1e-9


@pytest.mark.parametrize(
    "function",
    [lambda x: np.log(x[:, :1]), lambda x: np.linalg.norm(x, axis=1, keepdims=True)],
)
def test_derivatives_are_found_where_a_line_leaves_the_domain_or_is_not_analytic(function):
    x = np.array([[0.05, 0.3], [0.6, 0.02]])
    jet, error = jet_of(function, np.eye(2), x)
    r = np.linalg.norm(x, axis=1, keepdims=True)
    expected = -1 / x[:, :1] ** 2 if function(x)[0] < 0 else 1 / r
    np.testing.assert_allclose(jet.curvature, expected, rtol=1e-6)
    assert np.abs(jet.curvature - expected).max() < 30 * error


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
    assert "misses the boundary" in next(
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
    monkeypatch.setattr(contract, "_like_numpy", lambda *given: others.clear() or ())
    monkeypatch.setattr(contract, "_gradient", lambda problem, loaded: np.ones(1))
    (result,) = contract.check(good, ["frameworks"])
    assert not others  # the other was asked
    assert str(result) == (
        f"frameworks  not checked ({broken} does not import: ImportError: a planted fault; "
        "the check of the twins was not made)"
    )
    monkeypatch.setattr(contract, "_like_numpy", lambda problem, loaded: ["planted"])
    (result,) = contract.check(good, ["frameworks"])
    assert (result.issues, result.skipped) == (["planted"], False)
    assert f"1 issue ({broken} does not import" in str(result)


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


def test_the_contract_is_not_a_formality():
    """Every check has a planted fault."""
    assert {expected for _, expected, _ in FAULTS.values()} == set(contract.CHECKS) - {
        "reference"
    }
