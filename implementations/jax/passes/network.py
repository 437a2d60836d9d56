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

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.parameters import Params


class Derivatives(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Array  # σ(z)
    first: Array  # σ′(z)
    second: Array  # σ″(z)


class Activation(NamedTuple):
    """An elementwise function σ."""

    derivatives: Callable[[Array], Derivatives]
    # σ‴(z) from the others: needed on the way back alone
    third: Callable[[Derivatives], Array]


def tanh_derivatives(z: Array) -> Derivatives:
    """Evaluate σ = tanh with σ′ = 1 − σ² and σ″ = −2σσ′."""
    value = jnp.tanh(z)
    first = 1 - value * value
    return Derivatives(value, first, -2 * value * first)


def tanh_third(derivatives: Derivatives) -> Array:
    """Evaluate σ‴ = σ′ (4 − 6σ′)."""
    return derivatives.first * (4 - 6 * derivatives.first)


def sin_derivatives(z: Array) -> Derivatives:
    """Evaluate σ = sin with σ′ = cos and σ″ = −sin."""
    value = jnp.sin(z)
    return Derivatives(value, jnp.cos(z), -value)


def sin_third(derivatives: Derivatives) -> Array:
    """Evaluate σ‴ = −σ′."""
    return -derivatives.first


ACTIVATIONS = {
    "tanh": Activation(tanh_derivatives, tanh_third),
    "sin": Activation(sin_derivatives, sin_third),
}

Diffuse = Callable[[Array], Array]  # A ∇z [d, n, h] of ∇z


class Pass(NamedTuple):
    """What a forward pass leaves for the way back and for the Kronecker factors."""

    # a: a layer's inputs [S, n, in]; the first one's are the points alone [1, n, d]
    inputs: list[Array]
    outputs: list[Array]  # z: a layer's outputs [S, n, out]
    derivatives: list[Derivatives]  # at the outputs of every layer but the last
    # ∇zᵀ A ∇z there [n, out]; None where the value is all
    bends: list[Array | None]


def forward(activation: str, params: Params, x: Array, diffuse: Diffuse | None) -> Pass:
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
    cotangents: Array,
    diffuse: Diffuse | None,
) -> list[Array]:
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


def linear(matrix: Array, inputs: Array, channels: int) -> Array:
    """Apply a layer: W a + b [S, n, out] of inputs [S, n, in].

    In the first layer the inputs are the points alone [1, n, d].
    """
    weights, bias = matrix[:, :-1], matrix[:, -1]
    if len(inputs) == channels:
        return (inputs @ weights.T).at[0].add(bias)
    n, d = inputs.shape[1:]
    columns = jnp.broadcast_to(weights.T[:, None], (d, n, len(matrix)))
    value = inputs @ weights.T + bias
    return jnp.concatenate([value, columns, jnp.zeros_like(value)])


def bending(jet: Array, diffuse: Diffuse | None) -> Array | None:
    """Compute ∇zᵀ A ∇z [n, h], which an activation's second derivative multiplies."""
    if diffuse is None:
        return None
    gradient = jet[1:-1]
    return (gradient * diffuse(gradient)).sum(0)


def activate(derivatives: Derivatives, bend: Array | None, jet: Array) -> Array:
    """Compute the channels of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    if bend is None:
        return derivatives.value[None]
    curvature = derivatives.first * jet[-1] + derivatives.second * bend
    return jnp.concatenate(
        [derivatives.value[None], derivatives.first * jet[1:-1], curvature[None]]
    )


def activate_transposed(
    activation: Activation,
    derivatives: Derivatives,
    bend: Array | None,
    jet: Array,
    cotangents: Array,
    diffuse: Diffuse | None,
) -> Array:
    """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h]."""
    if diffuse is None or bend is None:
        return derivatives.first * cotangents
    gradient = jet[1:-1]
    to_value, to_gradient, to_curvature = (
        cotangents[:, 0],
        cotangents[:, 1:-1],
        cotangents[:, -1],
    )
    value = derivatives.first * to_value + derivatives.second * (
        gradient * to_gradient
    ).sum(1)
    value += (
        derivatives.second * jet[-1] + activation.third(derivatives) * bend
    ) * to_curvature
    slope = derivatives.first * to_gradient + 2 * (derivatives.second * to_curvature)[
        :, None
    ] * diffuse(gradient)
    return jnp.concatenate(
        [value[:, None], slope, derivatives.first * to_curvature[:, None]], axis=1
    )
