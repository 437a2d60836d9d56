"""KFAC*: step size and momentum from a quadratic model along two directions.

Source: arXiv 2405.15603, section 3.4.
"""

from functools import partial
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from optbench.implementations.hyperparameters import Count, Fraction, NonNegative, optimizer
from optbench.implementations.protocol import Linearization, Losses, Objective, Optimizer
from optbench.implementations.torch.optimizers.kfac import (
    Preconditioner,
    check_preconditioner,
    initial,
    precondition,
    summarize,
    total_gradient,
)
from optbench.implementations.torch.passes.chunks import Chunks, mean
from optbench.implementations.torch.passes.linearization import products
from optbench.implementations.torch.passes.parameters import Params, advance, select
from optbench.implementations.torch.solvers.linear_algebra import first_failure
from optbench.problems.problem import Batch

FIRST_STEP = 1e-6  # α of the first update, which has no predecessor
# eigenvalues of the scaled 2 × 2 system below this share of the largest count as zero
CUT_OFF = 1e-14


class State(NamedTuple):
    """What KFAC* remembers."""

    preconditioner: Preconditioner
    update: Params  # δ, the last change of the parameters


@optimizer
class KFACStar(Optimizer):
    """KFAC that needs neither a learning rate nor a momentum."""

    name: ClassVar[str] = "kfac_star"
    version: ClassVar[int] = 1

    damping: NonNegative = 1e-8
    decay: Fraction = 0.9
    identity_init: bool = True
    factor_interval: Count = 1
    inverse_interval: Count = 1
    approximation: Literal["expand", "reduce"] = "expand"
    curvature: Literal["type-2", "empirical", "forward-only"] = "type-2"
    damping_rule: Literal["same", "trace-norm"] = "same"

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with factors of zeros or identities, and no update."""
        return State(initial(self, params), [torch.zeros_like(matrix) for matrix in params])

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        chunks = objective.linearize_chunks(params, batch)
        summary = partial(summarize, self, state.preconditioner)
        terms = mean(summary, chunks[0]), mean(summary, chunks[1])
        losses, gradient = Losses(*(term.loss for term in terms)), total_gradient(terms)
        directions, preconditioner = precondition(
            self, state.preconditioner, terms, gradient
        )
        alpha, mu = minimize_quadratic(
            *quadratic_model(chunks, gradient, directions, state.update, self.damping)
        )
        first = torch.as_tensor(state.preconditioner.step == 0, device=alpha.device)
        alpha, mu = torch.where(first, FIRST_STEP, alpha), torch.where(first, 0, mu)
        update = [
            alpha * direction + mu * last
            for direction, last in zip(directions, state.update, strict=True)
        ]
        # a failed layer spoils α and μ, and with them every layer: name the first cause
        failure = torch.where(
            preconditioner.failure < 0, first_failure(update), preconditioner.failure
        )
        preconditioner = preconditioner._replace(failure=failure)
        params = select(preconditioner.failure < 0, advance(params, update, 1.0), params)
        return params, State(preconditioner, update), losses

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        check_preconditioner(self, state.preconditioner)


def quadratic_model(
    chunks: tuple[Chunks, Chunks],
    gradient: Params,
    directions: Params,
    update: Params,
    damping: float,
) -> tuple[Tensor, Tensor]:
    """Compute the model's matrix Dᵀ (G + λI) D [2, 2] and its slope Dᵀ ∇L [2].

    D = [Δ, δ]; G is exact.
    """
    along = directions, update

    def curvature(term: Linearization) -> Tensor:
        images = torch.stack([products(term, direction).flatten() for direction in along])
        return images @ images.T / len(term.residual)

    matrix = mean(curvature, chunks[0]) + mean(curvature, chunks[1])
    gram = torch.stack([torch.stack([inner(d, e) for e in along]) for d in along])
    return matrix + damping * gram, torch.stack([inner(gradient, d) for d in along])


def minimize_quadratic(matrix: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Solve (α, μ) = −M⁺ b, with M scaled to a unit diagonal.

    δ is shorter than Δ by many orders of magnitude.

    The scaled matrix [[1, c], [c, 1]] has the eigenvectors (1, ±1) with eigenvalues 1 ± c;
    a zero on M's diagonal (no last update) leaves its direction out.
    """
    diagonal = matrix.diagonal()
    scale = torch.where(
        diagonal > 0, 1 / torch.sqrt(torch.where(diagonal > 0, diagonal, 1)), 0 * diagonal
    )
    correlation, b = matrix[0, 1] * scale[0] * scale[1], slope * scale
    along = inverse(1 + correlation, correlation) * (b[0] + b[1])
    across = inverse(1 - correlation, correlation) * (b[0] - b[1])
    return -scale[0] * (along + across) / 2, -scale[1] * (along - across) / 2


def inverse(eigenvalue: Tensor, correlation: Tensor) -> Tensor:
    """Invert an eigenvalue w of the scaled system; 0 where it counts as zero."""
    kept = eigenvalue > CUT_OFF * (1 + correlation.abs())
    return torch.where(kept, 1 / torch.where(kept, eigenvalue, 1), 0 * eigenvalue)


def inner(one: Params, other: Params) -> Tensor:
    """Compute the inner product of two sets of matrices."""
    return torch.stack([(a * b).sum() for a, b in zip(one, other, strict=True)]).sum()
