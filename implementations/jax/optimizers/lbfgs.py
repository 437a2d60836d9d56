"""L-BFGS as torch.optim has it: inner iterations on one batch.

Its history lasts from step to step.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.hyperparameters import Count, NonNegative, Positive, optimizer
from optbench.implementations.jax.passes.parameters import Params, flatten, split_like
from optbench.implementations.jax.solvers import lbfgs_history
from optbench.implementations.jax.solvers.control_flow import when, while_loop
from optbench.implementations.jax.solvers.lbfgs_history import History
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

CURVED = 1e-10  # a pair is kept where yᵀs exceeds this (torch.optim)


class State(NamedTuple):
    """What L-BFGS remembers."""

    history: History
    direction: Array  # d of the last inner iteration [D]
    size: Array  # its t
    gradient: Array  # the gradient it began with [D]
    iterations: int | Array  # inner iterations in all


class Inner(NamedTuple):
    """The beginning of an inner iteration."""

    vector: Array  # θ [D]
    loss: Array
    gradient: Array  # [D]
    state: State
    iteration: int | Array  # inner iterations of this step
    evaluations: int | Array  # of the loss and its gradient in this step
    goes_on: Array


class Point(NamedTuple):
    """The loss at θ + t d."""

    size: Array  # t
    loss: Array
    gradient: Array  # [D]


@optimizer
class LBFGS(Optimizer):
    """L-BFGS without a line search, the paper's."""

    name: ClassVar[str] = "lbfgs"
    version: ClassVar[int] = 2

    learning_rate: Positive = 0.1
    history_size: Count = 100
    inner_iterations: Count = 20
    tolerance_gradient: NonNegative = 1e-7
    tolerance_change: NonNegative = 1e-9

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without pairs and without a direction."""
        vector = flatten(params)
        direction, gradient = (jnp.zeros_like(vector) for _ in range(2))
        pairs = lbfgs_history.empty(self.history_size, vector)
        return State(
            pairs, direction, jnp.zeros((), vector.dtype), gradient, jnp.zeros((), int)
        )

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do up to `inner_iterations` quasi-Newton steps; the losses are those before."""

        def evaluate(vector: Array) -> tuple[Losses, Array]:
            losses, gradient = objective.gradient(split_like(params, vector), batch)
            return losses, flatten(gradient)

        vector = flatten(params)
        losses, gradient = evaluate(vector)
        start = Inner(
            vector,
            losses.total,
            gradient,
            state,
            jnp.zeros((), int),
            jnp.ones((), int),
            ~self._solved(gradient),
        )
        end = while_loop(
            lambda inner: inner.goes_on, lambda inner: self._iterate(evaluate, inner), start
        )
        return split_like(params, end.vector), end.state, losses

    def _iterate(
        self, evaluate: Callable[[Array], tuple[Losses, Array]], inner: Inner
    ) -> Inner:
        last, gradient = inner.state, inner.gradient
        pairs = lbfgs_history.remember(
            last.history, last.size * last.direction, gradient - last.gradient, CURVED
        )
        direction = lbfgs_history.quasi_newton(pairs, gradient)
        slope = gradient.dot(direction)
        first = jnp.minimum(1 / jnp.abs(gradient).sum(), 1.0)
        size = self.learning_rate * jnp.where(last.iterations == 0, first, 1)

        def along(size: Array) -> Point:
            losses, gradient = evaluate(inner.vector + size * direction)
            return Point(size, losses.total, gradient)

        start = Point(jnp.zeros_like(size), inner.loss, gradient)
        descends = ~(slope > -self.tolerance_change)
        # nobody reads the loss at the end of a step's last iteration
        looks = descends & (inner.iteration + 1 < self.inner_iterations)
        point = when(looks, lambda: along(size), lambda: start._replace(size=size))
        state = State(pairs, direction, point.size, gradient, last.iterations + 1)
        vector = jnp.where(descends, inner.vector + point.size * direction, inner.vector)
        evaluations, iteration = inner.evaluations + 1, inner.iteration + 1
        # torch.optim allows 5/4 as many evaluations as inner iterations
        left = (iteration < self.inner_iterations) & (evaluations < self.max_evaluations)
        stands = (jnp.abs(point.size * direction).max() <= self.tolerance_change) | (
            jnp.abs(point.loss - inner.loss) < self.tolerance_change
        )
        goes_on = descends & left & ~self._solved(point.gradient) & ~stands
        return Inner(
            vector, point.loss, point.gradient, state, iteration, evaluations, goes_on
        )

    @property
    def max_evaluations(self) -> int:
        """Evaluations of the loss and its gradient in a step (torch.optim's default)."""
        return self.inner_iterations * 5 // 4

    def _solved(self, gradient: Array) -> Array:
        return jnp.abs(gradient).max() <= self.tolerance_gradient
