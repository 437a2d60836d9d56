"""A trajectory that changes needs a new version: problems and optimizers against recorded numbers.

`python tests/test_versions.py` prints what to record after a version was raised.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import implementations
import problems
from harness import parity
from problems import networks, seeds

FILE = Path(__file__).parent / "data" / "versions.json"
RECORDED = json.loads(FILE.read_text())
FRAMEWORK = implementations.installed()[0]


def of_problem(name):
    """Numbers that change with a problem's points, targets, operator or initial parameters; NumPy alone."""
    problem = problems.get(name)
    batch = seeds.batch(problem, 3, 1, 7, 5)
    start = networks.initial_parameters("tanh_4", problem.dim, problem.outputs, 3)
    x, u = seeds.evaluation_points(problem, "report")
    parts = [part for points in batch for part in points] + start + [x[:9], u[:9]]
    return [problem.version, float(sum(np.abs(part).sum() for part in parts))]


def of_optimizer(name):
    """The parameters' size after three steps with hyperparameters that do not amplify rounding."""
    framework = implementations.load(FRAMEWORK)
    case = parity.Case(problems.get("heat_sine_1d"), name, parity.CONDITIONED[name], steps=3)
    path = parity.trajectory(framework, case)
    return [framework.OPTIMIZERS[name].version, float(np.abs(path[-1] - path[0]).sum())]


@pytest.mark.parametrize("name", problems.names())
def test_a_problem_that_changed_has_a_new_version(name):
    version, number = RECORDED["problems"][name]
    assert of_problem(name) == [version, pytest.approx(number, rel=1e-12)]


@pytest.mark.parametrize("name", parity.CONDITIONED)
def test_an_optimizer_that_changed_has_a_new_version(name):
    version, number = RECORDED["optimizers"][name]
    assert of_optimizer(name) == [version, pytest.approx(number, rel=1e-8)]


if __name__ == "__main__":
    optimizers = {name: of_optimizer(name) for name in parity.CONDITIONED}
    print(
        json.dumps(
            {"problems": {name: of_problem(name) for name in problems.names()}, "optimizers": optimizers}, indent=1
        )
    )
