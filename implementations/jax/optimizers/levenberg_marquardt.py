"""The Levenberg-Marquardt method (Marquardt 1963), with MINPACK's scaling.

The gain's rule for the damping: Nielsen 1999. Geodesic acceleration: Transtrum and Sethna
2012, arXiv 1201.5885. With rows of J and r multiplied by √(w/n), L = ½ ‖r‖², a step

1. computes J and r, and W, the running maximum of the diagonal of G = JᵀJ,
2. solves (G + λW) d = −∇L by Cholesky, or with JW⁻¹Jᵀ where that is smaller,
3. bends d by a = −½ (G + λW)⁻¹ Jᵀ r_vv, if asked for,
4. compares the fall of the loss with that of the quadratic model, and
5. follows d + a and lowers λ, or else raises λ and goes back to 2, ten times at most.

| papers | here | |
|---|---|---|
| λ, μ | `damping` | the field is the first one; for "identity" in units of max diag G |
| D² | W | of `scaling` "diagonal"; the identity of "identity" |
| | `pivot` | the gain at which λ stays; Nielsen has ½ |
| α | `acceleration` | the largest ‖a‖/‖d‖ in the norm of W; 0: no acceleration |
"""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_solve
from pydantic import Field

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import NonNegative, Positive, optimizer
from optbench.implementations.jax.passes import jacobian
from optbench.implementations.jax.passes.parameters import (
    Params,
    flatten,
    select,
    split_like,
)
from optbench.implementations.jax.solvers.control_flow import while_loop
from optbench.implementations.jax.solvers.linear_algebra import cholesky
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

BOUNDS = (1e-16, 1e16)  # of λ, for "identity" in units of the first step's max diag G
MOST_TRIES = 10  # of dampings in a step
FASTEST = 1 / 3  # what an accepted step leaves of λ at least
EPS = float(jnp.finfo(jnp.float64).eps)


class State(NamedTuple):
    """What Levenberg-Marquardt remembers."""

    damping: Array  # λ of the next try
    growth: Array  # ν: what a rejected try multiplies λ with
    scale: Array  # the diagonal of W [D]
    unit: Array  # of λ
    step: int | Array  # steps done
    evaluations: int | Array  # of L and of r, in all steps
    stalls: int | Array  # steps in which the parameters did not move


class Try(NamedTuple):
    """A damping that was tried, and the next one."""

    change: Array  # of the parameters [D]
    accepted: bool | Array
    damping: Array
    growth: Array
    tries: int | Array


