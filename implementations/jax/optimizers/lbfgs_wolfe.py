"""L-BFGS with a strong-Wolfe line search, what most people mean by L-BFGS."""

from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from optbench.implementations.hyperparameters import Positive, optimizer
from optbench.implementations.jax.optimizers.lbfgs import LBFGS, Inner
from optbench.implementations.jax.solvers.strong_wolfe import Point, strong_wolfe


@optimizer
class LBFGSWolfe(LBFGS):
    """L-BFGS whose steps fulfil the strong Wolfe conditions."""

    name: ClassVar[str] = "lbfgs_wolfe"

    learning_rate: Positive = 1.0  # the first t tried

    def search(
        self,
        evaluate: Callable[[Array], Point],
        start: Point,
        size: Array,
        direction: Array,
        inner: Inner,
    ) -> tuple[Point, int | Array]:
        """Look for the strong Wolfe conditions, within the step's evaluations."""
        budget = self.max_evaluations - inner.evaluations
        return strong_wolfe(evaluate, start, size, jnp.abs(direction).max(), budget)
