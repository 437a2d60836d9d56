"""L-BFGS with a strong Wolfe line search and without a scale.

Source: Nocedal 1980. It is torch.optim.LBFGS but for that one's absolute constants, which
end it for good where gᵀd > −1e-9.
"""

from typing import ClassVar

from jax import Array

from optbench.implementations.hyperparameters import Count, optimizer
from optbench.implementations.jax.solvers import lbfgs_history
from optbench.implementations.jax.solvers.lbfgs_history import History
from optbench.implementations.jax.solvers.quasi_newton import Pair, QuasiNewton


@optimizer
class LBFGSWolfe(QuasiNewton):
    """L-BFGS, a step of which is one iteration."""

    name: ClassVar[str] = "lbfgs_wolfe"
    version: ClassVar[int] = 3

    history_size: Count = 100

    def identity(self, vector: Array) -> History:
        """Begin without pairs: H = I."""
        return lbfgs_history.empty(self.history_size, vector)

    def direction(self, memory: History, gradient: Array) -> Array:
        """Compute −H g [D] by its compact form, H₀ = γI."""
        return lbfgs_history.quasi_newton(memory, gradient)

    def update(self, memory: History, pair: Pair) -> History:
        """Keep the pair in place of the oldest."""
        return lbfgs_history.remember(memory, pair.step, pair.change, 0.0)
