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

import jax.numpy as jnp
from jax import Array
from optbench.implementations.jax.passes.parameters import Params


class Slopes(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Array  # σ(z)
    first: Array  # σ′(z)
    second: Array  # σ″(z)


class Activation(NamedTuple):
    """An elementwise function σ."""

    slopes: Callable[[Array], Slopes]
    third: Callable[
        [Slopes], Array
    ]  # σ‴(z) from what is known: needed on the way back alone


def tanh_slopes(z: Array) -> Slopes:
    """σ = tanh: σ′ = 1 − σ², σ″ = −2σσ′."""
    value = jnp.tanh(z)
    first = 1 - value * value
    return Slopes(value, first, -2 * value * first)


def tanh_third(slopes: Slopes) -> Array:
    """σ‴ = σ′ (4 − 6σ′)."""
    return slopes.first * (4 - 6 * slopes.first)


def sin_slopes(z: Array) -> Slopes:
    """σ = sin."""
    value = jnp.sin(z)
    return Slopes(value, jnp.cos(z), -value)


def sin_third(slopes: Slopes) -> Array:
    """σ‴ = −σ′."""
    return -slopes.first


ACTIVATIONS = {
    "tanh": Activation(tanh_slopes, tanh_third),
    "sin": Activation(sin_slopes, sin_third),
}

Diffuse = Callable[[Array], Array]  # A ∇z [d, n, h] of ∇z


class Pass(NamedTuple):
    """What a forward pass leaves: everything the way back and the Kronecker factors need."""

    inputs: list[
        Array
    ]  # a: a layer's input rows [S, n, in]; the first one's are the points [1, n, d]
    outputs: list[Array]  # z: a layer's output rows [S, n, out]
    slopes: list[Slopes]  # at the outputs of every layer but the last
    bends: list[
        Array | None
    ]  # ∇zᵀ A ∇z there [n, out]; None where the value alone is asked for


def forward(activation: str, params: Params, x: Array, diffuse: Diffuse | None) -> Pass:
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
    activation: str, params: Params, done: Pass, cotangents: Array, diffuse: Diffuse | None
) -> list[Array]:
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


def linear(matrix: Array, inputs: Array, rows: int) -> Array:
    """The rows W a + b [S, n, out] of input rows [S, n, in], or of the points alone [1, n, d] in the first layer."""
    weights, bias = matrix[:, :-1], matrix[:, -1]
    if len(inputs) == rows:
        return (inputs @ weights.T).at[0].add(bias)
    n, d = inputs.shape[1:]
    columns = jnp.broadcast_to(weights.T[:, None], (d, n, len(matrix)))
    value = inputs @ weights.T + bias
    return jnp.concatenate([value, columns, jnp.zeros_like(value)])


def bending(rows: Array, diffuse: Diffuse | None) -> Array | None:
    """∇zᵀ A ∇z [n, h], what an activation's second derivative multiplies."""
    if diffuse is None:
        return None
    gradient = rows[1:-1]
    return (gradient * diffuse(gradient)).sum(0)


def activate(slopes: Slopes, bend: Array | None, rows: Array) -> Array:
    """The rows of σ(z): σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    if bend is None:
        return slopes.value[None]
    curvature = slopes.first * rows[-1] + slopes.second * bend
    return jnp.concatenate([slopes.value[None], slopes.first * rows[1:-1], curvature[None]])


def activate_transposed(
    activation: Activation,
    slopes: Slopes,
    bend: Array | None,
    rows: Array,
    cotangents: Array,
    diffuse: Diffuse | None,
) -> Array:
    """The cotangents of the rows of z, given those of the rows of σ(z), both [r, S, n, h]."""
    if diffuse is None or bend is None:
        return slopes.first * cotangents
    gradient = rows[1:-1]
    to_value, to_gradient, to_curvature = (
        cotangents[:, 0],
        cotangents[:, 1:-1],
        cotangents[:, -1],
    )
    value = slopes.first * to_value + slopes.second * (gradient * to_gradient).sum(1)
    value += (slopes.second * rows[-1] + activation.third(slopes) * bend) * to_curvature
    slope = slopes.first * to_gradient + 2 * (slopes.second * to_curvature)[
        :, None
    ] * diffuse(gradient)
    return jnp.concatenate(
        [value[:, None], slope, slopes.first * to_curvature[:, None]], axis=1
    )
