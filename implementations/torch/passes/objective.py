"""A problem's residuals, losses and derivatives at a network's parameters."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optbench.implementations.protocol import Linearization, Losses, Tree
from optbench.implementations.shape_checks import check_shapes
from optbench.implementations.torch.passes.chunks import (
    Chunks,
    apply,
    join,
    mean,
    most_channels,
    split,
)
from optbench.implementations.torch.passes.network import (
    ACTIVATIONS,
    Diffuse,
    Pass,
    backward,
    forward,
)
from optbench.implementations.torch.passes.parameters import Params, add
from optbench.problems.names import UnknownName
from optbench.problems.problem import Batch, Jet, Operator, Problem, Term

MOST_PROGRAMS = (
    256  # a process may hold, of each pass: one per term, network and number of points
)


class Equation(NamedTuple):
    """A term of a problem as the passes read it, for networks with one activation."""

    residual: Callable[[Jet, Tensor, Tensor], Tensor]
    channels: int  # of a jet
    diffuse: Diffuse | None
    activation: str


@dataclass(frozen=True)
class Objective:
    """L = 1/(2N) Σ ‖r(x_n)‖² + 1/(2M) Σ ‖r_b(x_m)‖² for networks with one activation.

    `compiled` has Inductor compile the passes through the network (the mode
    "torch-compiled").

    Raises:
        UnknownName: no activation has that name.
    """

    problem: Problem
    activation: str = "tanh"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise UnknownName("activation", self.activation, ACTIVATIONS)

    def equation(self, term: Term, like: Tensor) -> Equation:
        """Prepare a term for points of an array's type."""
        operator = term.operator
        return Equation(
            operator.residual,
            operator.channels,
            diffusion_like(operator, like.dtype, like.device),
            self.activation,
        )

    def predict(self, params: Params, x: Tensor) -> Tensor:
        """Evaluate u [n, m] at the points x [n, d]."""
        return forward(self.activation, params, x, None).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Evaluate r [N, r] and r_b [M, r_b]."""
        interior, boundary = self._both_terms(evaluate, params, batch)
        return interior.residual, boundary.residual

    def losses(self, params: Params, batch: Batch) -> Losses:
        """Evaluate the two terms of the loss."""
        return Losses(*self._in_chunks(mean, half_squares, params, batch))

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Evaluate L, the sum of the two terms."""
        return self.losses(params, batch).total

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """Compute the losses and ∇L, one matrix per layer, by two passes per term."""
        (interior, gradient), (boundary, gradient_b) = self._in_chunks(
            mean, differentiate, params, batch
        )
        return Losses(interior, boundary), add(gradient, gradient_b)

    def hessian_product(self, params: Params, batch: Batch, directions: Params) -> Params:
        """Multiply ∇²L, the gradient's Jacobian, which is symmetric, by a direction."""
        # Inductor's programs cannot be differentiated
        eager = replace(self, compiled=False)

        def gradient(params: Params) -> Params:
            return eager.gradient(params, batch)[1]

        return torch.func.vjp(gradient, params)[1](directions)[0]

    def means(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> tuple[Tree, Tree]:
        """Average a function of linearizations over all points, for both terms.

        The function gives means over the points of a linearization.
        """
        return self._in_chunks(mean, linearize, params, batch, function)

    def joined(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> tuple[Tree, Tree]:
        """Join, for both terms, arrays [n, …] that a function of linearizations gives."""
        interior, boundary = self._in_chunks(apply, linearize, params, batch, function)
        return join(interior), join(boundary)

    def linearize(
        self, params: Params, batch: Batch
    ) -> tuple[Linearization, Linearization]:
        """Compute both terms' residuals with the factors of their Jacobians."""
        return self._both_terms(self._fastest(linearize), params, batch)

    def linearize_chunks(self, params: Params, batch: Batch) -> tuple[Chunks, Chunks]:
        """Compute the same, one chunk of the points at a time."""
        return self._in_chunks(apply, linearize, params, batch)

    def _in_chunks(
        self,
        over: Callable,
        passes: Callable,
        params: Params,
        batch: Batch,
        then: Callable[[Tree], Tree] = lambda linearization: linearization,
    ) -> tuple[Tree, Tree]:
        widest = max(len(matrix) for matrix in params)
        passes = self._fastest(passes)

        def of(equation: Equation, params: Params, *points: Tensor) -> Tree:
            parts = split(
                points, most_channels(points[0].device, widest) // equation.channels
            )
            return over(lambda part: then(passes(equation, params, *part)), parts)

        return self._both_terms(of, params, batch)

    def _fastest(self, passes: Callable) -> Callable:
        return compiled(passes) if self.compiled else passes

    def _both_terms(
        self, function: Callable, params: Params, batch: Batch
    ) -> tuple[Tree, Tree]:
        check_shapes(self.problem, params, batch)
        (x, y), (x_b, y_b) = batch
        interior, boundary = (
            self.equation(term, params[0])
            for term in (self.problem.interior, self.problem.boundary)
        )
        return function(interior, params, x, y), function(boundary, params, x_b, y_b)


@lru_cache
def compiled(passes: Callable) -> Callable:
    """Compile the passes, to one program for each equation and shape, at the first call."""
    torch._dynamo.config.recompile_limit = MOST_PROGRAMS
    torch.compiler.config.force_disable_caches = (
        True  # what is kept on disk would hide what compiling costs
    )
    warnings.filterwarnings("ignore", "dynamo_pgo force disabled")
    return torch.compile(
        passes, fullgraph=True, dynamic=False, options={"compile_threads": 1}
    )


class Evaluation(NamedTuple):
    """A term at one point of parameter space, ready to be differentiated."""

    forward_pass: Pass
    residual: Tensor  # r [n, r]
    # from a cotangent of r to that of the network's output channels
    pull: Callable[[Tensor], tuple[Tensor]]


def evaluate(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    forward_pass = forward(equation.activation, params, x, equation.diffuse)

    def read(channels: Tensor) -> Tensor:
        return equation.residual(as_jet(channels), x, y)

    residual, pull, *_ = torch.func.vjp(read, forward_pass.outputs[-1])
    return Evaluation(forward_pass, residual, pull)


def half_squares(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Tensor:
    """Compute a term's loss."""
    return half_mean_square(evaluate(equation, params, x, y).residual)


def differentiate(
    equation: Equation, params: Params, x: Tensor, y: Tensor
) -> tuple[Tensor, Params]:
    """Compute a term's loss and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/∂[W | b] / n."""
    at = evaluate(equation, params, x, y)
    cotangent = at.pull(at.residual / len(x))[0]
    cotangents = backward(
        equation.activation, params, at.forward_pass, cotangent[None], equation.diffuse
    )
    return half_mean_square(at.residual), [
        weigh(q[0], a) for q, a in zip(cotangents, at.forward_pass.inputs, strict=True)
    ]


def linearize(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Linearization:
    """Compute a term's residual, layer inputs and cotangents of each residual component."""
    at = evaluate(equation, params, x, y)
    components = torch.eye(at.residual.shape[1], dtype=x.dtype, device=x.device)
    output_cotangents = torch.stack(
        [at.pull(component.expand_as(at.residual))[0] for component in components]
    )
    return Linearization(
        at.residual,
        at.forward_pass.inputs,
        backward(
            equation.activation,
            params,
            at.forward_pass,
            output_cotangents,
            equation.diffuse,
        ),
    )


def weigh(cotangents: Tensor, inputs: Tensor) -> Tensor:
    """Sum q aᵀ [out, in + 1] over points and channels.

    Cotangents q are [S, n, out], inputs a [S, n, in], or the points alone [1, n, d].
    """
    weights = cotangents[: len(inputs)].flatten(0, 1).T @ inputs.flatten(0, 1)
    if len(inputs) < len(cotangents):
        weights += cotangents[1:-1].sum(1).T
    return torch.cat([weights, cotangents[0].sum(0)[:, None]], dim=1)


def half_mean_square(residual: Tensor) -> Tensor:
    """Compute 1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))


def as_jet(channels: Tensor) -> Jet:
    """Name the network's output channels [S, n, m] as an operator reads them."""
    if len(channels) == 1:
        return Jet(channels[0], None, None)
    return Jet(channels[0], channels[1:-1].transpose(0, 1), channels[-1])


@lru_cache
def diffusion_like(
    operator: Operator, dtype: torch.dtype, device: torch.device
) -> Diffuse | None:
    """Make ∇z ↦ A ∇z on the points' device, with no more products than A needs."""
    if operator.diffusion is None:
        return None
    diagonal = np.diag(operator.diffusion)
    if np.array_equal(operator.diffusion, np.eye(len(diagonal))):
        return lambda gradient: gradient
    if np.array_equal(operator.diffusion, np.diag(diagonal)):
        entries = torch.tensor(diagonal, dtype=dtype, device=device)[:, None, None]
        return lambda gradient: entries * gradient
    matrix = torch.tensor(operator.diffusion, dtype=dtype, device=device)
    return lambda gradient: torch.einsum("ij,jnh->inh", matrix, gradient)
