"""`make bench`: every benchmark runs once, tiny; what it times is what a step does."""

import json
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from small import OPTIMIZERS, frameworks, relative

from benchmarks.bench import bench_operators, bench_parts, bench_step
from optbench import implementations
from optbench.measure.timed import Timed, Work

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "benchmarks" / "bench").glob("bench_*.py"))
# Inductor would compile for minutes: tests/test_compiled.py has that mode
TINY = ["--network=tanh_3", "--interior=5", "--boundary=4", "-k", "not compiled"]
# a round a benchmark; xdist's workers would switch the measurement off
ONCE = ["--benchmark-min-rounds=1", "--benchmark-max-time=0", "--benchmark-min-time=0"]
GROUPS = ["--benchmark-group-by=param:problem,param:optimizer"]
PROBLEMS = ("poisson_sine_2d", "heat_sine_1d")
PARTS = {
    "forward_laplacian": ["any"],
    "nested_laplacian": ["any"],
    "factors": ["kfac"],
    "line_search": ["kfac"],
    "solve": ["engd", "kfac"],
    "step": OPTIMIZERS,
}
OUTSIDE = {"step_of_torch_optim": "torch", "step_of_optax": "jax"}


@pytest.mark.slow
def test_every_benchmark_runs_once_and_frameworks_are_in_one_table(tmp_path):
    """In one test: a process a worker of xdist would run them all again."""
    file = tmp_path / "bench.json"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *FILES,
        *TINY,
        *ONCE,
        *GROUPS,
        f"--benchmark-json={file}",
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST_XDIST")
    }
    said = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, env=environment
    )
    assert said.returncode == 0, said.stdout
    report = json.loads(file.read_text())
    assert_every_one_ran(report["benchmarks"])
    assert_frameworks_are_in_one_table(said.stdout)
    machine = report["machine_info"]
    assert machine["threads"] == 1
    assert machine["packages"]["numpy"] == np.__version__
    assert platform.node() not in json.dumps(machine)


def assert_every_one_ran(benchmarks):
    names = ("problem", "framework", "optimizer")
    ran = {
        (
            one["name"].partition("[")[0].removeprefix("test_"),
            *map(one["params"].get, names),
        )
        for one in benchmarks
    }
    ours = {
        (part, problem, framework, optimizer)
        for part, optimizers in PARTS.items()
        for optimizer in optimizers
        for framework in implementations.installed()
        for problem in PROBLEMS
    }
    theirs = {
        (name, problem, framework, optimizer)
        for name, framework in OUTSIDE.items()
        for problem in PROBLEMS
        for optimizer in ("sgd", "adam")
        if framework in implementations.installed()
    }
    operators = {
        ("operator", operator, framework, "any")
        for operator in bench_operators.OPERATORS
        for framework in implementations.installed()
    }
    assert ran == ours | theirs | operators


def assert_frameworks_are_in_one_table(said):
    tables = re.split(r"-+ benchmark 'problem=", said)[1:]
    operators = len(bench_operators.OPERATORS)
    assert len(tables) == len(PROBLEMS) * (len(OPTIMIZERS) + 1) + operators
    rows = [
        name
        for name, framework in OUTSIDE.items()
        if framework in implementations.installed()
    ]
    for problem in PROBLEMS:
        (adam,) = [
            table for table in tables if table.startswith(f"{problem} optimizer=adam'")
        ]
        for row in [
            *rows,
            *(f"step[{framework}" for framework in implementations.installed()),
        ]:
            assert f"test_{row}" in adam


@cache
def timed(framework, optimizer, **hyperparameters):
    return Timed(
        Work(
            framework,
            optimizer,
            "heat_sine_1d",
            "tanh_4_3",
            hyperparameters,
            {"interior": 7, "boundary": 5},
        )
    )


@frameworks
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_both_laplacians_are_the_same_numbers(framework):
    """Of the heat equation: the second derivatives in space alone."""
    case = timed(framework, "sgd")
    forward, nested = (
        case.framework.backend.to_numpy(function(case)())
        for function in (bench_parts.forward_laplacian, bench_parts.nested_laplacian)
    )
    assert forward.shape == (7, 1)
    assert relative(forward, nested) <= 1e-13


