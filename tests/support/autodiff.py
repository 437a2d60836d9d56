"""The frameworks' own automatic differentiation, against which ours is tested."""

from typing import NamedTuple


class Autodiff(NamedTuple):
    """What the oracles need of a framework; nothing of ours."""

    jacobian: object
    activations: object
    hessian: object


def autodiff(framework):
    """Reverse-mode Jacobian, activations, and the Hessian by nested differentiation."""
    if framework == "torch":
        import torch

        functions = {"tanh": torch.tanh, "sin": torch.sin}

        def hessian(function):
            return torch.func.jacrev(torch.func.jacrev(function))

        return Autodiff(torch.func.jacrev, functions, hessian)
    import jax

    functions = {"tanh": jax.numpy.tanh, "sin": jax.numpy.sin}
    return Autodiff(jax.jacrev, functions, jax.hessian)


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
