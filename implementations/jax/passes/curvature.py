"""L to second order at θ: losses, gradient, and products with G or ∇²L.

The network is linearized once: every product G v comes from the stored layer inputs and
cotangents.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from jax import Array

from optbench.implementations.jax.passes.chunks import Chunks, mean
from optbench.implementations.jax.passes.linearization import (
    gradient,
    products,
    transposed_products,
)
from optbench.implementations.jax.passes.objective import half_mean_square
from optbench.implementations.jax.passes.parameters import Params, flatten, split_like
from optbench.implementations.protocol import Linearization, Losses, Objective
from optbench.problems.problem import Batch


class Expansion(NamedTuple):
    """What is known of L around θ."""

    losses: Losses
    gradient: Array  # g [D]
    product: Callable[[Array], Array]  # v ↦ G v or ∇²L v [D]


def expand(objective: Objective, params: Params, batch: Batch, curvature: str) -> Expansion:
    """Expand L with the Gauss-Newton matrix, "ggn", or with the Hessian, "hessian"."""
    chunks = objective.linearize_chunks(params, batch)
    terms = {name: mean(summarize, term) for name, term in chunks.items()}
    losses = objective.weighted_losses({name: part[0] for name, part in terms.items()})
    gradient_vector = flatten(
        objective.weighted_sum({name: part[1] for name, part in terms.items()})
    )
    if curvature == "ggn":
        product = partial(gauss_newton, objective, params, chunks)
    else:
        product = partial(hessian, objective, params, batch)
    return Expansion(losses, gradient_vector, product)


def summarize(term: Linearization) -> tuple[Array, Params]:
    """Compute a term's loss and its gradient."""
    return half_mean_square(term.residual), gradient(term)


def gauss_newton(
    objective: Objective, params: Params, chunks: dict[str, Chunks], vector: Array
) -> Array:
    """Multiply G by v [D] without a pass through the network.

    G v is the sum of w/n JᵀJ v over the terms.
    """
    directions = split_like(params, vector)

    def image(term: Linearization) -> Params:
        return transposed_products(term, products(term, directions) / len(term.residual))

    images = {name: mean(image, term) for name, term in chunks.items()}
    return flatten(objective.weighted_sum(images))


def hessian(objective: Objective, params: Params, batch: Batch, vector: Array) -> Array:
    """Multiply ∇²L by v [D]."""
    return flatten(objective.hessian_product(params, batch, split_like(params, vector)))