@frameworks
@pytest.mark.parametrize("operator", bench_operators.OPERATORS)
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@pytest.mark.medium
def test_every_way_to_compute_an_operator_agrees(operator, framework):
    """`checked` holds each against nested differentiation, which is not ours."""
    case = bench_operators.make(framework, operator, "tanh_4_3", points=5)
    ours = bench_operators.checked(case, "ours")
    assert case.framework.backend.to_numpy(ours()).shape == (5,)


@frameworks
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_an_operator_that_is_another_is_not_timed(framework, monkeypatch):
    case = bench_operators.make(framework, "laplacian_2d", "tanh_4_3", points=5)
    kept = bench_operators.ours

    def wrong(applied):
        return lambda params, x: kept(applied)(params, x) * (1 + 1e-7)

    monkeypatch.setattr(bench_operators, "ours", wrong)
    with pytest.raises(AssertionError):
        bench_operators.checked(case, "ours")


@frameworks
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_outside_step_is_our_first_step(framework, optimizer):
    outside = {"torch": bench_step.torch_optim, "jax": bench_step.optax}[framework]
    case = timed(framework, optimizer)
    start = case.optimizer.init(case.objective, case.params)
    ours, _, _ = case.function(
        lambda params, batch: case.optimizer.step(case.objective, params, start, batch)
    )()
    result = outside(case)()
    theirs = result if framework == "torch" else result[0]
    assert (
        relative(
            case.framework.backend.to_numpy_tree(theirs),
            case.framework.backend.to_numpy_tree(ours),
        )
        <= 1e-12
    )


needs_torch = pytest.mark.skipif(
    "torch" not in implementations.installed(), reason="torch is missing"
)


@needs_torch
def test_the_parts_of_kfac_are_those_of_its_step():
    case = timed("torch", "kfac", damping=1e-3, decay=0.5, momentum=0.3)
    moved, after, _ = case.step(case.params, case.state, case.batch)
    assert (
        relative(
            case.framework.backend.to_numpy_tree(bench_parts.line_search(case)()[0]),
            numbers(case, moved),
        )
        == 0
    )
    directions = numbers(case, bench_parts.kronecker_solve(case)())
    after_step, before = (numbers(case, state.momentum) for state in (after, case.state))
    momentum = [new - 0.3 * old for new, old in zip(after_step, before, strict=True)]
    assert relative(directions, momentum) <= 1e-10
    factors = [
        factor for term in bench_parts.factors(case)() for layer in term for factor in layer
    ]
    old, new = (
        numbers(
            case,
            [
                factor
                for term in (slice(0, 2), slice(2, 4))
                for layer in state.preconditioner.factors
                for factor in layer[term]
            ],
        )
        for state in (case.state, after)
    )
    assert (
        relative(numbers(case, factors), [2 * b - a for a, b in zip(old, new, strict=True)])
        <= 1e-10
    )


@needs_torch
def test_engd_s_solve_is_that_of_its_step():
    case = timed("torch", "engd", damping=1e-4)
    moved, after, _ = case.step(case.params, case.state, case.batch)
    solution = case.framework.backend.to_numpy(bench_parts.gramian_solve(case)())
    pairs = zip(numbers(case, moved), numbers(case, case.params), strict=True)
    step = np.concatenate([(new - old).ravel() for new, old in pairs])
    size = bench_parts.part(case, "solvers.grid_search").GRID[int(after.search.choice)]
    assert relative(-size * solution, step) <= 1e-8


def numbers(case, tree):
    return [np.asarray(array) for array in case.framework.backend.to_numpy_tree(list(tree))]


PYTEST = """#!/bin/sh
for word in "$@"; do
case "$word" in --benchmark-json=*) echo new > "${word#*=}";; esac
done
exit CODE
"""


@pytest.mark.parametrize(("code", "kept"), [(0, "new"), (1, "old"), (2, "old"), (5, "old")])
def test_only_what_is_whole_replaces_the_file_that_was_there(code, kept, tmp_path):
    """2 is pytest's exit code after an interruption; it writes what it has even then."""
    file, tool = tmp_path / "bench.json", tmp_path / "pytest"
    file.write_text("old\n")
    tool.write_text(PYTEST.replace("CODE", str(code)))
    tool.chmod(0o755)
    said = subprocess.run(
        ["make", "bench", f"BIN={tmp_path}", f"JSON={file}", "-o", ".venv/.installed"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (said.returncode == 0) == (code == 0)
    assert file.read_text() == f"{kept}\n"
    assert (tmp_path / "bench.json.partial").exists() == (code != 0)
    assert ("is as it was" in said.stderr) == (code != 0)
