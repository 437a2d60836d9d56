"""The kernel JJᵀ of the residuals, and natural gradient descent with it.

It is the Gramian's twin, as large as the points.

(JᵀJ + λI)⁻¹ Jᵀ r = Jᵀ (JJᵀ + λI)⁻¹ r, with the rows of J and r divided by √N in the
interior and √M on the boundary. JJᵀ is assembled layer by layer from the inputs a and
cotangents q; J is never stored.
"""

import operator
from functools import reduce

import jax
import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.chunks import mean, split
from optbench.implementations.jax.passes.linearization import (
    full_inputs,
    jacobian_rows,
    products,
    transposed_products,
)
from optbench.implementations.jax.passes.objective import half_mean_square
from optbench.implementations.jax.passes.parameters import Params, add, typed_like
from optbench.implementations.jax.solvers.linear_algebra import (
    damped_solve,
    double,
    first_failure,
)
from optbench.implementations.memory_estimates import LARGEST, by_channels
from optbench.implementations.protocol import Linearization, Losses, Objective
from optbench.problems.problem import Batch


def solve(
    objective: Objective,
    params: Params,
    batch: Batch,
    damping: float,
    prior: Params | None = None,
) -> tuple[Losses, Params, Array]:
    """Compute the losses, the direction, and 0 where it is not finite, else −1.

    The direction is φ − Jᵀ (JJᵀ + λI)⁺ (r + J φ), which minimises ‖r + J v‖² + λ ‖v − φ‖²;
    a prior φ of None is zero.
    """
    linearized = objective.linearize(params, batch)
    terms = double(linearized)
    residual = scaled([term.residual for term in terms])
    before = None if prior is None else double(prior)
    if before is not None:
        residual = residual + scaled([products(term, before) for term in terms])
    weights = damped_solve(scaled_kernel(terms), damping, residual)
    step = transposed(terms, -weights)
    directions = typed_like(params, step if before is None else add(before, step))
    return (
        Losses(*(half_mean_square(term.residual) for term in linearized)),
        directions,
        first_failure([weights]),
    )


def scaled(parts: list[Array]) -> Array:
    """Put numbers of both terms side by side, divided by √N and √M.

    They are [N, r] and [M, r_b], one per row of the Jacobian, and become [N·r + M·r_b].
    """
    return jnp.concatenate([len(part) ** -0.5 * part.flatten() for part in parts], axis=0)


def scaled_kernel(terms: tuple[Linearization, Linearization]) -> Array:
    """Assemble JJᵀ of both terms [N·r + M·r_b, N·r + M·r_b], rows over √N and √M."""
    interior, boundary = terms
    N, M = len(interior.residual), len(boundary.residual)
    mixed = kernel(interior, boundary) / (N * M) ** 0.5
    upper = jnp.concatenate([kernel(interior, interior) / N, mixed], axis=1)
    return jnp.concatenate(
        [upper, jnp.concatenate([mixed.T, kernel(boundary, boundary) / M], axis=1)], axis=0
    )


def transposed(terms: tuple[Linearization, Linearization], weights: Array) -> Params:
    """Compute Jᵀ w for one weight w per row, the rows divided by √N and √M."""
    residuals = terms[0].residual, terms[1].residual
    parts = jnp.split(weights, [residuals[0].size])
    shares = (
        part.reshape(residual.shape) / len(residual) ** 0.5
        for part, residual in zip(parts, residuals, strict=True)
    )
    return add(
        *(
            transposed_products(term, share)
            for term, share in zip(terms, shares, strict=True)
        )
    )


def kernel(one: Linearization, other: Linearization) -> Array:
    """Compute J J'ᵀ [n·r, n'·r'] of two terms, the sum over the layers."""
    layers = zip(one.cotangents, one.inputs, other.cotangents, other.inputs, strict=True)
    return reduce(operator.iadd, (layer_kernel(*layer) for layer in layers)).reshape(
        one.residual.size, -1
    )


def layer_kernel(q: Array, a: Array, q2: Array, a2: Array) -> Array:
    """Compute a layer's part [n, r, n', r'] of the kernel by the fewer products.

    They are of jet channels or of the layer's Jacobians.
    """
    a, a2 = full_inputs(a, q.shape[1]), full_inputs(a2, q2.shape[1])
    way = (
        channels_pairwise
        if by_channels(len(a), len(a2), q.shape[-1], a.shape[-1])
        else neurons_together
    )
    return way(q, a, q2, a2)


def channels_pairwise(q: Array, a: Array, q2: Array, a2: Array) -> Array:
    """Sum (q_sᵀ q_t) (a_sᵀ a_t) over pairs of channels; the Jacobian is never made."""

    def add(i: Array, total: Array) -> Array:
        s, t = i // len(a2), i % len(a2)
        return (
            total
            + jnp.einsum("cno,kmo->ncmk", q[:, s], q2[:, t])
            * (a[s] @ a2[t].T)[:, None, :, None]
        )

    zeros = jnp.zeros((q.shape[2], q.shape[0], q2.shape[2], q2.shape[0]), q.dtype)
    return jax.lax.fori_loop(0, len(a) * len(a2), add, zeros)


def neurons_together(q: Array, a: Array, q2: Array, a2: Array) -> Array:
    """Compute J J'ᵀ with the layer's Jacobian of some neurons at a time."""

    def of(part: tuple[Array, Array]) -> Array:
        some, some2 = (cotangents.transpose(1, 2, 3, 0) for cotangents in part)
        J, J2 = jacobian_rows(some, a), jacobian_rows(some2, a2)
        return jnp.einsum("ncoi,mkoi->ncmk", J, J2) / len(part[0])

    most = LARGEST // (max(q.shape[2], q2.shape[2]) * a.shape[-1])
    return q.shape[-1] * mean(
        of, split((q.transpose(3, 0, 1, 2), q2.transpose(3, 0, 1, 2)), most)
    )
