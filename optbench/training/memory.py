"""Memory: what a step needs, and whether an error says that it is lacking."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a commit that asv times need not have these
    from optbench.implementations.protocol import Backend, Objective, Optimizer, Params
    from optbench.problems.problem import Batch

DOUBLE = 8  # bytes: curvature is in float64 whatever the parameters are
LACK_OF_MEMORY = (  # in JAX's, PyTorch's and CUDA's words
    *("RESOURCE_EXHAUSTED", "can't allocate memory", "not enough memory", "out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED"),
)


def foresee(
    optimizer: Optimizer,
    objective: Objective,
    params: Params,
    batch: Batch,
    backend: Backend,
    memory: float,
) -> None:
    """Raise MemoryError where a step cannot fit.

    A step holds the old state, the new one and its working matrices; `memory` is the limit
    in bytes, beside what the device has free.
    """
    numbers = optimizer.working(objective, params, batch)
    needed = 2 * backend.state_bytes(optimizer, objective, params) + numbers * DOUBLE
    free = min(backend.free_memory(), memory)
    if needed > free:
        raise MemoryError(
            f"{optimizer.name} needs {needed / 1e9:.3g} GB for a step, "
            f"and {free / 1e9:.3g} GB are free"
        )


def lacks_memory(error: BaseException) -> bool:
    """Say whether an error means a lack of memory, by its type or its words."""
    by_name = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return by_name or any(words in str(error) for words in LACK_OF_MEMORY)
