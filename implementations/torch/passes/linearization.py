"""What a term's layer inputs a and cotangents q give: Jacobian rows, products, factors."""

from functools import reduce
from operator import add

import torch
from torch import Tensor

from optbench.implementations.protocol import LayerInputs, Linearization
from optbench.implementations.torch.passes.chunks import mean, most_numbers, split
from optbench.implementations.torch.passes.parameters import Params


def jacobian_blocks(term: Linearization) -> list[Tensor]:
    """Compute ∂r/∂[W | b], one array [n·r, out·(in + 1)] per layer.

    Row (n, c) is Σ_s q_{n,c,s} a_{n,s}ᵀ, flattened by rows.
    """
    layers = zip(term.cotangents, term.inputs, strict=True)
    blocks = (jacobian_rows(q, a.full()) for q, a in layers)
    return [rows.flatten(0, 1).flatten(1) for rows in blocks]


def jacobian_rows(cotangents: Tensor, inputs: Tensor) -> Tensor:
    """Compute Σ_s q_{n,c,s} a_{n,s}ᵀ [n, r, out, in + 1] of one layer.

    Its inputs have the bias's coordinate.
    """
    return torch.einsum("csno,sni->ncoi", cotangents, inputs)


def squared_columns(term: Linearization) -> Params:
    """Compute the diagonal of JᵀJ / n, one matrix [out, in + 1] per layer.

    Entry by entry it is Σ_n Σ_c (∂r_{n,c}/∂[W | b])² / n.
    """
    layers = zip(term.cotangents, term.inputs, strict=True)
    return [layer_squares(q, a.full()) for q, a in layers]


def layer_squares(cotangents: Tensor, inputs: Tensor) -> Tensor:
    """Compute a layer's part of it, with the Jacobian rows of some points at a time."""

    def of(part: tuple[Tensor, Tensor]) -> Tensor:
        q, a = part
        J = q.mT @ a[:, None]
        return J.square_().sum((0, 1)) / len(J)

    r, _, _, out = cotangents.shape
    points = (cotangents.permute(2, 0, 1, 3), inputs.transpose(0, 1))
    return mean(
        of, split(points, most_numbers(inputs.device) // (r * out * inputs.shape[-1]))
    )


def products(term: Linearization, directions: Params) -> Tensor:
    """Compute J v [n, r] = Σ_s q_sᵀ V a_s without a pass through the network.

    The direction v is one matrix V [out, in + 1] per layer.
    """
    layers = zip(term.cotangents, term.inputs, directions, strict=True)
    return reduce(
        add,
        ((q * a.linear(direction)).sum((1, 3)) for q, a, direction in layers),
    ).T


def transposed_products(term: Linearization, weights: Tensor) -> Params:
    """Compute Jᵀ w, one matrix [out, in + 1] per layer, for weights w [n, r]."""
    by_component = weights.T[:, None, :, None]
    weighed = (by_component * q for q in term.cotangents)
    return [
        # the sum of a single component would be a copy of it
        a.weigh(each[0] if len(each) == 1 else each.sum(0))
        for each, a in zip(weighed, term.inputs, strict=True)
    ]


def gradient(term: Linearization) -> Params:
    """Compute Jᵀ r / n, one matrix [out, in + 1] per layer."""
    return transposed_products(term, term.residual / len(term.residual))


def kronecker_factors(
    term: Linearization, approximation: str, curvature: str
) -> list[tuple[Tensor, Tensor]]:
    """Compute A and B of every layer (arXiv 2405.15603, equations 10 to 12).

    They are [in + 1, in + 1] and [out, out].

    `approximation` "expand" treats the S channels as further points, "reduce" averages a
    and sums q over them; `curvature` "type-2" is the Gauss-Newton matrix, "empirical"
    weighs q by the residual, "forward-only" takes B = I.
    """
    _, S, n, _ = term.cotangents[0].shape
    cotangents = (
        [weighted(q, term.residual) for q in term.cotangents]
        if curvature == "empirical"
        else term.cotangents
    )
    As = divided(
        [input_sum(a, approximation) for a in term.inputs],
        n if approximation == "reduce" else n * S,
    )
    if curvature == "forward-only":
        sizes = [q.shape[-1] for q in cotangents]
        Bs = [
            torch.eye(size, dtype=term.residual.dtype, device=term.residual.device)
            for size in sizes
        ]
    else:
        Bs = divided([cotangent_sum(q, approximation) for q in cotangents], n)
    return list(zip(As, Bs, strict=True))


def weighted(cotangents: Tensor, residual: Tensor) -> Tensor:
    """Weigh cotangents by the residual: Σ_c r_{n,c} q_{n,c,s} [1, S, n, out]."""
    return (residual.T[:, None, :, None] * cotangents).sum(0, keepdim=True)


def input_sum(inputs: LayerInputs, approximation: str) -> Tensor:
    """Sum a aᵀ [in + 1, in + 1] over points and channels, or ā āᵀ of the channels' mean ā.

    The bias's coordinate is the last.
    """
    value = inputs.value()
    if approximation == "reduce":
        mean = inputs.mean()
        mean = torch.cat(
            [mean, mean.new_full((len(mean), 1), 1 / inputs.channels())], dim=1
        )
        return mean.T @ mean
    square, edge = inputs.square(), value.sum(0)[:, None]
    corner = square.new_full((1, 1), len(value))
    return torch.cat([torch.cat([square, edge], dim=1), torch.cat([edge.T, corner], dim=1)])


def cotangent_sum(cotangents: Tensor, approximation: str) -> Tensor:
    """Sum q qᵀ [out, out], or the same with q summed over the channels."""
    summed = cotangents.sum(1) if approximation == "reduce" else cotangents
    flat = summed.flatten(0, -2)
    return flat.T @ flat


def divided(matrices: list[Tensor], by: int) -> list[Tensor]:
    """Divide matrices by a number, in one call for all of them."""
    return list(torch._foreach_div(matrices, by))  # pyright: ignore[reportPrivateImportUsage]
