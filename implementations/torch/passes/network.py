"""Push a jet (u, ∇u, tr(A ∇²u)) through the layers of a perceptron, and a cotangent back.

A jet is an array of S = d + 2 channels [S, n, h]: the value, d derivatives and the
curvature; S = 1 where the value is all that is wanted. A layer multiplies every channel by
W and adds b to the value alone: the derivatives of a constant vanish (the forward Laplacian
of arXiv 2405.15603, equation 6 and appendix C). The first layer's input channels are the
points, the identity and zero: only the points are stored, and the derivative channels of
its outputs are columns of W, the same at every point.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.passes.parameters import Params


class Derivatives(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Tensor  # σ(z)
    first: Tensor  # σ′(z)
    second: Tensor  # σ″(z)


class Activation(NamedTuple):
    """An elementwise function σ."""

    derivatives: Callable[[Tensor], Derivatives]
    # σ‴(z) from the others: needed on the way back alone
    third: Callable[[Derivatives], Tensor]


def tanh_derivatives(z: Tensor) -> Derivatives:
    """Evaluate σ = tanh with σ′ = 1 − σ² and σ″ = −2σσ′."""
    # tanh, two to three times faster in float64 on a CPU
    value = 2 * torch.sigmoid(2 * z) - 1
    first = 1 - value * value
    return Derivatives(value, first, -2 * value * first)


def tanh_third(derivatives: Derivatives) -> Tensor:
    """Evaluate σ‴ = σ′ (4 − 6σ′)."""
    return derivatives.first * (4 - 6 * derivatives.first)


def sin_derivatives(z: Tensor) -> Derivatives:
    """Evaluate σ = sin with σ′ = cos and σ″ = −sin."""
    value = torch.sin(z)
    return Derivatives(value, torch.cos(z), -value)


def sin_third(derivatives: Derivatives) -> Tensor:
    """Evaluate σ‴ = −σ′."""
    return -derivatives.first


ACTIVATIONS = {
    "tanh": Activation(tanh_derivatives, tanh_third),
    "sin": Activation(sin_derivatives, sin_third),
}

Diffuse = Callable[[Tensor], Tensor]  # A ∇z [d, n, h] of ∇z


class Pass(NamedTuple):
    """What a forward pass leaves for the way back and for the Kronecker factors."""

    # a: a layer's inputs [S, n, in]; the first one's are the points alone [1, n, d]
    inputs: list[Tensor]
    outputs: list[Tensor]  # z: a layer's outputs [S, n, out]
    derivatives: list[Derivatives]  # at the outputs of every layer but the last
    # ∇zᵀ A ∇z there [n, out]; None where the value is all
    bends: list[Tensor | None]


def forward(activation: str, params: Params, x: Tensor, diffuse: Diffuse | None) -> Pass:
    """Compute the network's jet at x [n, d]; it is the last of the outputs."""
    channels = 1 if diffuse is None else x.shape[1] + 2
    inputs, outputs = [x[None]], [linear(params[0], x[None], channels)]
    derivatives, bends = [], []
    for matrix in params[1:]:
        derivatives.append(ACTIVATIONS[activation].derivatives(outputs[-1][0]))
        bends.append(bending(outputs[-1], diffuse))
        inputs.append(activate(derivatives[-1], bends[-1], outputs[-1]))
        outputs.append(linear(matrix, inputs[-1], channels))
    return Pass(inputs, outputs, derivatives, bends)


def backward(
    activation: str,
    params: Params,
    forward_pass: Pass,
    cotangents: Tensor,
    diffuse: Diffuse | None,
) -> list[Tensor]:
    """Pull cotangents of the last layer's outputs back to those of every layer.

    Each is [r, S, n, out], with r residual components.
    """
    layers = zip(
        params[:0:-1],
        forward_pass.outputs[-2::-1],
        forward_pass.derivatives[::-1],
        forward_pass.bends[::-1],
        strict=True,
    )
    from_last = [cotangents]
    for matrix, jet, derivatives, bend in layers:
        pulled = from_last[-1] @ matrix[:, :-1]
        from_last.append(
            activate_transposed(
                ACTIVATIONS[activation], derivatives, bend, jet, pulled, diffuse
            )
        )
    return from_last[::-1]


def linear(matrix: Tensor, inputs: Tensor, channels: int) -> Tensor:
    """Apply a layer: W a + b [S, n, out] of inputs [S, n, in].

    In the first layer the inputs are the points alone [1, n, d].
    """
    weights, bias = matrix[:, :-1], matrix[:, -1]
    outputs = inputs @ weights.T
    outputs[0] += bias
    if len(inputs) == channels:
        return outputs
    n, d = inputs.shape[1:]
    columns = weights.T[:, None].expand(d, n, len(matrix))
    return torch.cat([outputs, columns, torch.zeros_like(outputs)])


def bending(jet: Tensor, diffuse: Diffuse | None) -> Tensor | None:
    """Compute ∇zᵀ A ∇z [n, h], which an activation's second derivative multiplies."""
    if diffuse is None:
        return None
    gradient = jet[1:-1]
    return (gradient * diffuse(gradient)).sum(0)


def activate(derivatives: Derivatives, bend: Tensor | None, jet: Tensor) -> Tensor:
    """Compute the channels of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    if bend is None:
        return derivatives.value[None]
    activated = derivatives.first * jet
    activated[0] = derivatives.value
    activated[-1].addcmul_(derivatives.second, bend)
    return activated


def activate_transposed(
    activation: Activation,
    derivatives: Derivatives,
    bend: Tensor | None,
    jet: Tensor,
    cotangents: Tensor,
    diffuse: Diffuse | None,
) -> Tensor:
    """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h]."""
    pulled = derivatives.first * cotangents
    if diffuse is None or bend is None:
        return pulled
    gradient, to_gradient, to_curvature = jet[1:-1], cotangents[:, 1:-1], cotangents[:, -1]
    bent = derivatives.second * to_curvature
    pulled[:, 0].addcmul_(derivatives.second, (gradient * to_gradient).sum(1))
    pulled[:, 0].addcmul_(
        derivatives.second * jet[-1] + activation.third(derivatives) * bend, to_curvature
    )
    pulled[:, 1:-1].addcmul_(2 * bent[:, None], diffuse(gradient))
    return pulled
