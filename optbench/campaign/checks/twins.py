"""What is asked of the frameworks: every one computes the same of a problem."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from optbench import implementations
from optbench.campaign.checks.form import random_channels
from optbench.problems import networks, own, seeds
from optbench.problems.problem import Problem

NETWORK = "tanh_5_4"  # whose gradients are compared
ALIKE = 1e-10  # of two gradients, relative


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
        if not difference <= ALIKE:
            yield (
                f"the loss's gradient in {one} and {two} differs by {difference:.1e}, "
                "relative"
            )
    if broken is not None:
        raise broken


def _like_numpy(problem: Problem, framework: implementations.Framework) -> Iterator[str]:
    put, get = framework.backend.from_numpy, framework.backend.to_numpy
    for name, term in problem.terms.items():
        channels, x, y = random_channels(problem, term, 7)
        operator = term.operator
        theirs = operator.residual(operator.jet(put(channels)), put(x), put(y))
        columns = theirs if isinstance(theirs, tuple | list) else (theirs,)
        residual = np.concatenate([get(column) for column in columns], 1)
        expected = operator.apply(operator.jet(channels), x, y)
        if not np.allclose(residual, expected, rtol=1e-12, atol=1e-12):
            yield f"the residual of {name} in {framework.name} is not that in NumPy"


def _gradient(problem: Problem, framework: implementations.Framework) -> np.ndarray:
    """Compute the gradient of the loss of a small network, [D]."""
    backend = framework.backend
    start = networks.initial_parameters(NETWORK, problem.inputs, problem.outputs, 1)
    points = {name: 7 - number % 3 for number, name in enumerate(problem.terms)}
    objective = framework.Objective(problem, NETWORK, seed=0)
    params, batch = backend.from_numpy_tree((start, seeds.batch(problem, 1, 0, points)))
    _, matrices = backend.compile(objective.gradient)(params, batch)
    return np.concatenate([matrix.ravel() for matrix in backend.to_numpy_tree(matrices)])
