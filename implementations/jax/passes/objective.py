"""A problem's residuals, losses and derivatives at a network's parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from optbench.implementations.checks import check_shapes
from optbench.implementations.jax.passes.chunks import (
    Pieces,
    each,
    join,
    mean,
    most_rows,
    split,
)
from optbench.implementations.jax.passes.network import (
    ACTIVATIONS,
    Diffuse,
    Pass,
    backward,
    forward,
)
from optbench.implementations.jax.passes.parameters import Params, add
from optbench.implementations.protocol import Linearization, Losses
from optbench.problems.names import UnknownName
from optbench.problems.problem import Batch, Jet, Operator, Problem, Term


class Equation(NamedTuple):
    """A term of a problem as the passes read it, for networks with one activation."""

    residual: Callable[[Jet, Array, Array], Array]
    rows: int  # of a jet
    diffuse: Diffuse | None
    activation: str


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

    def equation(self, term: Term, like: Array) -> Equation:
        """A term for points of an array's type."""
        diffuse = diffusion_like(term.operator, like.dtype)
        return Equation(
            term.operator.residual, term.operator.rows, diffuse, self.activation
        )

    def predict(self, params: Params, x: Array) -> Array:
        """u [n, m] at the points x [n, d]."""
        return forward(self.activation, params, x, None).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> tuple[Array, Array]:
        """r [N, r] and r_b [M, r_b]."""
        interior, boundary = self._each_term(evaluate, params, batch)
        return interior.residual, boundary.residual

    def losses(self, params: Params, batch: Batch) -> Losses:
        """The two terms of the loss."""
        return Losses(*self._in_pieces(mean, half_squares, params, batch))

    def loss(self, params: Params, batch: Batch) -> Array:
        """L, the sum of the two terms."""
        return self.losses(params, batch).total

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """The losses and ∇L, a matrix a layer: one forward and one backward pass a term."""
        (interior, slopes), (boundary, slopes_b) = self._in_pieces(
            mean, differentiate, params, batch
        )
        return Losses(interior, boundary), add(slopes, slopes_b)

    def hessian_product(self, params: Params, batch: Batch, directions: Params) -> Params:
        """Multiply ∇²L by a direction: the gradient's transposed Jacobian, which is symmetric."""

        def gradient(params: Params) -> Params:
            return self.gradient(params, batch)[1]

        return jax.vjp(gradient, params)[1](directions)[0]

    def means(
        self, function: Callable[[Linearization], Any], params: Params, batch: Batch
    ) -> tuple[Any, Any]:
        """For both terms the mean over the points of a function that gives means over its linearization's points."""
        return self._in_pieces(mean, linearize, params, batch, function)

    def joined(
        self, function: Callable[[Linearization], Any], params: Params, batch: Batch
    ) -> tuple[Any, Any]:
        """For both terms the arrays [n, …] of a function of linearizations, at all points."""
        interior, boundary = self._in_pieces(each, linearize, params, batch, function)
        return join(interior), join(boundary)

    def linearize(
        self, params: Params, batch: Batch
    ) -> tuple[Linearization, Linearization]:
        """Both terms' residuals with the factors of their Jacobians."""
        return self._each_term(linearize, params, batch)

    def linearize_chunks(self, params: Params, batch: Batch) -> tuple[Pieces, Pieces]:
        """The same, a piece of the points at a time."""
        return self._in_pieces(each, linearize, params, batch)

    def _in_pieces(
        self,
        over: Callable,
        passes: Callable,
        params: Params,
        batch: Batch,
        then: Callable[[Any], Any] = lambda done: done,
    ) -> tuple[Any, Any]:
        widest = max(len(matrix) for matrix in params)

        def of(equation: Equation, params: Params, *points: Array) -> Any:
            parts = split(points, most_rows(widest) // equation.rows)
            return over(lambda part: then(passes(equation, params, *part)), parts)

        return self._each_term(of, params, batch)

    def _each_term(
        self, function: Callable, params: Params, batch: Batch
    ) -> tuple[Any, Any]:
        check_shapes(self.problem, params, batch)
        (x, y), (x_b, y_b) = batch
        interior, boundary = (
            self.equation(term, params[0])
            for term in (self.problem.interior, self.problem.boundary)
        )
        return function(interior, params, x, y), function(boundary, params, x_b, y_b)


class Evaluation(NamedTuple):
    """A term at one point of parameter space, ready to be differentiated."""

    done: Pass
    residual: Array  # r [n, r]
    pull: Callable[
        [Array], tuple[Array]
    ]  # from a cotangent of r to that of the network's output rows


def evaluate(equation: Equation, params: Params, x: Array, y: Array) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    done = forward(equation.activation, params, x, equation.diffuse)

    def read(rows: Array) -> Array:
        return equation.residual(as_jet(rows), x, y)

    residual, pull = jax.vjp(read, done.outputs[-1])
    return Evaluation(done, residual, pull)


def half_squares(equation: Equation, params: Params, x: Array, y: Array) -> Array:
    """A term's loss."""
    return half_mean_square(evaluate(equation, params, x, y).residual)


def differentiate(
    equation: Equation, params: Params, x: Array, y: Array
) -> tuple[Array, Params]:
    """A term's loss and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/∂[W | b] / n."""
    at = evaluate(equation, params, x, y)
    seed = at.pull(at.residual / len(x))[0]
    cotangents = backward(
        equation.activation, params, at.done, seed[None], equation.diffuse
    )
    return half_mean_square(at.residual), [
        weigh(q[0], a) for q, a in zip(cotangents, at.done.inputs, strict=True)
    ]


def linearize(equation: Equation, params: Params, x: Array, y: Array) -> Linearization:
    """A term's residual, layer inputs and the cotangents of each residual component."""
    at = evaluate(equation, params, x, y)
    components = jnp.eye(at.residual.shape[1], dtype=x.dtype)
    seeds = jnp.stack(
        [
            at.pull(jnp.broadcast_to(component, at.residual.shape))[0]
            for component in components
        ]
    )
    return Linearization(
        at.residual,
        at.done.inputs,
        backward(equation.activation, params, at.done, seeds, equation.diffuse),
    )


def weigh(cotangents: Array, inputs: Array) -> Array:
    """Σ_{n,s} q aᵀ [out, in + 1] of cotangents [S, n, out] and input rows [S, n, in] or the points alone [1, n, d]."""
    flat = cotangents[: len(inputs)].reshape(-1, cotangents.shape[-1])
    weights = flat.T @ inputs.reshape(-1, inputs.shape[-1])
    if len(inputs) < len(cotangents):
        weights += cotangents[1:-1].sum(1).T
    return jnp.concatenate([weights, cotangents[0].sum(0)[:, None]], axis=1)


def half_mean_square(residual: Array) -> Array:
    """1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))


def as_jet(rows: Array) -> Jet:
    """The network's output rows [S, n, m] as an operator reads them."""
    if len(rows) == 1:
        return Jet(rows[0], None, None)
    return Jet(rows[0], rows[1:-1].swapaxes(0, 1), rows[-1])


def diffusion_like(operator: Operator, dtype: jnp.dtype) -> Diffuse | None:
    """∇z ↦ A ∇z, with no more products than A needs."""
    if operator.diffusion is None:
        return None
    diagonal = np.diag(operator.diffusion)
    if np.array_equal(operator.diffusion, np.eye(len(diagonal))):
        return lambda gradient: gradient
    if np.array_equal(operator.diffusion, np.diag(diagonal)):
        entries = jnp.asarray(diagonal, dtype)[:, None, None]
        return lambda gradient: entries * gradient
    matrix = jnp.asarray(operator.diffusion, dtype)
    return lambda gradient: jnp.einsum("ij,jnh->inh", matrix, gradient)
