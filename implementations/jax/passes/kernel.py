"""The kernel JJᵀ of the residuals, and natural gradient descent with it.

It is the Gramian's twin, as large as the points.

(JᵀJ + λI)⁻¹ Jᵀ r = Jᵀ (JJᵀ + λI)⁻¹ r, with a term's rows of J and r multiplied by √(w/n).
JJᵀ is assembled layer by layer from the inputs a and cotangents q; J is never stored.
"""

import operator
from functools import reduce
from itertools import accumulate

import jax
import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.chunks import mean, split
from optbench.implementations.jax.passes.linearization import (
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
    counts = row_counts(objective, batch)
    residual = scaled(counts, {name: term.residual for name, term in terms.items()})
    before = None if prior is None else double(prior)
    if before is not None:
        images = {name: products(term, before) for name, term in terms.items()}
        residual = residual + scaled(counts, images)
    weights = damped_solve(scaled_kernel(counts, terms), damping, residual)
    step = transposed(counts, terms, -weights)
    directions = typed_like(params, step if before is None else add(before, step))
    halves = {name: half_mean_square(term.residual) for name, term in linearized.items()}
    return objective.weighted_losses(halves), directions, first_failure([weights])


def row_counts(objective: Objective, batch: Batch) -> dict[str, float]:
    """Give n/w of every term: its rows of J and r are divided by the root of it."""
    weights = objective.problem.weights.items()
    return {name: len(batch[name][0]) / weight for name, weight in weights}


def scaled(counts: dict[str, float], parts: dict[str, Array]) -> Array:
    """Put numbers of all terms side by side, multiplied by √(w/n).

    They are [n, r], one per row of the Jacobian, and become [Σ n·r].
    """
    return jnp.concatenate(
        [count**-0.5 * parts[name].flatten() for name, count in counts.items()]
    )


def scaled_kernel(counts: dict[str, float], terms: dict[str, Linearization]) -> Array:
    """Assemble JJᵀ of all terms [Σ n·r, Σ n·r], the rows multiplied by √(w/n)."""
    names = list(counts)
    blocks: dict[tuple[str, str], Array] = {}
    for i, one in enumerate(names):
        for other in names[i:]:
            block = kernel(terms[one], terms[other]) / (counts[one] * counts[other]) ** 0.5
            blocks[other, one], blocks[one, other] = block.T, block
    rows = [[blocks[one, other] for other in names] for one in names]
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in rows], axis=0)


def transposed(
    counts: dict[str, float], terms: dict[str, Linearization], weights: Array
) -> Params:
    """Compute Jᵀ w for one weight w per row, the rows multiplied by √(w/n)."""
    residuals = [terms[name].residual for name in counts]
    ends = list(accumulate(residual.size for residual in residuals))
    parts = zip(counts.items(), residuals, jnp.split(weights, ends[:-1]), strict=True)
    return reduce(
        add,
        (
            transposed_products(terms[name], part.reshape(residual.shape) / count**0.5)
            for (name, count), residual, part in parts
        ),
    )


def kernel(one: Linearization, other: Linearization) -> Array:
    """Compute J J'ᵀ [n·r, n'·r'] of two terms, the sum over the layers."""
    layers = zip(one.cotangents, one.inputs, other.cotangents, other.inputs, strict=True)
    parts = (layer_kernel(q, a.full(), q2, a2.full()) for q, a, q2, a2 in layers)
    return reduce(operator.iadd, parts).reshape(one.residual.size, -1)


def layer_kernel(q: Array, a: Array, q2: Array, a2: Array) -> Array:
    """Compute a layer's part [n, r, n', r'] of the kernel by the fewer products.

    They are of jet channels or of the layer's Jacobians; the inputs have the bias's
    coordinate.
    """
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
