"""Push a jet (u, ∇u, tr(A ∇²u)) through the layers of a perceptron, and a cotangent back.

A jet is an array of S = d + 2 rows [S, n, h]: the value, d derivatives, the curvature; S = 1 where the value alone is
asked for. Layer l multiplies every row by its matrix [W | b]: the bias is the weight of one more input, 1 in the value
and 0 in the derivatives of a constant (the forward Laplacian of arXiv 2405.15603, equation 6 and appendix C).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from implementations.torch.parameters import Params


class Slopes(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Tensor  # σ(z)
    first: Tensor  # σ′(z)
    second: Tensor  # σ″(z)
    third: Tensor  # σ‴(z): the curvature row's own slope, needed on the way back


def tanh(z: Tensor) -> Slopes:
    """The hyperbolic tangent."""
    value = torch.tanh(z)
    first = 1 - value * value
    second = -2 * value * first
    return Slopes(value, first, second, -2 * (first * first + value * second))


def sin(z: Tensor) -> Slopes:
    """The sine."""
    value, first = torch.sin(z), torch.cos(z)
    return Slopes(value, first, -value, -first)


ACTIVATIONS: dict[str, Callable[[Tensor], Slopes]] = {"tanh": tanh, "sin": sin}


class Pass(NamedTuple):
    """What a forward pass leaves: everything the way back and the Kronecker factors need."""

    inputs: list[Tensor]  # a: a layer's input rows, bias coordinate last, [S, n, in + 1]
    outputs: list[Tensor]  # z: a layer's output rows, [S, n, out]
    slopes: list[Slopes]  # at the outputs of every layer but the last


def first_rows(x: Tensor, diffusion: Tensor | None) -> Tensor:
    """The jet of x ↦ x [S, n, d]: the points, the identity, no curvature; the points alone without diffusion."""
    if diffusion is None:
        return x[None]
    n, d = x.shape
    identity = torch.eye(d, dtype=x.dtype, device=x.device)[:, None, :].expand(d, n, d)
    return torch.cat([x[None], identity, torch.zeros_like(x)[None]])


def forward(activation: str, params: Params, x: Tensor, diffusion: Tensor | None) -> Pass:
    """The network's jet at x [n, d]; it is the last of the outputs."""
    inputs, outputs, slopes = [with_bias(first_rows(x, diffusion))], [], []
    for matrix in params[:-1]:
        outputs.append(inputs[-1] @ matrix.T)
        slopes.append(ACTIVATIONS[activation](outputs[-1][0]))
        inputs.append(activate(slopes[-1], outputs[-1], diffusion))
    outputs.append(inputs[-1] @ params[-1].T)
    return Pass(inputs, outputs, slopes)


def backward(params: Params, done: Pass, cotangents: Tensor, diffusion: Tensor | None) -> list[Tensor]:
    """The cotangents of every layer's output rows [r, S, n, out], given those of the last; r residual components."""
    every = [cotangents]
    for matrix, slopes, rows in zip(params[:0:-1], done.slopes[::-1], done.outputs[-2::-1], strict=True):
        every.append(activate_transposed(slopes, rows, every[-1] @ matrix[:, :-1], diffusion))
    return every[::-1]


def with_bias(rows: Tensor) -> Tensor:
    """Append the coordinate that the bias multiplies."""
    # the bias enters the value only: derivatives of a constant vanish
    bias = rows.new_zeros(*rows.shape[:2], 1)
    bias[0] = 1
    return torch.cat([rows, bias], dim=2)


def activate(slopes: Slopes, rows: Tensor, diffusion: Tensor | None) -> Tensor:
    """The rows of σ(z) with the bias coordinate: σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    # written where the next product reads them: a copy less, which was a tenth of a gradient step on a CPU
    biased = rows.new_zeros(*rows.shape[:2], rows.shape[2] + 1)
    biased[0, :, -1] = 1
    activated = biased[..., :-1]
    activated[0] = slopes.value
    if diffusion is not None:
        gradient = rows[1:-1]
        activated[1:] = slopes.first * rows[1:]
        activated[-1] += slopes.second * (gradient * diffuse(diffusion, gradient)).sum(0)
    return biased


def activate_transposed(slopes: Slopes, rows: Tensor, cotangents: Tensor, diffusion: Tensor | None) -> Tensor:
    """The cotangents of the rows of z, given those of the rows of σ(z), both [r, S, n, h]."""
    if diffusion is None:
        return slopes.first * cotangents
    gradient, curvature = rows[1:-1], rows[-1]
    to_gradient, to_curvature = cotangents[:, 1:-1], cotangents[:, -1:]
    diffused = diffuse(diffusion, gradient)
    bend = slopes.second * curvature + slopes.third * (gradient * diffused).sum(0)
    pulled = slopes.first * cotangents
    pulled[:, :1] += slopes.second * (gradient * to_gradient).sum(1, keepdim=True)
    pulled[:, :1].addcmul_(bend, to_curvature)
    pulled[:, 1:-1].addcmul_(2 * (slopes.second * to_curvature), diffused)
    return pulled


def diffuse(diffusion: Tensor, gradient: Tensor) -> Tensor:
    """A ∇z [d, n, h]; A is its diagonal [d] or the whole matrix [d, d]."""
    if diffusion.ndim == 1:
        return diffusion[:, None, None] * gradient
    return torch.einsum("ij,jnh->inh", diffusion, gradient)
