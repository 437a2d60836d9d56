"""A problem's residuals, losses and derivatives at a network's parameters."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.activations import ACTIVATIONS
from optbench.implementations.jax.passes.chunks import (
    Chunks,
    apply,
    join,
    mean,
    most_channels,
    split,
)
from optbench.implementations.jax.passes.collapsed import Collapsed
from optbench.implementations.jax.passes.network import (
    Architecture,
    Jets,
    Pass,
    backward,
    forward,
)
from optbench.implementations.jax.passes.parameters import Params, add, scale
from optbench.implementations.jax.passes.taylor import Taylor
from optbench.implementations.protocol import Linearization, Losses, Tree
from optbench.implementations.shape_checks import check_shapes
from optbench.problems import input_maps, jets, networks
from optbench.problems.names import UnknownName
from optbench.problems.problem import Batch, Operator, Problem, Term


class Equation(NamedTuple):
    """A term of a problem as the passes read it, for one network."""

    operator: Operator
    network: Architecture
    weight: float

    def jets(self, x: Array) -> Jets:
        """Make the kind of jet that the operator reads, at the points x [n, d]."""
        if self.operator.diffusion is not None:
            return Collapsed(self.operator.diffusion, x)
        return Taylor(self.operator.layout, x)


@dataclass(frozen=True)
class Objective:
    """L = Σ_k w_k/(2 n_k) Σ_n ‖r_k(x_{k,n})‖² for networks of one name.

    The seed is that of the name's random frequencies; the widths are the parameters' own.

    Raises:
        InvalidName: the network's name is malformed.
        UnknownName: no activation has that name.
    """

    problem: Problem
    network: str = "tanh_64"
    seed: int = 0

    def __post_init__(self) -> None:
        activation = networks.parse(self.network).activation
        if activation not in ACTIVATIONS:
            raise UnknownName("activation", activation, ACTIVATIONS)

    @cached_property
    def architecture(self) -> Architecture:
        """The network but for its parameters."""
        return Architecture(
            networks.parse(self.network).activation,
            input_maps.of(self.problem, self.network, self.seed),
        )

    def equation(self, term: Term, like: Array | None = None) -> Equation:
        """Prepare a term for the passes; the twin asks for an array of the points' type."""
        return Equation(term.operator, self.architecture, term.weight)

    def predict(self, params: Params, x: Array) -> Array:
        """Evaluate u [n, m] at the points x [n, d]."""
        value = Taylor(jets.layout({}), x)
        return forward(self.architecture, params, value).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> dict[str, Array]:
        """Evaluate every term's r [n, r]."""
        evaluations = self._whole(evaluate, params, batch)
        return OrderedDict((name, term.residual) for name, term in evaluations.items())

    def losses(self, params: Params, batch: Batch) -> Losses:
        """Evaluate every term of the loss."""
        return self.weighted_losses(self._over_points(mean, half_squares, params, batch))

    def loss(self, params: Params, batch: Batch) -> Array:
        """Evaluate L, the sum of the terms."""
        return self.losses(params, batch).total

    def loss_of_each(self, many: Params, batch: Batch) -> Array:
        """Evaluate L [k] of k sets of parameters [k, out, in + 1] in one pass."""
        return jax.vmap(lambda params: self.loss(params, batch))(many)

    def residuals_of_each(self, many: Params, batch: Batch) -> dict[str, Array]:
        """Evaluate every term's r [k, n, r] of k sets of parameters in one pass."""

        def residuals(params: Params) -> dict[str, Array]:
            chunks = self._over_points(
                apply, evaluate, params, batch, lambda term: term.residual
            )
            return OrderedDict((name, join(parts)) for name, parts in chunks.items())

        return jax.vmap(residuals)(many)

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """Compute the losses and ∇L, one matrix per layer, by two passes per term."""
        terms = self._over_points(mean, differentiate, params, batch)
        losses = self.weighted_losses({name: loss for name, (loss, _) in terms.items()})
        return losses, self.weighted_sum({name: part for name, (_, part) in terms.items()})

    def hessian_product(self, params: Params, batch: Batch, directions: Params) -> Params:
        """Multiply ∇²L, the gradient's Jacobian, which is symmetric, by a direction."""

        def gradient(params: Params) -> Params:
            return self.gradient(params, batch)[1]

        return jax.vjp(gradient, params)[1](directions)[0]

    def linearize(self, params: Params, batch: Batch) -> dict[str, Linearization]:
        """Compute every term's residual with the factors of its Jacobian."""
        return self._whole(linearize, params, batch)

    def linearize_chunks(self, params: Params, batch: Batch) -> dict[str, Chunks]:
        """Compute the same, one chunk of the points at a time."""
        return self._over_points(apply, linearize, params, batch)

    def mean_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Average a function of linearizations over each term's points.

        The function gives means over the points of a linearization, without the weight.
        """
        return self._over_points(mean, linearize, params, batch, function)

    def joined_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Join, for each term, arrays [n, …] that a function of linearizations gives."""
        chunks = self._over_points(apply, linearize, params, batch, function)
        return OrderedDict((name, join(parts)) for name, parts in chunks.items())

    def weighted_losses(self, halves: dict[str, Array]) -> Losses:
        """Weigh the terms' half mean squares 1/(2n) Σ r²."""
        weights = self.problem.weights.items()
        # a compiled step sorts the names of a plain dictionary
        return Losses(
            OrderedDict(
                (name, scale([halves[name]], weight)[0]) for name, weight in weights
            )
        )

    def weighted_sum(self, parts: dict[str, Params]) -> Params:
        """Sum the terms' parts of ∇L, or other matrices, with their weights."""
        (first, weight), *others = self.problem.weights.items()
        total = scale(parts[first], weight)
        for name, weight in others:
            total = add(total, parts[name], weight)
        return total

    def _over_points(
        self,
        over: Callable,
        passes: Callable,
        params: Params,
        batch: Batch,
        function: Callable[[Tree], Tree] = lambda result: result,
    ) -> dict[str, Tree]:
        """Take what passes give of each term's chunks, and a function of it, together."""
        most = most_channels(max(len(matrix) for matrix in params))

        def of(equation: Equation, params: Params, *points: Array) -> Tree:
            parts = split(points, most // equation.operator.channels)
            return over(lambda part: function(passes(equation, params, *part)), parts)

        return self._whole(of, params, batch)

    def _whole(self, passes: Callable, params: Params, batch: Batch) -> dict[str, Tree]:
        """Take what passes give of each term's points."""
        check_shapes(self.problem, self.network, params, batch)
        return OrderedDict(
            (name, passes(self.equation(term), params, *batch[name]))
            for name, term in self.problem.terms.items()
        )


class Evaluation(NamedTuple):
    """A term at one point of parameter space, ready to be differentiated."""

    forward_pass: Pass
    jets: Jets
    residual: Array  # r [n, r]
    # from a cotangent of r to that of the network's output channels
    pull: Callable[[Array], tuple[Array]]


def evaluate(equation: Equation, params: Params, x: Array, y: Array) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    kind, operator = equation.jets(x), equation.operator
    forward_pass = forward(equation.network, params, kind)

    def read(channels: Array) -> Array:
        return operator.apply(operator.jet(channels), x, y, jnp.concatenate)

    residual, pull = jax.vjp(read, forward_pass.outputs[-1])
    return Evaluation(forward_pass, kind, residual, pull)


def half_squares(equation: Equation, params: Params, x: Array, y: Array) -> Array:
    """Compute a term's half mean square."""
    return half_mean_square(evaluate(equation, params, x, y).residual)


def differentiate(
    equation: Equation, params: Params, x: Array, y: Array
) -> tuple[Array, Params]:
    """Compute a term's half mean square and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/n."""
    at = evaluate(equation, params, x, y)
    cotangent = at.pull(at.residual / len(x))[0]
    cotangents = backward(
        equation.network, params, at.forward_pass, cotangent[None], at.jets
    )
    return half_mean_square(at.residual), [
        a.weigh(q[0]) for q, a in zip(cotangents, at.forward_pass.inputs, strict=True)
    ]


def linearize(equation: Equation, params: Params, x: Array, y: Array) -> Linearization:
    """Compute a term's residual, layer inputs and cotangents of each residual component."""
    at = evaluate(equation, params, x, y)
    components = jnp.eye(at.residual.shape[1], dtype=x.dtype)
    output_cotangents = jnp.stack(
        [
            at.pull(jnp.broadcast_to(component, at.residual.shape))[0]
            for component in components
        ]
    )
    return Linearization(
        at.residual,
        at.forward_pass.inputs,
        backward(equation.network, params, at.forward_pass, output_cotangents, at.jets),
    )


def half_mean_square(residual: Array) -> Array:
    """Compute 1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))
