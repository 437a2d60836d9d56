"""L-BFGS with a strong-Wolfe line search, what most people mean by L-BFGS."""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from optbench.implementations.hyperparameters import Positive, optimizer
from optbench.implementations.torch.optimizers.lbfgs import LBFGS, Inner
from optbench.implementations.torch.solvers.strong_wolfe import Point, strong_wolfe


@optimizer
class LBFGSWolfe(LBFGS):
    """L-BFGS whose steps fulfil the strong Wolfe conditions."""

    name: ClassVar[str] = "lbfgs_wolfe"

    learning_rate: Positive = 1.0  # the first t tried

    def search(
        self,
        evaluate: Callable[[Tensor], Point],
        start: Point,
        size: Tensor,
        direction: Tensor,
        inner: Inner,
    ) -> tuple[Point, int | Tensor]:
        """Look for the strong Wolfe conditions, within the step's evaluations."""
        budget = self.max_evaluations - inner.evaluations
        return strong_wolfe(evaluate, start, size, direction.abs().max(), budget)
