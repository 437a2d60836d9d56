"""Shapes and dtypes, checked before they meet: a wrong one is named, not broadcast."""

from typing import Any

from optbench.problems.problem import Batch, Problem


def check_shapes(problem: Problem, params: list[Any], batch: Batch) -> None:
    """Raise ValueError where parameters and batch do not fit the problem and each other; reads shapes alone."""
    inputs, outputs, dtype = params[0].shape[1] - 1, params[-1].shape[0], params[0].dtype
    if (inputs, outputs) != (problem.dim, problem.outputs):
        raise ValueError(
            f"{problem.name} has {problem.dim} inputs and {problem.outputs} outputs, the network {inputs} and {outputs}"
        )
    terms = ("interior", problem.interior), ("boundary", problem.boundary)
    for (name, term), (x, y) in zip(terms, batch, strict=True):
        if x.ndim != 2 or x.shape[1] != inputs:
            raise ValueError(
                f"{name} points have shape {list(x.shape)}: must be [n, {inputs}]"
            )
        if tuple(y.shape) != (x.shape[0], term.components):
            raise ValueError(
                f"{name} targets have shape {list(y.shape)}: must be [{x.shape[0]}, {term.components}]"
            )
        if x.dtype != dtype or y.dtype != dtype:
            raise ValueError(
                f"{name} points and targets are {x.dtype} and {y.dtype}: must be {dtype} as the parameters"
            )
