"""Fields of optimizers' earlier versions, which later ones do not have.

A folder of results keeps its campaign's file and its records, both in the words of their
time. With these they are read, verified and shown; nothing runs with them.
"""

from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from optbench.implementations.hyperparameters import (
    CONFIGURATION,
    Count,
    NonNegative,
    Positive,
)


@dataclass(frozen=True, kw_only=True, config=CONFIGURATION)
class LBFGSWolfe1:
    """L-BFGS with torch.optim's strong Wolfe search and its absolute constants."""

    version: ClassVar[int] = 1

    learning_rate: Positive = 1.0  # the first t tried
    history_size: Count = 100
    inner_iterations: Count = 20
    tolerance_gradient: NonNegative = 1e-7
    tolerance_change: NonNegative = 1e-9


FORMER: dict[tuple[str, int | None], Any] = {("lbfgs_wolfe", 1): LBFGSWolfe1}
