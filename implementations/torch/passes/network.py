"""Push a jet (u, ∇u, tr(A ∇²u)) through the layers of a perceptron, and a cotangent back.

A jet is an array of S = d + 2 rows [S, n, h]: the value, d derivatives, the curvature; S =
1 where the value alone is asked for. Layer l multiplies every row by W and adds b to the
value alone: the derivatives of a constant vanish (the forward Laplacian of arXiv
2405.15603, equation 6 and appendix C). The first layer's input rows are the points, the
identity and zero: only the points are stored, and its derivative rows are columns of W, the
same at every point.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from optbench.implementations.torch.passes.parameters import Params
from torch import Tensor


class Slopes(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Tensor  # σ(z)
    first: Tensor  # σ′(z)
    second: Tensor  # σ″(z)


class Activation(NamedTuple):
    """An elementwise function σ."""

    slopes: Callable[[Tensor], Slopes]
    third: Callable[
        [Slopes], Tensor
    ]  # σ‴(z) from what is known: needed on the way back alone


def tanh_slopes(z: Tensor) -> Slopes:
    """σ = tanh: σ′ = 1 − σ², σ″ = −2σσ′."""
    value = (
        2 * torch.sigmoid(2 * z) - 1
    )  # tanh, two to three times faster in float64 on a CPU
    first = 1 - value * value
    return Slopes(value, first, -2 * value * first)


def tanh_third(slopes: Slopes) -> Tensor:
    """σ‴ = σ′ (4 − 6σ′)."""
    return slopes.first * (4 - 6 * slopes.first)


def sin_slopes(z: Tensor) -> Slopes:
    """σ = sin."""
    value = torch.sin(z)
    return Slopes(value, torch.cos(z), -value)


def sin_third(slopes: Slopes) -> Tensor:
    """σ‴ = −σ′."""
    return -slopes.first


ACTIVATIONS = {
    "tanh": Activation(tanh_slopes, tanh_third),
    "sin": Activation(sin_slopes, sin_third),
}

Diffuse = Callable[[Tensor], Tensor]  # A ∇z [d, n, h] of ∇z


class Pass(NamedTuple):
    """What a forward pass leaves: everything the way back and the Kronecker factors need."""

    inputs: list[
        Tensor
    ]  # a: a layer's input rows [S, n, in]; the first one's are the points [1, n, d]
    outputs: list[Tensor]  # z: a layer's output rows [S, n, out]
    slopes: list[Slopes]  # at the outputs of every layer but the last
    bends: list[
        Tensor | None
    ]  # ∇zᵀ A ∇z there [n, out]; None where the value alone is asked for


def forward(activation: str, params: Params, x: Tensor, diffuse: Diffuse | None) -> Pass:
    """The network's jet at x [n, d]; it is the last of the outputs."""
    rows = 1 if diffuse is None else x.shape[1] + 2
    inputs, outputs, every, bends = [x[None]], [linear(params[0], x[None], rows)], [], []
    for matrix in params[1:]:
        slopes, bend = (
            ACTIVATIONS[activation].slopes(outputs[-1][0]),
            bending(outputs[-1], diffuse),
        )
        every.append(slopes)
        bends.append(bend)
        inputs.append(activate(slopes, bend, outputs[-1]))
        outputs.append(linear(matrix, inputs[-1], rows))
    return Pass(inputs, outputs, every, bends)


def backward(
    activation: str, params: Params, done: Pass, cotangents: Tensor, diffuse: Diffuse | None
) -> list[Tensor]:
    """The cotangents of every layer's output rows [r, S, n, out], given those of the last; r residual components."""
    every = [cotangents]
    layers = zip(
        params[:0:-1],
        done.outputs[-2::-1],
        done.slopes[::-1],
        done.bends[::-1],
        strict=True,
    )
    for matrix, rows, slopes, bend in layers:
        pulled = every[-1] @ matrix[:, :-1]
        every.append(
            activate_transposed(
                ACTIVATIONS[activation], slopes, bend, rows, pulled, diffuse
            )
        )
    return every[::-1]


def linear(matrix: Tensor, inputs: Tensor, rows: int) -> Tensor:
    """The rows W a + b [S, n, out] of input rows [S, n, in], or of the points alone [1, n, d] in the first layer."""
    weights, bias = matrix[:, :-1], matrix[:, -1]
    outputs = inputs @ weights.T
    outputs[0] += bias
    if len(inputs) == rows:
        return outputs
    n, d = inputs.shape[1:]
    columns = weights.T[:, None].expand(d, n, len(matrix))
    return torch.cat([outputs, columns, torch.zeros_like(outputs)])


def bending(rows: Tensor, diffuse: Diffuse | None) -> Tensor | None:
    """∇zᵀ A ∇z [n, h], what an activation's second derivative multiplies."""
    if diffuse is None:
        return None
    gradient = rows[1:-1]
    return (gradient * diffuse(gradient)).sum(0)


def activate(slopes: Slopes, bend: Tensor | None, rows: Tensor) -> Tensor:
    """The rows of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    if bend is None:
        return slopes.value[None]
    activated = slopes.first * rows
    activated[0] = slopes.value
    activated[-1].addcmul_(slopes.second, bend)
    return activated


def activate_transposed(
    activation: Activation,
    slopes: Slopes,
    bend: Tensor | None,
    rows: Tensor,
    cotangents: Tensor,
    diffuse: Diffuse | None,
) -> Tensor:
    """The cotangents of the rows of z, given those of the rows of σ(z), both [r, S, n, h]."""
    pulled = slopes.first * cotangents
    if diffuse is None or bend is None:
        return pulled
    gradient, to_gradient, to_curvature = rows[1:-1], cotangents[:, 1:-1], cotangents[:, -1]
    bent = slopes.second * to_curvature
    pulled[:, 0].addcmul_(slopes.second, (gradient * to_gradient).sum(1))
    pulled[:, 0].addcmul_(
        slopes.second * rows[-1] + activation.third(slopes) * bend, to_curvature
    )
    pulled[:, 1:-1].addcmul_(2 * bent[:, None], diffuse(gradient))
    return pulled
