"""Push a jet (u, ∇u, tr(A ∇²u)) through the layers of a perceptron, and a cotangent back.

A jet is an array of S = d + 2 rows [S, n, h]: the value, d derivatives, the curvature; S = 1 where the value alone is
asked for. Layer l multiplies every row by its matrix [W | b]: the bias is the weight of one more input, 1 in the value
and 0 in the derivatives of a constant (the forward Laplacian of arXiv 2405.15603, equation 6 and appendix C).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from implementations.jax.parameters import Params


class Slopes(NamedTuple):
    """An activation and its derivatives at the pre-activations' values z, each [n, h]."""

    value: Array  # σ(z)
    first: Array  # σ′(z)
    second: Array  # σ″(z)
    third: Array  # σ‴(z): the curvature row's own slope, needed on the way back


def tanh(z: Array) -> Slopes:
    """The hyperbolic tangent."""
    value = jnp.tanh(z)
    first = 1 - value * value
    second = -2 * value * first
    return Slopes(value, first, second, -2 * (first * first + value * second))


def sin(z: Array) -> Slopes:
    """The sine."""
    value, first = jnp.sin(z), jnp.cos(z)
    return Slopes(value, first, -value, -first)


ACTIVATIONS: dict[str, Callable[[Array], Slopes]] = {"tanh": tanh, "sin": sin}


class Pass(NamedTuple):
    """What a forward pass leaves: everything the way back and the Kronecker factors need."""

    inputs: list[Array]  # a: a layer's input rows, bias coordinate last, [S, n, in + 1]
    outputs: list[Array]  # z: a layer's output rows, [S, n, out]
    slopes: list[Slopes]  # at the outputs of every layer but the last


def first_rows(x: Array, diffusion: Array | None) -> Array:
    """The jet of x ↦ x [S, n, d]: the points, the identity, no curvature; the points alone without diffusion."""
    if diffusion is None:
        return x[None]
    n, d = x.shape
    identity = jnp.broadcast_to(jnp.eye(d, dtype=x.dtype)[:, None, :], (d, n, d))
    return jnp.concatenate([x[None], identity, jnp.zeros_like(x)[None]])


def forward(activation: str, params: Params, x: Array, diffusion: Array | None) -> Pass:
    """The network's jet at x [n, d]; it is the last of the outputs."""
    inputs, outputs, slopes = [with_bias(first_rows(x, diffusion))], [], []
    for matrix in params[:-1]:
        outputs.append(inputs[-1] @ matrix.T)
        slopes.append(ACTIVATIONS[activation](outputs[-1][0]))
        inputs.append(activate(slopes[-1], outputs[-1], diffusion))
    outputs.append(inputs[-1] @ params[-1].T)
    return Pass(inputs, outputs, slopes)


def backward(params: Params, done: Pass, cotangents: Array, diffusion: Array | None) -> list[Array]:
    """The cotangents of every layer's output rows [r, S, n, out], given those of the last; r residual components."""
    every = [cotangents]
    for matrix, slopes, rows in zip(params[:0:-1], done.slopes[::-1], done.outputs[-2::-1], strict=True):
        every.append(activate_transposed(slopes, rows, every[-1] @ matrix[:, :-1], diffusion))
    return every[::-1]


def with_bias(rows: Array) -> Array:
    """Append the coordinate that the bias multiplies."""
    # the bias enters the value only: derivatives of a constant vanish
    bias = jnp.zeros((*rows.shape[:2], 1), rows.dtype).at[0].set(1)
    return jnp.concatenate([rows, bias], axis=2)


def activate(slopes: Slopes, rows: Array, diffusion: Array | None) -> Array:
    """The rows of σ(z) with the bias coordinate: σ, σ′ ∇z, σ′ tr(A ∇²z) + σ″ ∇zᵀ A ∇z."""
    if diffusion is None:
        return with_bias(slopes.value[None])
    gradient, curvature = rows[1:-1], rows[-1]
    bent = slopes.first * curvature + slopes.second * (gradient * diffuse(diffusion, gradient)).sum(0)
    return with_bias(jnp.concatenate([slopes.value[None], slopes.first * gradient, bent[None]]))


def activate_transposed(slopes: Slopes, rows: Array, cotangents: Array, diffusion: Array | None) -> Array:
    """The cotangents of the rows of z, given those of the rows of σ(z), both [r, S, n, h]."""
    if diffusion is None:
        return slopes.first * cotangents
    gradient, curvature = rows[1:-1], rows[-1]
    to_value, to_gradient, to_curvature = cotangents[:, :1], cotangents[:, 1:-1], cotangents[:, -1:]
    diffused = diffuse(diffusion, gradient)
    bend = slopes.second * curvature + slopes.third * (gradient * diffused).sum(0)
    value = (
        slopes.first * to_value + slopes.second * (gradient * to_gradient).sum(1, keepdims=True) + bend * to_curvature
    )
    slope = slopes.first * to_gradient + 2 * (slopes.second * to_curvature) * diffused
    return jnp.concatenate([value, slope, slopes.first * to_curvature], axis=1)


def diffuse(diffusion: Array, gradient: Array) -> Array:
    """A ∇z [d, n, h]; A is its diagonal [d] or the whole matrix [d, d]."""
    if diffusion.ndim == 1:
        return diffusion[:, None, None] * gradient
    return jnp.einsum("ij,jnh->inh", diffusion, gradient)
