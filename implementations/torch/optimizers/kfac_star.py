"""KFAC*: step size and momentum from a quadratic model along two directions.

Source: arXiv 2405.15603, section 3.4. A step

1. linearizes every term, and keeps the linearizations,
2. computes Δ = −C⁻¹ ∇L with KFAC's preconditioner C,
3. minimises L + bᵀ(α, μ) + ½ (α, μ) M (α, μ)ᵀ, with M = Dᵀ(G + λI) D, b = Dᵀ ∇L along
   D = [Δ, δ] and the exact Gramian G, and
4. moves by αΔ + μδ, the next step's δ.

With `guard`, the step is tried at shrinking lengths, and is not taken where none lowers the
loss: the model alone knows nothing of what the residual's curvature does to a long step.
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
    losses_and_gradient,
    precondition,
    summarize,
)
from optbench.implementations.torch.passes.chunks import Chunks, mean
from optbench.implementations.torch.passes.linearization import products
from optbench.implementations.torch.passes.parameters import Params, advance, select
from optbench.implementations.torch.solvers.linear_algebra import first_failure
from optbench.problems.problem import Batch

FIRST_STEP = 1e-6  # α of the first update, which has no predecessor
# eigenvalues of the scaled 2 × 2 system below this share of the largest count as zero
CUT_OFF = 1e-14


LENGTHS = [4.0**-power for power in range(7)]  # of the step, with `guard`


class Guard(NamedTuple):
    """What the guard counts."""

    evaluations: int | Tensor  # of the loss, in all steps
    stalls: int | Tensor  # steps in which the parameters did not move


class State(NamedTuple):
    """What KFAC* remembers."""

    preconditioner: Preconditioner
    update: Params  # δ, the last change of the parameters
    guard: Guard | tuple[()]


@optimizer
class KFACStar(Optimizer):
    """KFAC that needs neither a learning rate nor a momentum."""

    name: ClassVar[str] = "kfac_star"
    version: ClassVar[int] = 1
    later: ClassVar[tuple[str, ...]] = ("guard",)

    damping: NonNegative = 1e-8
    decay: Fraction = 0.9
    identity_init: bool = True
    factor_interval: Count = 1
    inverse_interval: Count = 1
    approximation: Literal["expand", "reduce"] = "expand"
    curvature: Literal["type-2", "empirical", "forward-only"] = "type-2"
    damping_rule: Literal["same", "trace-norm", "relative"] = "same"
    guard: bool = False  # take no step that does not lower the loss

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with factors of zeros or identities, and no update."""
        zeros = [torch.zeros_like(matrix) for matrix in params]
        guard = Guard(0, 0) if self.guard else ()
        return State(initial(self, params), zeros, guard)

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        chunks = objective.linearize_chunks(params, batch)  # 1
        summary = partial(summarize, self, state.preconditioner)
        terms = {name: mean(summary, term) for name, term in chunks.items()}
        losses, gradient = losses_and_gradient(objective, terms)
        directions, preconditioner = precondition(  # 2
            self, objective, state.preconditioner, terms, gradient
        )
        along = [directions, state.update]
        if self.guard:
            along = [unit(direction) for direction in along]
        # relative damping has no λ on the scale of G
        damping = 0.0 if self.damping_rule == "relative" else self.damping
        alpha, mu = minimize_quadratic(  # 3
            *quadratic_model(objective, chunks, gradient, along, damping)
        )
        if not self.guard:
            first = torch.as_tensor(state.preconditioner.step == 0, device=alpha.device)
            alpha, mu = torch.where(first, FIRST_STEP, alpha), torch.where(first, 0, mu)
        update = [  # 4
            alpha * direction + mu * last for direction, last in zip(*along, strict=True)
        ]
        # a failed layer spoils α and μ, and with them every layer: name the first cause
        failure = torch.where(
            preconditioner.failure < 0, first_failure(update), preconditioner.failure
        )
        preconditioner = preconditioner._replace(failure=failure)
        guard = state.guard
        if guard:
            update, accepted = shortened(objective, params, update, batch, losses)
            guard = Guard(guard.evaluations + len(LENGTHS), guard.stalls + ~accepted)
        params = select(preconditioner.failure < 0, advance(params, update, 1.0), params)
        return params, State(preconditioner, update, guard), losses

    def counters(self, state: State) -> dict[str, int | Tensor]:
        """Read what the guard has counted."""
        return state.guard._asdict() if state.guard else {}

    def ends(self, state: State) -> bool | Tensor:
        """Say whether the last step had no finite direction."""
        return state.preconditioner.failure >= 0

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        check_preconditioner(self, state.preconditioner)


def quadratic_model(
    objective: Objective,
    chunks: dict[str, Chunks],
    gradient: Params,
    along: list[Params],
    damping: float,
) -> tuple[Tensor, Tensor]:
    """Compute the model's matrix Dᵀ (G + λI) D [2, 2] and its slope Dᵀ ∇L [2].

    D are the directions; G is exact.
    """

    def curvature(term: Linearization) -> list[Tensor]:
        images = torch.stack([products(term, direction).flatten() for direction in along])
        return [images @ images.T / len(term.residual)]

    parts = {name: mean(curvature, term) for name, term in chunks.items()}
    (matrix,) = objective.weighted_sum(parts)
    gram = torch.stack([torch.stack([inner(d, e) for e in along]) for d in along])
    return matrix + damping * gram, torch.stack([inner(gradient, d) for d in along])


def unit(direction: Params) -> Params:
    """Scale a direction to length 1; zero stays zero."""
    length = torch.sqrt(inner(direction, direction))
    inverse = torch.where(length > 0, 1 / torch.where(length > 0, length, 1), 0 * length)
    return [inverse * matrix for matrix in direction]


def shortened(
    objective: Objective, params: Params, update: Params, batch: Batch, losses: Losses
) -> tuple[Params, Tensor]:
    """Shorten a step to the best of LENGTHS, the longer on ties.

    Where none is strictly below the loss it starts from, the step is zero. Not a number
    counts as infinite. Gives the step, and whether it was taken.
    """
    lengths = params[0].new_tensor(LENGTHS)
    tried = torch.stack(
        [objective.loss(advance(params, update, length), batch) for length in LENGTHS]
    )
    tried = torch.nan_to_num(tried, nan=torch.inf, posinf=torch.inf)
    best = tried.argmin()
    accepted = tried[best] < losses.total
    taken = [lengths[best] * matrix for matrix in update]
    return select(accepted, taken, [0 * matrix for matrix in params]), accepted


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
