"""Gauss-Newton in a trust region whose radius aims at a ratio, with geodesic acceleration.

The radius: Webb, Jerad and Cartis 2026, arXiv 2607.02194 (DSGNAR). The acceleration:
Transtrum and Sethna 2012, arXiv 1201.5885. With rows of J and r multiplied by √(w/n),
L = ½ ‖r‖², a step

1. decomposes J = U diag(s) Vᵀ, or a sketch J Sᵀ of it, and b = Uᵀ r,
2. takes many radii around Δ, and the step p(λ) = −V (s b)/(s² + λ) of each length,
3. bends each along the residuals' second derivative r_vv, by a = −½ V (s Uᵀ r_vv)/(s² + λ),
4. compares the fall of the loss with that of the linear model, for all of them in one pass,
5. chooses the radius at which their ratio has fallen to the target, and
6. follows p + a of that length, if the loss falls.

| papers | here | |
|---|---|---|
| Δ | `radius` | of the region; the field is the first one |
| τ | `target` | the ratio that the radius aims at |
| α | `acceleration` | the largest ‖a‖/‖p‖; 0: no acceleration |
| s | `sketch` | how many coordinates of the parameters a step sees; None: all |
"""

from functools import partial
from typing import Annotated, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from pydantic import Field

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import (
    Count,
    NonNegative,
    Positive,
    Seed,
    optimizer,
)
from optbench.implementations.jax.passes import jacobian
from optbench.implementations.jax.passes.parameters import (
    Params,
    flatten,
    select,
    split_like,
)
from optbench.implementations.jax.solvers import singular_values, trust_radius
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.singular_values import SingularValues
from optbench.implementations.jax.solvers.sketch import Sketch, draw
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

WIDEST = 3.0  # the radii of a step are Δ/3 to 3Δ
BOUNDS = (1e-12, 1e6)  # of Δ
# of ε s₁², above which a damping hides what squaring J's condition does to the step
HIDDEN = 20


class State(NamedTuple):
    """What a trust region remembers."""

    radius: Array  # Δ
    damping: Array  # λ of the last step
    largest: Array  # s₁ of the last step
    step: int | Array  # steps done, which the sketches are numbered by
    evaluations: int | Array  # of L and of r, in all steps
    stalls: int | Array  # steps in which the parameters did not move


class Model(NamedTuple):
    """The linear model r + J p of a step."""

    J: Array  # or J Sᵀ [R, s]
    residual: Array  # r [R]
    values: SingularValues
    drawn: Sketch | None

    def lift(self, steps: Array) -> Array:
        """Give steps [k, s] as changes of the parameters [k, D]."""
        return steps if self.drawn is None else self.drawn.lift(steps)


class Candidates(NamedTuple):
    """Steps of k lengths."""

    change: Array  # of the parameters [k, D]
    damping: Array  # λ [k]
    # of the loss's fall to the model's [k], at most 1; −1 where it is not finite
    ratio: Array


