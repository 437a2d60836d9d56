"""What a step needs of memory, before anything of it is allocated."""

from optbench.implementations.protocol import Backend, Objective, Optimizer, Params
from optbench.problems.problem import Batch

DOUBLE = 8  # bytes: curvature is in float64 whatever the parameters are


def foresee(
    optimizer: Optimizer,
    objective: Objective,
    params: Params,
    batch: Batch,
    backend: Backend,
    memory: float,
) -> None:
    """Raise MemoryError where a step cannot fit: it holds the old state, the new one and its working matrices."""
    numbers = optimizer.working(params, batch)
    needed = 2 * backend.state_bytes(optimizer, objective, params) + numbers * DOUBLE
    free = min(backend.free_memory(), memory)
    if needed > free:
        raise MemoryError(
            f"{optimizer.name} needs {needed / 1e9:.3g} GB for a step, and {free / 1e9:.3g} GB are free"
        )
