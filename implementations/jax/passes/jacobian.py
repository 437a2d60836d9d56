"""The Jacobian J of all residuals and r itself, rows multiplied by √(w/n).

L = ½ ‖r‖², ∇L = Jᵀ r, and G = JᵀJ is the Gramian. J is whole, or a sketch of it.
Directional second derivatives of r are differences.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes import kernel
from optbench.implementations.jax.passes.chunks import apply, join, most_numbers, split
from optbench.implementations.jax.passes.linearization import jacobian_blocks, jacobian_rows
from optbench.implementations.jax.passes.objective import half_mean_square
from optbench.implementations.jax.passes.parameters import Params, split_like
from optbench.implementations.jax.solvers.linear_algebra import double
from optbench.implementations.memory_estimates import parameters
from optbench.implementations.protocol import Linearization, Losses, Objective
from optbench.problems.problem import Batch

DIFFERENCE = 0.1  # h of them; exact ones take the same path at twice the cost


def rows(
    objective: Objective, params: Params, batch: Batch
) -> tuple[Losses, list[Array], Array]:
    """Compute the losses, J and r.

    J is one array [Σ n·r, out·(in + 1)] per layer, r is [Σ n·r].
    """
    return _rows(objective, params, batch, lambda term: jacobian_blocks(double(term)))


def sketched_rows(
    objective: Objective,
    params: Params,
    batch: Batch,
    sketch: Callable[[Array], Array],
) -> tuple[Losses, Array, Array]:
    """Compute the losses, J Sᵀ [Σ n·r, s] and r, with x ↦ S x of every row of J.

    J is never whole: a row exists with those of some points.
    """

    def of(term: Linearization) -> list[Array]:
        exact = double(term)
        layers = zip(exact.cotangents, exact.inputs, strict=True)
        # points first, as chunks have them
        points = tuple(
            array
            for q, a in layers
            for array in (q.transpose(2, 0, 1, 3), a.full().swapaxes(0, 1))
        )

        def piece(part: tuple[Array, ...]) -> Array:
            blocks = [
                jacobian_rows(q.transpose(1, 2, 0, 3), a.swapaxes(0, 1))
                for q, a in zip(part[::2], part[1::2], strict=True)
            ]
            n, r = blocks[0].shape[:2]
            J = jnp.concatenate([block.reshape(n * r, -1) for block in blocks], axis=1)
            return sketch(J).reshape(n, -1)

        together = most_numbers() // (parameters(params) * term.residual.shape[1])
        sketched = join(apply(piece, split(points, together)))
        return [sketched.reshape(term.residual.size, -1)]

    losses, (sketched,), residual = _rows(objective, params, batch, of)
    return losses, sketched, residual


def residual(objective: Objective, many: Params, batch: Batch) -> Array:
    """Compute r [k, Σ n·r] of k sets of parameters, one matrix [k, out, in + 1] a layer."""
    counts = kernel.row_counts(objective, batch)
    of_each = objective.residuals_of_each(many, batch)
    return jnp.concatenate(
        [
            count**-0.5 * of_each[name].reshape(len(many[0]), -1)
            for name, count in counts.items()
        ],
        axis=1,
    )


def second_derivative(
    objective: Objective,
    params: Params,
    there: Array,
    slopes: Array,
    start: Array,
    batch: Batch,
) -> Array:
    """Compute r_vv [k, R] along k directions v, as (2/h) [(r(θ + h v) − r(θ))/h − J v].

    `there` is θ + h v [k, D] with h = DIFFERENCE, `slopes` J v [k, R], `start` r(θ) [R].
    """
    ahead = residual(objective, split_like(params, there), batch)
    return 2 / DIFFERENCE * ((ahead - start) / DIFFERENCE - slopes)


def _rows(
    objective: Objective,
    params: Params,
    batch: Batch,
    of: Callable[[Linearization], list[Array]],
) -> tuple[Losses, list[Array], Array]:
    terms = objective.joined_over_points(
        lambda term: (term.residual, of(term)), params, batch
    )
    counts = kernel.row_counts(objective, batch)
    layers = zip(*(terms[name][1] for name in counts), strict=True)
    J = [
        jnp.concatenate(
            [
                count**-0.5 * block
                for count, block in zip(counts.values(), blocks, strict=True)
            ],
            axis=0,
        )
        for blocks in layers
    ]
    residuals = {name: residual for name, (residual, _) in terms.items()}
    halves = {name: half_mean_square(residual) for name, residual in residuals.items()}
    return (
        objective.weighted_losses(halves),
        J,
        kernel.scaled(counts, double(residuals)),
    )