@optimizer
class TrustRegion(Optimizer):
    """Gauss-Newton steps that are as long as the linear model is good."""

    name: ClassVar[str] = "trust_region"
    version: ClassVar[int] = 1
    float64_only: ClassVar[bool] = True

    target: Annotated[float, Field(gt=0, lt=1)] = 0.2
    radius: Positive = 1.0
    probes: Annotated[int, Field(ge=3)] = 24  # radii that a step looks at
    acceleration: NonNegative = 0.5
    sketch: Count | None = None
    seed: Seed = 0  # of the sketches

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with the first radius."""
        numbers = (jnp.full((), x, float) for x in (self.radius, 0.0, 0.0))
        return State(*numbers, *(jnp.zeros((), int) for _ in range(3)))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, J, residual, drawn = self.jacobian(objective, params, batch, state.step)
        model = Model(J, residual, self.decompose(state, J, residual), drawn)  # 1
        look = partial(self.candidates, objective, params, batch, losses, model)
        radii = state.radius * WIDEST ** jnp.linspace(-1, 1, self.probes)
        ratios = jax.lax.cummin(look(radii).ratio)  # 2 to 4
        radius = trust_radius.longest(radii, ratios, self.target)  # 5
        chosen = look(radius[None])  # 6
        accepted = chosen.ratio[0] > 0
        moved = split_like(params, flatten(params) + chosen.change[0])
        bends = self.acceleration > 0
        after = State(
            jnp.clip(jnp.where(accepted, radius, radii[0]), *BOUNDS),
            chosen.damping[0],
            model.values.s.max(),
            state.step + 1,
            state.evaluations + 1 + (1 + bends) * (self.probes + 1),
            state.stalls + ~accepted,
        )
        return select(accepted, moved, params), after, losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that J, its factors and the candidates hold."""
        rows = memory_estimates.jacobian_rows(batch)
        columns = self.sketch or memory_estimates.parameters(params)
        return memory_estimates.singular_values(rows, columns)

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what the steps have counted."""
        return {"stalls": state.stalls, "evaluations": state.evaluations}

    def jacobian(
        self, objective: Objective, params: Params, batch: Batch, step: int | Array = 0
    ) -> tuple[Losses, Array, Array, Sketch | None]:
        """Compute the losses, J or J Sᵀ, r, and the sketch S of the step if it has one.

        Raises ValueError where a sketch has more coordinates than there are parameters.
        """
        if self.sketch is None:
            losses, layers, residual = jacobian.rows(objective, params, batch)
            return losses, jnp.concatenate(layers, axis=1), residual, None
        size = memory_estimates.parameters(params)
        if self.sketch > size:
            raise ValueError(f"sketch = {self.sketch}: the network has {size} parameters")
        drawn = draw(self.seed, step, size, self.sketch)
        return *jacobian.sketched_rows(objective, params, batch, drawn.apply), drawn

    def decompose(self, state: State, J: Array, residual: Array) -> SingularValues:
        """Compute the singular values of J.

        They are by the eigenvectors of JᵀJ where the last step's damping hides the
        difference: that is cheaper, and as good.
        """
        if J.shape[0] < J.shape[1]:
            return singular_values.of_jacobian(J, residual)
        return when(
            state.damping > HIDDEN * trust_radius.EPS * state.largest**2,
            lambda: singular_values.of_gramian(J, residual),
            lambda: singular_values.of_jacobian(J, residual),
        )

    def candidates(
        self,
        objective: Objective,
        params: Params,
        batch: Batch,
        losses: Losses,
        model: Model,
        radii: Array,
    ) -> Candidates:
        """Look at the steps whose lengths are radii [k]."""
        values, start = model.values, flatten(params)
        damping = trust_radius.damping_of(values, radii)
        shares, s = trust_radius.filtered(values, damping), values.s[:, None]
        step = -(values.V @ shares).T  # 2
        if self.acceleration > 0:  # 3
            step += self.bend(objective, params, batch, model, damping, step)
        change = model.lift(step)
        reached = objective.loss_of_each(split_like(params, start + change), batch)
        model_fall = (shares**2 * (s * s + 2 * damping)).sum(0)
        ratio = 2 * (losses.total - reached) / model_fall
        usable = jnp.isfinite(reached) & jnp.isfinite(ratio)
        return Candidates(
            change, damping, jnp.where(usable, jnp.clip(ratio, -1, 1), -1.0)
        )  # 4

    def bend(
        self,
        objective: Objective,
        params: Params,
        batch: Batch,
        model: Model,
        damping: Array,
        step: Array,
    ) -> Array:
        """Compute a [k, s] of steps p [k, s], no longer than `acceleration` |p|."""
        there = flatten(params) + jacobian.DIFFERENCE * model.lift(step)
        second = jacobian.second_derivative(
            objective, params, there, step @ model.J.T, model.residual, batch
        )
        finite = jnp.isfinite(second).all(1, keepdims=True)
        projected = model.values.project(jnp.where(finite, second, 0).T)
        shares = trust_radius.filtered(model.values, damping, projected)
        bent = -(model.values.V @ shares).T / 2
        longest = self.acceleration * jnp.linalg.norm(step, axis=1)
        length = jnp.linalg.norm(bent, axis=1)
        shorter = jnp.where(length > longest, longest / jnp.where(length > 0, length, 1), 1)
        return shorter[:, None] * bent
