"""What follows from a term's layer inputs a and cotangents q: Jacobian rows, products, gradient, Kronecker factors."""

from functools import reduce
from operator import add

import jax.numpy as jnp
from jax import Array

from implementations.jax.objective import Linearization, weigh
from implementations.jax.parameters import Params


def jacobian_blocks(term: Linearization) -> list[Array]:
    """∂r/∂[W | b] a layer, [n·r, out·(in + 1)]: row (n, c) is Σ_s q_{n,c,s} a_{n,s}ᵀ, flattened by rows."""
    blocks = (jnp.einsum("csno,sni->ncoi", q, a) for q, a in zip(term.cotangents, term.inputs, strict=True))
    return [block.reshape(term.residual.size, -1) for block in blocks]


def products(term: Linearization, directions: Params) -> Array:
    """J v [n, r] for a direction v, a matrix a layer: Σ_s q_sᵀ V a_s, no pass through the network."""
    layers = zip(term.cotangents, term.inputs, directions, strict=True)
    return reduce(add, ((q * (a @ direction.T)).sum((1, 3)) for q, a, direction in layers)).T


def gradient(term: Linearization) -> Params:
    """Jᵀ r / n, a matrix a layer."""
    weights = term.residual.T[:, None, :, None] / len(term.residual)
    return [weigh((weights * q).sum(0), a) for q, a in zip(term.cotangents, term.inputs, strict=True)]


def total_gradient(terms: tuple[Linearization, Linearization]) -> Params:
    """∇L, the sum over both terms, a matrix a layer."""
    return [g + g_b for g, g_b in zip(*map(gradient, terms), strict=True)]


def kronecker_factors(term: Linearization, approximation: str, curvature: str) -> list[tuple[Array, Array]]:
    """A [in + 1, in + 1] and B [out, out] of every layer (arXiv 2405.15603, equations 10 to 12).

    `approximation` "expand" treats the S rows as further points, "reduce" averages a and sums q over them; `curvature`
    "type-2" is the Gauss-Newton matrix, "empirical" weighs q by the residual, "forward-only" takes B = I.
    """
    cotangents = [weighted(q, term.residual) for q in term.cotangents] if curvature == "empirical" else term.cotangents
    layers = zip(cotangents, term.inputs, strict=True)
    if curvature == "forward-only":
        return [(input_factor(a, approximation), jnp.eye(q.shape[-1], dtype=q.dtype)) for q, a in layers]
    return [(input_factor(a, approximation), cotangent_factor(q, approximation)) for q, a in layers]


def weighted(cotangents: Array, residual: Array) -> Array:
    """Σ_c r_{n,c} q_{n,c,s} [1, S, n, out]."""
    return (residual.T[:, None, :, None] * cotangents).sum(0, keepdims=True)


def input_factor(inputs: Array, approximation: str) -> Array:
    """A = 1/(nS) Σ a aᵀ, or 1/n Σ ā āᵀ with ā the mean over the S rows."""
    rows = inputs.mean(0) if approximation == "reduce" else inputs.reshape(-1, inputs.shape[-1])
    return rows.T @ rows / len(rows)


def cotangent_factor(cotangents: Array, approximation: str) -> Array:
    """B = 1/n Σ q qᵀ, or the same with q summed over the S rows."""
    rows = cotangents.sum(1) if approximation == "reduce" else cotangents
    rows = rows.reshape(-1, rows.shape[-1])
    return rows.T @ rows / cotangents.shape[2]
