"""Small cases for the tests of the implementations."""

from functools import cache, partial
from importlib import import_module
from typing import NamedTuple

import numpy as np
import pytest
from cases import QUICK

from optbench import implementations, problems
from optbench.implementations import Framework
from optbench.problems.problem import INTERIOR

needs = {
    name: pytest.mark.skipif(
        name not in implementations.installed(), reason=f"{name} is missing"
    )
    for name in implementations.FRAMEWORKS
}
frameworks = pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=missing) for name, missing in needs.items()]
)
needs_both = pytest.mark.skipif(
    len(implementations.installed()) < 2, reason="twins need both frameworks"
)


def where(cases, in_jax):
    """Each framework with each case; of JAX's, those that are not `in_jax` are slow tests.

    JAX compiles a case for seconds.
    """
    return [
        pytest.param(
            framework,
            *case,
            marks=[missing]
            if framework != "jax" or in_jax(*case)
            else [missing, pytest.mark.slow],
            id="-".join([*(getattr(part, "name", part) for part in case), framework]),
        )
        for case in cases
        for framework, missing in needs.items()
    ]


OPTIMIZERS = tuple(implementations.load(implementations.installed()[0]).OPTIMIZERS)
every_optimizer_in_jax = pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.medium)
        for name in OPTIMIZERS
    ],
)


class Small(NamedTuple):
    """An objective with parameters and a batch, in a framework's arrays."""

    framework: Framework
    objective: object
    params: list
    batch: dict

    @property
    def start(self):
        return [self.framework.backend.to_numpy(matrix) for matrix in self.params]

    def part(self, file):
        """A module of the framework's implementation."""
        return import_module(f"{self.framework.backend.__package__}.{file}")

    def prepare(self, optimizer, **hyperparameters):
        """An optimizer, its state and its compiled step."""
        made = self.framework.OPTIMIZERS[optimizer](**hyperparameters)
        step = self.framework.backend.compile(partial(made.step, self.objective))
        return made, made.init(self.objective, self.params), step

    def numpy(self, tree):
        return self.framework.backend.to_numpy_tree(tree)


def small(
    framework,
    problem,
    network="tanh_5_4",
    interior=7,
    boundary=5,
    seed=1,
    dtype=np.float64,
):
    """A case with so many points of the equation, and so many of every condition."""
    loaded = implementations.load(framework)
    start = problems.networks.initial_parameters(
        network, problem.inputs, problem.outputs, seed
    )
    batch = drawn(problem, interior, boundary, seed)
    return arrays(loaded, problem, start, batch, network, dtype)


@cache
def default(framework, optimizer):
    """A case with the state and the step of an optimizer's defaults, compiled once.

    Whatever is asked of such a step shares it: JAX compiles for seconds. A test that takes
    it is among those that `conftest` gives to one process.
    """
    case = small(framework, problems.get("poisson_sine_2d"))
    return case, *case.prepare(optimizer)


def drawn(problem, interior=7, boundary=5, seed=1, index=0):
    """A NumPy batch with so many points of the equation, and so many of every condition."""
    points = {name: interior if name == INTERIOR else boundary for name in problem.terms}
    return problems.seeds.batch(problem, seed, index, points)


def arrays(loaded, problem, params, batch, network="tanh_5_4", dtype=np.float64):
    """A case with explicit NumPy numbers."""

    def put(array):
        return loaded.backend.from_numpy(np.asarray(array, dtype))

    points = {name: (put(x), put(y)) for name, (x, y) in batch.items()}
    return Small(
        loaded,
        loaded.Objective(problem, network),
        [put(matrix) for matrix in params],
        points,
    )


def vector(params):
    return np.concatenate([np.asarray(matrix).ravel() for matrix in params])


def relative(one, other):
    """‖a − b‖ / ‖b‖ over all entries."""
    one, other = (
        vector(one if isinstance(one, list) else [one]),
        vector(other if isinstance(other, list) else [other]),
    )
    return np.linalg.norm(one - other) / np.linalg.norm(other)
