"""A problem's residuals, losses and derivatives at a network's parameters."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from optbench.implementations.checks import check_shapes
from optbench.implementations.protocol import Linearization, Losses
from optbench.implementations.torch.passes.chunks import (
    Pieces,
    each,
    join,
    mean,
    most_rows,
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
from torch import Tensor

MOST_PROGRAMS = (
    256  # a process may hold, of each pass: one a term, network and number of points
)


class Equation(NamedTuple):
    """A term of a problem as the passes read it, for networks with one activation."""

    residual: Callable[[Jet, Tensor, Tensor], Tensor]
    rows: int  # of a jet
    diffuse: Diffuse | None
    activation: str


@dataclass(frozen=True)
class Objective:
    """L = 1/(2N) Σ ‖r(x_n)‖² + 1/(2M) Σ ‖r_b(x_m)‖² of a problem, for networks with one activation.

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
        """A term for points of an array's type."""
        operator = term.operator
        return Equation(
            operator.residual,
            operator.rows,
            diffusion_like(operator, like.dtype, like.device),
            self.activation,
        )

    def predict(self, params: Params, x: Tensor) -> Tensor:
        """u [n, m] at the points x [n, d]."""
        return forward(self.activation, params, x, None).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """r [N, r] and r_b [M, r_b]."""
        interior, boundary = self._each_term(evaluate, params, batch)
        return interior.residual, boundary.residual

    def losses(self, params: Params, batch: Batch) -> Losses:
        """The two terms of the loss."""
        return Losses(*self._in_pieces(mean, half_squares, params, batch))

    def loss(self, params: Params, batch: Batch) -> Tensor:
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
        eager = replace(
            self, compiled=False
        )  # Inductor's programs cannot be differentiated

        def gradient(params: Params) -> Params:
            return eager.gradient(params, batch)[1]

        return torch.func.vjp(gradient, params)[1](directions)[0]

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
        return self._each_term(self._fastest(linearize), params, batch)

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
        passes = self._fastest(passes)

        def of(equation: Equation, params: Params, *points: Tensor) -> Any:
            parts = split(points, most_rows(points[0].device, widest) // equation.rows)
            return over(lambda part: then(passes(equation, params, *part)), parts)

        return self._each_term(of, params, batch)

    def _fastest(self, passes: Callable) -> Callable:
        return compiled(passes) if self.compiled else passes

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


@lru_cache
def compiled(passes: Callable) -> Callable:
    """The passes as one program for each equation and shape, compiled at the first call."""
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

    done: Pass
    residual: Tensor  # r [n, r]
    pull: Callable[
        [Tensor], tuple[Tensor]
    ]  # from a cotangent of r to that of the network's output rows


def evaluate(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    done = forward(equation.activation, params, x, equation.diffuse)

    def read(rows: Tensor) -> Tensor:
        return equation.residual(as_jet(rows), x, y)

    residual, pull, *_ = torch.func.vjp(read, done.outputs[-1])
    return Evaluation(done, residual, pull)


def half_squares(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Tensor:
    """A term's loss."""
    return half_mean_square(evaluate(equation, params, x, y).residual)


def differentiate(
    equation: Equation, params: Params, x: Tensor, y: Tensor
) -> tuple[Tensor, Params]:
    """A term's loss and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/∂[W | b] / n."""
    at = evaluate(equation, params, x, y)
    seed = at.pull(at.residual / len(x))[0]
    cotangents = backward(
        equation.activation, params, at.done, seed[None], equation.diffuse
    )
    return half_mean_square(at.residual), [
        weigh(q[0], a) for q, a in zip(cotangents, at.done.inputs, strict=True)
    ]


def linearize(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Linearization:
    """A term's residual, layer inputs and the cotangents of each residual component."""
    at = evaluate(equation, params, x, y)
    components = torch.eye(at.residual.shape[1], dtype=x.dtype, device=x.device)
    seeds = torch.stack(
        [at.pull(component.expand_as(at.residual))[0] for component in components]
    )
    return Linearization(
        at.residual,
        at.done.inputs,
        backward(equation.activation, params, at.done, seeds, equation.diffuse),
    )


def weigh(cotangents: Tensor, inputs: Tensor) -> Tensor:
    """Σ_{n,s} q aᵀ [out, in + 1] of cotangents [S, n, out] and input rows [S, n, in] or the points alone [1, n, d]."""
    weights = cotangents[: len(inputs)].flatten(0, 1).T @ inputs.flatten(0, 1)
    if len(inputs) < len(cotangents):
        weights += cotangents[1:-1].sum(1).T
    return torch.cat([weights, cotangents[0].sum(0)[:, None]], dim=1)


def half_mean_square(residual: Tensor) -> Tensor:
    """1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))


def as_jet(rows: Tensor) -> Jet:
    """The network's output rows [S, n, m] as an operator reads them."""
    if len(rows) == 1:
        return Jet(rows[0], None, None)
    return Jet(rows[0], rows[1:-1].transpose(0, 1), rows[-1])


@lru_cache
def diffusion_like(
    operator: Operator, dtype: torch.dtype, device: torch.device
) -> Diffuse | None:
    """∇z ↦ A ∇z on the points' device, with no more products than A needs."""
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
