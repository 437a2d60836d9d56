"""The kernel JJᵀ of the residuals, and natural gradient descent with it.

It is the Gramian's twin, as large as the points.

(JᵀJ + λI)⁻¹ Jᵀ r = Jᵀ (JJᵀ + λI)⁻¹ r, with the rows of J and r divided by √N in the
interior and √M on the boundary. JJᵀ is assembled layer by layer from the inputs a and
cotangents q; J is never stored.
"""

import operator
from functools import reduce
from itertools import product

import torch
from torch import Tensor

from optbench.implementations.memory_estimates import LARGEST, by_channels
from optbench.implementations.protocol import Linearization, Losses, Objective
from optbench.implementations.torch.passes.chunks import mean, split
from optbench.implementations.torch.passes.linearization import (
    full_inputs,
    jacobian_rows,
    products,
    transposed_products,
)
from optbench.implementations.torch.passes.objective import half_mean_square
from optbench.implementations.torch.passes.parameters import Params, add, typed_like
from optbench.implementations.torch.solvers.linear_algebra import (
    damped_solve,
    double,
    first_failure,
)
from optbench.problems.problem import Batch


def solve(
    objective: Objective,
    params: Params,
    batch: Batch,
    damping: float,
    prior: Params | None = None,
) -> tuple[Losses, Params, Tensor]:
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


def scaled(parts: list[Tensor]) -> Tensor:
    """Put numbers of both terms side by side, divided by √N and √M.

    They are [N, r] and [M, r_b], one per row of the Jacobian, and become [N·r + M·r_b].
    """
    return torch.cat([len(part) ** -0.5 * part.flatten() for part in parts], dim=0)


def scaled_kernel(terms: tuple[Linearization, Linearization]) -> Tensor:
    """Assemble JJᵀ of both terms [N·r + M·r_b, N·r + M·r_b], rows over √N and √M."""
    interior, boundary = terms
    N, M = len(interior.residual), len(boundary.residual)
    mixed = kernel(interior, boundary) / (N * M) ** 0.5
    upper = torch.cat([kernel(interior, interior) / N, mixed], dim=1)
    return torch.cat(
        [upper, torch.cat([mixed.T, kernel(boundary, boundary) / M], dim=1)], dim=0
    )


def transposed(terms: tuple[Linearization, Linearization], weights: Tensor) -> Params:
    """Compute Jᵀ w for one weight w per row, the rows divided by √N and √M."""
    residuals = terms[0].residual, terms[1].residual
    parts = weights.split([residual.numel() for residual in residuals])
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


def kernel(one: Linearization, other: Linearization) -> Tensor:
    """Compute J J'ᵀ [n·r, n'·r'] of two terms, the sum over the layers."""
    layers = zip(one.cotangents, one.inputs, other.cotangents, other.inputs, strict=True)
    return reduce(operator.iadd, (layer_kernel(*layer) for layer in layers)).reshape(
        one.residual.numel(), -1
    )


def layer_kernel(q: Tensor, a: Tensor, q2: Tensor, a2: Tensor) -> Tensor:
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


def channels_pairwise(q: Tensor, a: Tensor, q2: Tensor, a2: Tensor) -> Tensor:
    """Sum (q_sᵀ q_t) (a_sᵀ a_t) over pairs of channels; the Jacobian is never made."""
    total = q.new_zeros(q.shape[2], q.shape[0], q2.shape[2], q2.shape[0])
    for s, t in product(range(len(a)), range(len(a2))):
        total += torch.einsum("cno,kmo->ncmk", q[:, s], q2[:, t]).mul_(
            (a[s] @ a2[t].T)[:, None, :, None]
        )
    return total


def neurons_together(q: Tensor, a: Tensor, q2: Tensor, a2: Tensor) -> Tensor:
    """Compute J J'ᵀ with the layer's Jacobian of some neurons at a time."""

    def of(part: tuple[Tensor, Tensor]) -> Tensor:
        some, some2 = (cotangents.permute(1, 2, 3, 0) for cotangents in part)
        J, J2 = jacobian_rows(some, a), jacobian_rows(some2, a2)
        return torch.einsum("ncp,mkp->ncmk", J.flatten(2), J2.flatten(2)).div_(len(part[0]))

    most = LARGEST // (max(q.shape[2], q2.shape[2]) * a.shape[-1])
    return mean(of, split((q.permute(3, 0, 1, 2), q2.permute(3, 0, 1, 2)), most)).mul_(
        q.shape[-1]
    )
