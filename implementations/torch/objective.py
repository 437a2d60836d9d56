"""A problem's residuals, losses and derivatives at a network's parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from implementations.checks import check_shapes
from implementations.torch.network import ACTIVATIONS, Pass, backward, forward
from implementations.torch.parameters import Params
from problems.names import UnknownName
from problems.problem import Batch, Jet, Operator, Problem, Term


class Losses(NamedTuple):
    """The two terms of the loss."""

    interior: Tensor  # 1/(2N) Σ r²
    boundary: Tensor  # 1/(2M) Σ r²

    @property
    def total(self) -> Tensor:
        """L, their sum."""
        return self.interior + self.boundary


class Linearization(NamedTuple):
    """A term's residual and the factors of its Jacobian: ∂r_{n,c}/∂[W | b] = Σ_s q_{n,c,s} a_{n,s}ᵀ in every layer."""

    residual: Tensor  # [n, r]
    inputs: list[Tensor]  # a, [S, n, in + 1] a layer
    cotangents: list[Tensor]  # q, [r, S, n, out] a layer


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

    def predict(self, params: Params, x: Tensor) -> Tensor:
        """u [n, m] at the points x [n, d]."""
        return forward(self.activation, params, x, None).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """r [N, r] and r_b [M, r_b]."""
        interior, boundary = self._each_term(evaluate, params, batch)
        return interior.residual, boundary.residual

    def losses(self, params: Params, batch: Batch) -> Losses:
        """The two terms of the loss."""
        return Losses(*(half_mean_square(residual) for residual in self.residuals(params, batch)))

    def loss(self, params: Params, batch: Batch) -> Tensor:
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
    residual: Tensor  # r [n, r]
    pull: Callable[[Tensor], tuple[Tensor]]  # from a cotangent of r to that of the network's output rows
    diffusion: Tensor | None


def evaluate(term: Term, activation: str, params: Params, x: Tensor, y: Tensor) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    diffusion = diffusion_like(term.operator, x.dtype, x.device)
    done = forward(activation, params, x, diffusion)

    def read(rows: Tensor) -> Tensor:
        return term.operator.residual(as_jet(rows), x, y)

    residual, pull, *_ = torch.func.vjp(read, done.outputs[-1])
    return Evaluation(done, residual, pull, diffusion)


def differentiate(term: Term, activation: str, params: Params, x: Tensor, y: Tensor) -> tuple[Tensor, Params]:
    """A term's loss and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/∂[W | b] / n."""
    at = evaluate(term, activation, params, x, y)
    seed = at.pull(at.residual / len(x))[0]
    cotangents = backward(params, at.done, seed[None], at.diffusion)
    return half_mean_square(at.residual), [weigh(q, a) for q, a in zip(cotangents, at.done.inputs, strict=True)]


def linearize(term: Term, activation: str, params: Params, x: Tensor, y: Tensor) -> Linearization:
    """A term's residual, layer inputs and the cotangents of each residual component."""
    at = evaluate(term, activation, params, x, y)
    components = torch.eye(at.residual.shape[1], dtype=x.dtype, device=x.device)
    seeds = torch.stack([at.pull(component.expand_as(at.residual))[0] for component in components])
    return Linearization(at.residual, at.done.inputs, backward(params, at.done, seeds, at.diffusion))


def weigh(cotangents: Tensor, inputs: Tensor) -> Tensor:
    """Σ_{n,s} q aᵀ [out, in + 1] of cotangents [1, S, n, out] and inputs [S, n, in + 1]."""
    return cotangents.flatten(0, -2).T @ inputs.flatten(0, -2)


def half_mean_square(residual: Tensor) -> Tensor:
    """1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))


def as_jet(rows: Tensor) -> Jet:
    """The network's output rows [S, n, m] as an operator reads them."""
    if len(rows) == 1:
        return Jet(rows[0], None, None)
    return Jet(rows[0], rows[1:-1].transpose(0, 1), rows[-1])


@lru_cache
def diffusion_like(operator: Operator, dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """A on the points' device; its diagonal alone where it has no other entries."""
    if operator.diffusion is None:
        return None
    diagonal = np.diag(operator.diffusion)
    compact = diagonal if np.array_equal(operator.diffusion, np.diag(diagonal)) else operator.diffusion
    return torch.tensor(compact, dtype=dtype, device=device)
