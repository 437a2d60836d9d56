"""Shapes and dtypes, checked before they meet: a wrong one is named, not broadcast."""

from optbench.implementations.protocol import Params
from optbench.problems.problem import Batch, Problem


def check_shapes(problem: Problem, params: Params, batch: Batch) -> None:
    """Check that parameters and batch fit the problem and each other; reads shapes alone.

    Raises:
        ValueError: a shape or a type does not fit; the message says which is expected.
    """
    inputs, outputs, dtype = params[0].shape[1] - 1, params[-1].shape[0], params[0].dtype
    if (inputs, outputs) != (problem.dim, problem.outputs):
        raise ValueError(
            f"{problem.name} has {problem.dim} inputs and {problem.outputs} outputs, "
            f"the network {inputs} and {outputs}"
        )
    terms = ("interior", problem.interior), ("boundary", problem.boundary)
    for (name, term), (x, y) in zip(terms, batch, strict=True):
        if x.ndim != 2 or x.shape[1] != inputs:
            raise ValueError(
                f"{name} points have shape {list(x.shape)}: must be [n, {inputs}]"
            )
        if tuple(y.shape) != (x.shape[0], term.components):
            raise ValueError(
                f"{name} targets have shape {list(y.shape)}: "
                f"must be [{x.shape[0]}, {term.components}]"
            )
        if x.dtype != dtype or y.dtype != dtype:
            raise ValueError(
                f"{name} points and targets are {x.dtype} and {y.dtype}: "
                f"must be {dtype} as the parameters"
            )
