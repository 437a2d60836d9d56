"""SPRING: natural gradients by the kernel JJᵀ, damped towards the last direction.

The method is that of Goldshlager et al. (2024).

φ_k = μ φ_{k−1} − Jᵀ (JJᵀ + λI)⁺ (r + μ J φ_{k−1}), the rows of J and r multiplied by √(w/n)
(arXiv 2401.10190; the bias correction is of Guzmán-Cordero et al. 2025, arXiv 2505.12149).
With μ = 0 it is `engd_woodbury`.
"""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations import memory_estimates
from optbench.implementations.failures import FactorisationFailed
from optbench.implementations.hyperparameters import Fraction, Positive, optimizer
from optbench.implementations.jax.passes import kernel
from optbench.implementations.jax.passes.parameters import Params, flatten, select
from optbench.implementations.jax.solvers.line_search import Search, follow, never
from optbench.implementations.jax.solvers.linear_algebra import first_failure
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch


class State(NamedTuple):
    """What it remembers."""

    step: Array  # steps done
    # φ, like the parameters, before bias correction and norm constraint
    direction: list[Array]
    search: Search
    failure: Array  # 0 where the last direction was not finite, else -1


@optimizer
class SPRING(Optimizer):
    """Natural gradient descent by the kernel with momentum."""

    name: ClassVar[str] = "spring"
    version: ClassVar[int] = 1

    learning_rate: Positive | None = (
        None  # None: the line search, without the norm constraint
    )
    momentum: Fraction = 0.99  # μ
    damping: Positive = 1e-3
    norm_constraint: Positive | None = (
        1e-3  # C: a step is no longer than √C; None: no constraint
    )
    bias_correction: bool = False  # steps along φ_k / √(1 − μ²ᵏ)
    line_search: Literal["grid", "grid_exhaustive"] = "grid"

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without a direction, before the first search."""
        zeros = [jnp.zeros_like(matrix) for matrix in params]
        return State(jnp.zeros((), int), zeros, never(), first_failure(params))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        step = state.step + 1
        prior = [self.momentum * matrix for matrix in state.direction]
        losses, direction, failure = kernel.solve(
            objective, params, batch, self.damping, prior
        )
        scale = self._scale(step, direction)
        followed = [scale * matrix for matrix in direction]
        moved, search = follow(
            self, objective, params, followed, batch, losses, state.search
        )
        return (
            select(failure < 0, moved, params),
            State(step, direction, search, failure),
            losses,
        )

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers of a step's matrices: those of a solve with the kernel."""
        return memory_estimates.kernel(objective, params, batch)

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what the line searches have counted."""
        return state.search.counters()

    def ends(self, state: State) -> bool | Array:
        """Say whether the last step had no finite direction."""
        return state.failure >= 0

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        if self.ends(state):
            raise FactorisationFailed({"kernel": None}, self.damping)

    def _scale(self, step: Array, direction: Params) -> float | Array:
        """Compute what φ_k is multiplied by before the step size."""
        dtype = direction[0].dtype  # powers in float64 as in the twin
        scale = (
            ((1 - jnp.array(self.momentum) ** (2 * step)) ** -0.5).astype(dtype)
            if self.bias_correction
            else 1.0
        )
        if self.learning_rate is None or self.norm_constraint is None:
            return scale
        longest = self.norm_constraint**0.5 / self.learning_rate
        return scale * jnp.minimum(longest / jnp.linalg.norm(flatten(direction)), 1)
