"""Shapes and dtypes, checked before they meet: a wrong one is named, not broadcast."""

from optbench.implementations.protocol import Params
from optbench.problems import networks
from optbench.problems.problem import Batch, Problem


def check_shapes(problem: Problem, network: str, params: Params, batch: Batch) -> None:
    """Check that parameters and batch fit the problem and each other; reads shapes alone.

    Of the network's name, what the first layer sees counts, the widths do not.

    Raises:
        ValueError: a shape or a type does not fit; the message says which is expected.
    """
    features = networks.shapes(network, problem.inputs, problem.outputs)[0][1] - 1
    inputs, outputs, dtype = params[0].shape[1] - 1, params[-1].shape[0], params[0].dtype
    if (inputs, outputs) != (features, problem.outputs):
        raise ValueError(
            f"{problem.name} has {features} inputs and {problem.outputs} outputs, "
            f"the network {inputs} and {outputs}"
        )
    if missing := [name for name in problem.terms if name not in batch]:
        raise ValueError(
            f"the batch has no points of {missing[0]}: {problem.name} has the terms "
            f"{', '.join(problem.terms)}"
        )
    for name, term in problem.terms.items():
        x, y = batch[name]
        if x.ndim != 2 or x.shape[1] != problem.dim:
            raise ValueError(
                f"{name} points have shape {list(x.shape)}: must be [n, {problem.dim}]"
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
