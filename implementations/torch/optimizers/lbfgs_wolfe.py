"""L-BFGS with a strong Wolfe line search and without a scale.

Source: Nocedal 1980. It is torch.optim.LBFGS but for that one's absolute constants, which
end it for good where gᵀd > −1e-9.
"""

from typing import ClassVar

from torch import Tensor

from optbench.implementations.hyperparameters import Count, optimizer
from optbench.implementations.torch.solvers import lbfgs_history
from optbench.implementations.torch.solvers.lbfgs_history import History
from optbench.implementations.torch.solvers.quasi_newton import Pair, QuasiNewton


@optimizer
class LBFGSWolfe(QuasiNewton):
    """L-BFGS, a step of which is one iteration."""

    name: ClassVar[str] = "lbfgs_wolfe"
    version: ClassVar[int] = 3

    history_size: Count = 100

    def identity(self, vector: Tensor) -> History:
        """Begin without pairs: H = I."""
        return lbfgs_history.empty(self.history_size, vector)

    def direction(self, memory: History, gradient: Tensor) -> Tensor:
        """Compute −H g [D] by its compact form, H₀ = γI."""
        return lbfgs_history.quasi_newton(memory, gradient)

    def update(self, memory: History, pair: Pair) -> History:
        """Keep the pair in place of the oldest."""
        memory = lbfgs_history.owned(memory)
        return lbfgs_history.remember(memory, pair.step, pair.change, 0.0)
