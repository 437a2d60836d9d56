"""Energy natural gradient descent by the kernel JJᵀ, known by Woodbury's name.

It is for networks with more parameters than points.

The same direction as `engd` without a moving average; the cost of its solve grows with the
points alone.
"""

from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from optbench.implementations import memory_estimates
from optbench.implementations.failures import FactorisationFailed
from optbench.implementations.hyperparameters import Positive, optimizer
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.implementations.torch.passes import kernel
from optbench.implementations.torch.passes.parameters import Params, select
from optbench.implementations.torch.solvers.line_search import Search, follow, never
from optbench.implementations.torch.solvers.linear_algebra import first_failure
from optbench.problems.problem import Batch


class State(NamedTuple):
    """What it remembers."""

    search: Search
    failure: Tensor  # 0 where the last direction was not finite, else -1


@optimizer
class ENGDWoodbury(Optimizer):
    """Natural gradient descent by the kernel."""

    name: ClassVar[str] = "engd_woodbury"
    version: ClassVar[int] = 1

    damping: Positive = 1e-8
    learning_rate: Positive | None = None  # None: the line search
    line_search: Literal["grid", "grid_exhaustive"] = "grid"

    def init(self, objective: Objective, params: Params) -> State:
        """Begin before the first search."""
        return State(never(), first_failure(params))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, directions, failure = kernel.solve(objective, params, batch, self.damping)
        moved, search = follow(
            self, objective, params, directions, batch, losses, state.search
        )
        return select(failure < 0, moved, params), State(search, failure), losses

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers of a step's matrices: those of a solve with the kernel."""
        return memory_estimates.kernel(objective, params, batch)

    def counters(self, state: State) -> dict[str, int | Tensor]:
        """Read what the line searches have counted."""
        return state.search.counters()

    def ends(self, state: State) -> bool | Tensor:
        """Say whether the last step had no finite direction."""
        return state.failure >= 0

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        if self.ends(state):
            raise FactorisationFailed({"kernel": None}, self.damping)
