"""A trajectory that changes needs a new version: against recorded numbers.

`python tests/implementations/test_versions.py` prints what to record after a version was
raised.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from small import drawn

from optbench import implementations, problems
from optbench.measure import parity
from optbench.problems import input_maps, networks, seeds
from optbench.problems.problem import Jet

FILE = Path(__file__).parents[1] / "data" / "versions.json"
FRAMEWORK = implementations.installed()[0]


# beyond parity's one case each: what else changes a trajectory
OPTIMIZERS = {name: (name, fields) for name, fields in parity.CONDITIONED.items()} | {
    "sgd cosine": ("sgd", {"schedule": "cosine", "schedule_steps": 4, "warm_up": 0.25}),
    "adam exponential": ("adam", {"schedule": "exponential", "schedule_steps": 4}),
    "soap exponential": (
        "soap",
        {"eps": 1e-4, "interval": 1, "schedule": "exponential", "schedule_steps": 4},
    ),
    "muon cosine": (
        "muon",
        {"nesterov": False, "schedule": "cosine", "schedule_steps": 4, "warm_up": 0.25},
    ),
    "spring constrained": (
        "spring",
        {"damping": 1e-2, "learning_rate": 0.1, "bias_correction": True},
    ),
    "kfac reduce": ("kfac", {"damping": 1e-2, "approximation": "reduce"}),
    "kfac empirical": ("kfac", {"damping": 1e-2, "curvature": "empirical"}),
    "kfac trace-norm": ("kfac", {"damping": 1e-2, "damping_rule": "trace-norm"}),
    "kfac relative": ("kfac", {"damping": 1e-4, "damping_rule": "relative", "guard": True}),
    "kfac_star guard": (
        "kfac_star",
        {"damping": 1e-4, "damping_rule": "relative", "guard": True},
    ),
    "ssbroyden plain": ("ssbroyden", {}),
    "engd jacobian": ("engd", {"damping": 1e-2, "solve": "jacobian"}),
    "hessian_free hessian": (
        "hessian_free",
        {"damping": 300.0, "cg_max_iterations": 5, "curvature": "hessian"},
    ),
    "nystrom_newton hessian": (
        "nystrom_newton",
        {"curvature": "hessian", "rank": 2, "damping": 10.0, "seed": 1},
    ),
}


def recorded(kind, name):
    """The version and the number on file, read late: this file's output may go there."""
    return json.loads(FILE.read_text())[kind][name]


def digest(parts):
    """A number that changes with every entry, its sign and its place: Σ √i v_i."""
    entries = np.concatenate([np.ravel(part) for part in parts])
    return float(np.sqrt(np.arange(1, len(entries) + 1)) @ entries)


def made_up_residual(term, x, y, outputs):
    """The operator's residual of a made-up jet, since the solution's is zero."""
    n, dim = x.shape
    if term.operator.reads:
        shape = term.operator.channels, n, outputs
        jet = term.operator.jet(np.cos(np.arange(np.prod(shape))).reshape(shape))
        return term.operator.apply(jet, x, y)
    shapes = {
        "value": (n, outputs),
        "gradient": (n, dim, outputs),
        "hessian": (n, dim, dim, outputs),
    }
    value, gradient, hessian = (
        np.cos(np.arange(np.prod(shape))).reshape(shape) for shape in shapes.values()
    )
    A = term.operator.diffusion
    jet = (
        Jet(value, None, None)
        if A is None
        else Jet(value, gradient, np.einsum("ij,nijm->nm", A, hessian))
    )
    return term.operator.residual(jet, x, y)


def of_problem(name):
    """Numbers that change with points, targets, operators or initial parameters."""
    problem = problems.get(name)
    batch = drawn(problem, 7, 5, seed=3, index=1)
    start = networks.initial_parameters("tanh_4", problem.inputs, problem.outputs, 3)
    x, u = seeds.evaluation_points(problem, "report")
    residuals = [
        made_up_residual(term, *batch[name], problem.outputs)
        for name, term in problem.terms.items()
    ]
    points = [numbers for name in problem.terms for numbers in batch[name]]
    # what the first layer sees, and with what weight a term counts; the paper's see points
    seen = [made.matrix for made in input_maps.of(problem, "fourier_2_1.0_tanh_4", 3)[:-1]]
    weights = [] if set(problem.weights.values()) == {1.0} else [*problem.weights.values()]
    return [
        problem.version,
        digest([*points, *start, x[:9], u[:9], *residuals, *seen, *weights]),
    ]


def of_optimizer(name):
    """The parameters' change in three steps that do not amplify rounding."""
    framework = implementations.load(FRAMEWORK)
    optimizer, fields = OPTIMIZERS[name]
    path = parity.trajectory(
        framework, parity.Case(problems.get("heat_sine_1d"), optimizer, fields, steps=3)
    )
    return [framework.OPTIMIZERS[optimizer].version, digest([path[-1] - path[0]])]


@pytest.mark.parametrize("name", problems.names())
def test_a_problem_that_changed_has_a_new_version(name):
    version, number = recorded("problems", name)
    assert of_problem(name) == [version, pytest.approx(number, rel=1e-11)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_changed_has_a_new_version(name):
    version, number = recorded("optimizers", name)
    assert of_optimizer(name) == [version, pytest.approx(number, rel=1e-8)]


if __name__ == "__main__":
    numbers = {
        "problems": {name: of_problem(name) for name in problems.names()},
        "optimizers": {name: of_optimizer(name) for name in OPTIMIZERS},
    }
    print(json.dumps(numbers, indent=1))
