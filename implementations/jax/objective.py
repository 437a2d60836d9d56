"""A problem's residuals, losses and derivatives at a network's parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from implementations.checks import check_shapes
from implementations.jax.network import ACTIVATIONS, Pass, backward, forward
from implementations.jax.parameters import Params
from problems.names import UnknownName
from problems.problem import Batch, Jet, Operator, Problem, Term


class Losses(NamedTuple):
    """The two terms of the loss."""

    interior: Array  # 1/(2N) Σ r²
    boundary: Array  # 1/(2M) Σ r²

    @property
    def total(self) -> Array:
        """L, their sum."""
        return self.interior + self.boundary


class Linearization(NamedTuple):
    """A term's residual and the factors of its Jacobian: ∂r_{n,c}/∂[W | b] = Σ_s q_{n,c,s} a_{n,s}ᵀ in every layer."""

    residual: Array  # [n, r]
    inputs: list[Array]  # a, [S, n, in + 1] a layer
    cotangents: list[Array]  # q, [r, S, n, out] a layer


@dataclass(frozen=True)
class Objective:
    """L = 1/(2N) Σ ‖r(x_n)‖² + 1/(2M) Σ ‖r_b(x_m)‖² of a problem, for networks with one activation.

    Raises:
        UnknownName: no activation has that name.
    """

    problem: Problem
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UnknownName("activation", self.activation, ACTIVATIONS)

    def predict(self, params: Params, x: Array) -> Array:
        """u [n, m] at the points x [n, d]."""
        return forward(self.activation, params, x, None).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> tuple[Array, Array]:
        """r [N, r] and r_b [M, r_b]."""
        interior, boundary = self._each_term(evaluate, params, batch)
        return interior.residual, boundary.residual

    def losses(self, params: Params, batch: Batch) -> Losses:
        """The two terms of the loss."""
        return Losses(*(half_mean_square(residual) for residual in self.residuals(params, batch)))

    def loss(self, params: Params, batch: Batch) -> Array:
        """L, the sum of the two terms."""
        return self.losses(params, batch).total

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """The losses and ∇L, a matrix a layer: one forward and one backward pass a term."""
        interior, boundary = self._each_term(differentiate, params, batch)
        return Losses(interior[0], boundary[0]), [g + h for g, h in zip(interior[1], boundary[1], strict=True)]

    def linearize(self, params: Params, batch: Batch) -> tuple[Linearization, Linearization]:
        """Both terms' residuals with the factors of their Jacobians."""
        return self._each_term(linearize, params, batch)

    def _each_term(self, function: Callable, params: Params, batch: Batch) -> tuple:
        check_shapes(self.problem, params, batch)
        terms = zip((self.problem.interior, self.problem.boundary), batch, strict=True)
        return tuple(function(term, self.activation, params, *points) for term, points in terms)


class Evaluation(NamedTuple):
    """A term at one point of parameter space, ready to be differentiated."""

    done: Pass
    residual: Array  # r [n, r]
    pull: Callable[[Array], tuple[Array]]  # from a cotangent of r to that of the network's output rows
    diffusion: Array | None


def evaluate(term: Term, activation: str, params: Params, x: Array, y: Array) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    diffusion = diffusion_like(term.operator, x.dtype)
    done = forward(activation, params, x, diffusion)

    def read(rows: Array) -> Array:
        return term.operator.residual(as_jet(rows), x, y)

    residual, pull = jax.vjp(read, done.outputs[-1])
    return Evaluation(done, residual, pull, diffusion)


def differentiate(term: Term, activation: str, params: Params, x: Array, y: Array) -> tuple[Array, Params]:
    """A term's loss and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/∂[W | b] / n."""
    at = evaluate(term, activation, params, x, y)
    seed = at.pull(at.residual / len(x))[0]
    cotangents = backward(params, at.done, seed[None], at.diffusion)
    return half_mean_square(at.residual), [weigh(q, a) for q, a in zip(cotangents, at.done.inputs, strict=True)]


def linearize(term: Term, activation: str, params: Params, x: Array, y: Array) -> Linearization:
    """A term's residual, layer inputs and the cotangents of each residual component."""
    at = evaluate(term, activation, params, x, y)
    components = jnp.eye(at.residual.shape[1], dtype=x.dtype)
    seeds = jnp.stack([at.pull(jnp.broadcast_to(component, at.residual.shape))[0] for component in components])
    return Linearization(at.residual, at.done.inputs, backward(params, at.done, seeds, at.diffusion))


def weigh(cotangents: Array, inputs: Array) -> Array:
    """Σ_{n,s} q aᵀ [out, in + 1] of cotangents [1, S, n, out] and inputs [S, n, in + 1]."""
    return cotangents.reshape(-1, cotangents.shape[-1]).T @ inputs.reshape(-1, inputs.shape[-1])


def half_mean_square(residual: Array) -> Array:
    """1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))


def as_jet(rows: Array) -> Jet:
    """The network's output rows [S, n, m] as an operator reads them."""
    if len(rows) == 1:
        return Jet(rows[0], None, None)
    return Jet(rows[0], rows[1:-1].swapaxes(0, 1), rows[-1])


def diffusion_like(operator: Operator, dtype: jnp.dtype) -> Array | None:
    """A as the points are; its diagonal alone where it has no other entries."""
    if operator.diffusion is None:
        return None
    diagonal = np.diag(operator.diffusion)
    compact = diagonal if np.array_equal(operator.diffusion, np.diag(diagonal)) else operator.diffusion
    return jnp.asarray(compact, dtype)