@optimizer
class LevenbergMarquardt(Optimizer):
    """Gauss-Newton steps whose damping follows the gain."""

    name: ClassVar[str] = "levenberg_marquardt"
    version: ClassVar[int] = 1
    float64_only: ClassVar[bool] = True

    damping: Positive = 1e-3  # the first λ
    scaling: Literal["diagonal", "identity"] = "diagonal"
    pivot: Annotated[float, Field(gt=0, lt=1)] = 0.25
    acceleration: NonNegative = 0.0

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with W = 0, which the first step's diagonal exceeds."""
        damping, growth, unit = (jnp.full((), x, float) for x in (self.damping, 2.0, 1.0))
        counts = (jnp.zeros((), int) for _ in range(3))
        return State(damping, growth, jnp.zeros_like(flatten(params)), unit, *counts)

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, J, residual = self.jacobian(objective, params, batch)  # 1
        state = self._scaled(state, jnp.square(J).sum(0))
        solve = regularized(J, state.scale)
        start, gradient, lowest = flatten(params), J.T @ residual, losses.total

        def attempt(last: Try) -> Try:
            least, most = (bound * state.unit for bound in BOUNDS)
            damping = jnp.clip(last.damping, least, most)
            direction = -solve(residual, damping)  # 2
            change = direction
            if self.acceleration > 0:  # 3
                there = start + jacobian.DIFFERENCE * direction
                second = jacobian.second_derivative(
                    objective, params, there[None], (J @ direction)[None], residual, batch
                )[0]
                bent = -solve(second, damping) / 2
                change = direction + self._shortened(bent, direction, state.scale)
            reached = objective.loss(split_like(params, start + change), batch)
            model_fall = direction.dot(damping * state.scale * direction - gradient) / 2
            gain = (lowest - reached) / model_fall  # 4
            accepted = (reached < lowest) & (gain > 0)
            excess = gain - self.pivot
            share = jnp.where(excess > 0, excess / (1 - self.pivot), excess / self.pivot)
            return Try(  # 5
                change,
                accepted,
                damping
                * jnp.where(accepted, jnp.maximum(FASTEST, 1 - share**3), last.growth),
                jnp.where(accepted, 2.0, 2 * last.growth),
                last.tries + 1,
            )

        end = while_loop(
            lambda last: ~last.accepted & (last.tries < MOST_TRIES),
            attempt,
            Try(
                jnp.zeros_like(start),
                jnp.zeros((), bool),
                state.damping,
                state.growth,
                jnp.zeros((), int),
            ),
        )
        after = state._replace(
            damping=end.damping,
            growth=end.growth,
            step=state.step + 1,
            evaluations=state.evaluations + 1 + end.tries * (1 + (self.acceleration > 0)),
            stalls=state.stalls + ~end.accepted,
        )
        moved = split_like(params, start + end.change)
        return select(end.accepted, moved, params), after, losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers of J, and of the matrix that is factorized, three times."""
        rows = memory_estimates.jacobian_rows(batch)
        columns = memory_estimates.parameters(params)
        return 2 * rows * columns + 3 * min(rows, columns) ** 2

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what the steps have counted."""
        return {"stalls": state.stalls, "evaluations": state.evaluations}

    def jacobian(
        self, objective: Objective, params: Params, batch: Batch
    ) -> tuple[Losses, Array, Array]:
        """Compute the losses, J and r."""
        losses, layers, residual = jacobian.rows(objective, params, batch)
        return losses, jnp.concatenate(layers, axis=1), residual

    def _scaled(self, state: State, diagonal: Array) -> State:
        """Update W by the diagonal of G [D]; set the unit of λ in the first step."""
        first, largest = state.step == 0, diagonal.max()
        if self.scaling == "diagonal":
            least = jnp.where(first, EPS * largest, 0)
            scale = jnp.maximum(jnp.maximum(state.scale, diagonal), least)
            return state._replace(scale=scale)
        unit = jnp.where(first, largest, state.unit)
        return state._replace(
            scale=jnp.ones_like(diagonal),
            unit=unit,
            damping=jnp.where(first, unit * state.damping, state.damping),
        )

    def _shortened(self, bent: Array, direction: Array, scale: Array) -> Array:
        """Shorten a to `acceleration` times d in the norm of W; 0 where it is no number."""
        length, longest = (
            jnp.sqrt((scale * vector**2).sum()) for vector in (bent, direction)
        )
        longest = self.acceleration * longest
        shorter = jnp.where(length > longest, longest / length, 1)
        return jnp.where(jnp.isfinite(length), shorter * bent, 0)


def regularized(J: Array, scale: Array) -> Callable[[Array, Array], Array]:
    """Make (x, λ) ↦ (JᵀJ + λW)⁻¹ Jᵀ x; NaN where Cholesky fails.

    J is [R, D], W's diagonal [D], x is [R].
    """
    if J.shape[0] >= J.shape[1]:
        gramian = J.T @ J

        def solve(x: Array, damping: Array) -> Array:
            factor = cholesky(gramian + jnp.diag(damping * scale))
            return cho_solve((factor, True), J.T @ x)

    else:
        unscaled = J / scale
        kernel = unscaled @ J.T

        def solve(x: Array, damping: Array) -> Array:
            factor = cholesky(kernel + jnp.diag(damping * jnp.ones_like(kernel[0])))
            return unscaled.T @ cho_solve((factor, True), x)

    return solve
