"""Newton steps by Nyström-preconditioned conjugate gradients (NysNewton-CG, NNCG).

Source: Rathore, Lei, Frangella, Lu and Udell 2024, arXiv 2402.01868, algorithm 4.
"""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import Count, Positive, Seed, optimizer
from optbench.implementations.jax.passes.curvature import expand
from optbench.implementations.jax.passes.parameters import (
    Params,
    advance,
    flatten,
    select,
    split_like,
)
from optbench.implementations.jax.solvers import conjugate_gradients as cg
from optbench.implementations.jax.solvers import nystrom
from optbench.implementations.jax.solvers.armijo import armijo, finite
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.nystrom import Sketch
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

DAMPING = {"ggn": 1e-6, "hessian": 1e-4}
LEAST = 1e-16  # ‖(C + μI) d + g‖ of a solved system, at least
SUFFICIENT = 0.1  # c of Armijo's condition
SIZES = [0.5**power for power in range(61)]  # the step sizes tried


class Search(NamedTuple):
    """What a step counts."""

    iterations: int | Array  # of conjugate gradients, in all steps
    evaluations: int | Array  # of the loss, in all steps, the gradient's included
    stalls: int | Array  # steps in which the parameters did not move
    resets: int | Array  # steps along −P⁻¹g


class State(NamedTuple):
    """What a Nyström-Newton step remembers."""

    step: int | Array  # the number of steps so far
    sketch: Sketch  # of C, as the last refresh found it
    start: Array  # d₀ of the next conjugate gradients [D]
    search: Search


@optimizer
class NystromNewton(Optimizer):
    """A Newton step whose conjugate gradients have a preconditioner from random products.

    C is the Gauss-Newton matrix G or the Hessian; (C + μI) d = −g.
    """

    name: ClassVar[str] = "nystrom_newton"
    version: ClassVar[int] = 1
    float64_only: ClassVar[bool] = True

    curvature: Literal["ggn", "hessian"] = "ggn"
    rank: Count = 60  # of the sketch; D where there are fewer parameters
    sketch_interval: Count = 20  # steps from one sketch to the next
    # μ; 1e-6, with the Hessian 1e-4
    damping: Positive = None  # pyright: ignore[reportAssignmentType]  # see __post_init__
    cg_tolerance: Positive = 1e-10  # ‖(C + μI) d + g‖ / ‖g‖ of a solved system
    cg_max_iterations: Count = 200
    seed: Seed = 0  # of the sketches

    def __post_init__(self) -> None:
        """Give μ the default of the curvature."""
        if self.damping is None:
            object.__setattr__(self, "damping", DAMPING[self.curvature])

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without a sketch, and conjugate gradients at zero."""
        start = jnp.zeros_like(flatten(params))
        rank = min(self.rank, len(start))
        sketch = Sketch(
            jnp.zeros((len(start), rank), start.dtype), jnp.zeros(rank, start.dtype)
        )
        step, *counted = (jnp.zeros((), int) for _ in range(5))
        return State(step, sketch, start, Search(*counted))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient, product = expand(objective, params, batch, self.curvature)

        def sketched() -> Sketch:
            k, (size, rank) = state.step // self.sketch_interval, state.sketch.vectors.shape
            directions = nystrom.directions(self.seed, k, size, rank)
            made = nystrom.approximate(product, directions)
            usable = jnp.isfinite(made.values).all()  # else the last one stays
            pairs = zip(made, state.sketch, strict=True)
            return Sketch(*(jnp.where(usable, new, old) for new, old in pairs))

        refreshes = state.step % self.sketch_interval == 0
        sketch = when(refreshes, sketched, lambda: state.sketch)
        precondition = nystrom.preconditioner(sketch, self.damping)
        solution = cg.preconditioned(
            lambda vector: product(vector) + self.damping * vector,
            precondition,
            -gradient,
            state.start,
            jnp.maximum(LEAST, self.cg_tolerance * jnp.linalg.norm(gradient)),
            self.cg_max_iterations,
        )
        iteration, newton, *_ = solution.at
        lost = (solution.flat & (iteration == 0)) | ~jnp.isfinite(newton).all()
        reset = lost | ~(gradient.dot(newton) < 0)
        change = jnp.where(reset, -precondition(gradient), newton)

        def loss(size: float | Array) -> Array:
            return finite(
                objective.loss(advance(params, split_like(params, change), size), batch)
            )

        trial, accepted = armijo(
            loss, SIZES, SUFFICIENT, loss(1.0), losses.total, gradient.dot(change)
        )
        moved = advance(
            params,
            split_like(params, change),
            jnp.asarray(SIZES, change.dtype)[trial.power],
        )
        # a step that rounding swallows is no step
        stalls = ~(accepted & (flatten(moved) != flatten(params)).any())
        counted = (iteration, 2 + trial.power, stalls, reset)
        search = Search(*map(sum, zip(state.search, counted, strict=True)))
        start = jnp.where(reset | stalls, 0, change)
        return (
            select(~stalls, moved, params),
            State(state.step + 1, sketch, start, search),
            losses,
        )

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that making a sketch holds."""
        return memory_estimates.sketch(params, self.rank)

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what conjugate gradients and the line searches have counted."""
        return state.search._asdict()
