"""The frameworks' own automatic differentiation, against which ours is tested."""

import warnings
from typing import NamedTuple

import numpy as np
import oracle

from optbench.problems import seeds
from optbench.problems.networks import parse


class Autodiff(NamedTuple):
    """What the oracles need of a framework; nothing of ours."""

    jacobian: object
    activations: object
    hessian: object
    jvp: object
    stack: object
    join: object


def autodiff(framework):
    """Reverse-mode Jacobian, activations, and the Hessian by nested differentiation."""
    if framework == "torch":
        import torch

        with warnings.catch_warnings():  # what it loads at the first jvp is deprecated
            warnings.simplefilter("ignore")
            import torch._decomp.decompositions_for_jvp

        functions = {"tanh": torch.tanh, "sin": torch.sin}

        def hessian(function):
            return torch.func.jacrev(torch.func.jacrev(function))

        return Autodiff(
            torch.func.jacrev,
            functions,
            hessian,
            torch.func.jvp,
            torch.stack,
            torch.cat,
        )
    import jax

    functions = {"tanh": jax.numpy.tanh, "sin": jax.numpy.sin}
    return Autodiff(
        *(jax.jacrev, functions, jax.hessian, jax.jvp),
        *(jax.numpy.stack, jax.numpy.concatenate),
    )


def exact_jacobians(case):
    """J of every term by automatic differentiation, as NumPy arrays by name.

    Each layer has its own columns [n·r, out·(in + 1)].
    """

    def residuals(*params):
        return case.objective.residuals(list(params), case.batch)

    layers = tuple(range(len(case.params)))
    of_terms = case.numpy(
        autodiff(case.framework.name).jacobian(residuals, argnums=layers)(*case.params)
    )
    return {
        name: [block.reshape(block.shape[0] * block.shape[1], -1) for block in blocks]
        for name, blocks in of_terms.items()
    }


def plain_network(case, params, x):
    """u [n, m] at x [n, d] by layers that are written out, input maps included."""
    tools = autodiff(case.framework.name)
    problem, network = case.objective.problem, parse(case.objective.network)
    sin = tools.activations["sin"]
    columns = []
    for axis in range(problem.dim):
        column = x[:, axis : axis + 1]
        if axis in problem.periodic:
            period, modes = problem.periodic[axis]
            for mode in range(1, modes + 1):
                z = 2 * np.pi * mode * column / period
                columns += [sin(z + np.pi / 2), sin(z)]
        elif network.box is None:
            columns.append(column)
        else:
            lower, upper = (bound[axis] for bound in problem.bounds)
            unit = (column - lower) / (upper - lower)
            columns.append(network.box * (2 * unit - 1))
    x = tools.join(columns, 1)
    if network.features:
        shape = network.features, problem.inputs
        drawn = seeds.stream(case.objective.seed, "features").normal(
            0, network.spread, shape
        )
        z = x @ case.framework.backend.from_numpy(drawn).T
        x = tools.join([sin(z + np.pi / 2), sin(z)], 1)
    for matrix in params[:-1]:
        x = tools.activations[network.activation](x @ matrix[:, :-1].T + matrix[:, -1])
    return x @ params[-1][:, :-1].T + params[-1][:, -1]


def nested(case, function, x, directions):
    """d/dε₁ d/dε₂ … function(x + ε₁v₁ + ε₂v₂ …) at 0, one jvp in another."""
    tools = autodiff(case.framework.name)
    for v in directions:

        def function(x, inner=function, v=v):
            return tools.jvp(inner, (x,), (v,))[1]

    return function(x)


def nested_channels(case, operator, params, x, read=None):
    """The channels [S, n, m] that an operator reads, by nested differentiation.

    `read` are its lines and traces at x, where x cannot be looked at.
    """
    tools = autodiff(case.framework.name)
    read = read or oracle.channels(operator, case.numpy(x))
    put = case.framework.backend.from_numpy

    def u(x):
        return plain_network(case, params, x)

    rows = [u(x)]
    for v, order in read.lines:
        v = put(v)
        rows += [nested(case, u, x, [v] * k) for k in range(1, order + 1)]
    for values, vectors in read.traces:
        A = np.einsum("kn,kni,knj->nij", values, vectors, vectors)
        axes = [put(np.tile(unit, (len(x), 1))) for unit in np.eye(x.shape[1])]
        pairs = zip(*np.nonzero(A.any(0)), strict=True)
        second = (
            put(A[:, i, j, None]) * nested(case, u, x, [axes[i], axes[j]]) for i, j in pairs
        )
        rows.append(sum(second))
    return tools.stack(rows)


def nested_residual(case, term, params, x, y, read):
    """A term's residual [n, r] by nested differentiation."""
    operator = term.operator
    channels = nested_channels(case, operator, params, x, read)
    join = autodiff(case.framework.name).join
    return operator.apply(operator.jet(channels), x, y, join)
