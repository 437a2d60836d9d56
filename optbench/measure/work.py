"""What one step takes, counted and not timed: the same on every machine, whatever else it does.

Counted on few points, which pass in a single piece: JAX counts the body of a loop once.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optbench import implementations
from optbench.measure.timed import Timed, Work

POINTS = {"interior": 30, "boundary": 20}


def small(work: Work) -> Work:
    """The same step on few points."""
    return replace(work, **POINTS)


def flops(timed: Timed) -> float:
    """Floating-point operations of a step.

    In PyTorch those of the matrix products that are called, in JAX those of the compiled
    program, elementwise ones included and the body of a loop once. Neither counts
    factorisations.
    """
    return FLOPS[timed.work.framework](timed)


def _torch_flops(timed: Timed) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        timed()
    return float(counter.get_total_flops())


def _jax_flops(timed: Timed) -> float:
    step: Any = timed.step
    return float(
        step.lower(timed.params, timed.state, timed.batch)
        .compile()
        .cost_analysis()["flops"]
    )


def compilations(timed: Timed) -> int:
    """Programs compiled for the step so far: none where it runs eagerly, more than one where its state changes type."""
    return getattr(timed.step, "_cache_size", int)()


FLOPS: dict[str, Callable[[Timed], float]] = {"torch": _torch_flops, "jax": _jax_flops}
QUANTITIES: dict[str, Callable[[Timed], float]] = {
    "flops": flops,
    "host_reads": Timed.reads,
    "line_search_evaluations": Timed.evaluations,
    "compilations": compilations,
}


def counts(work: Work) -> dict[str, float]:
    """Every quantity of a step on few points; without those that an old commit's code does not count.

    Raises what `Timed` raises.
    """
    timed = Timed(small(work), implementations.load)
    search = getattr(timed.state, "search", None)
    searches = search is not None or getattr(timed.optimizer, "learning_rate", 0.0) is None
    counted = {
        "host_reads": hasattr(timed.framework.backend, "reads"),
        "line_search_evaluations": hasattr(search, "evaluations") or not searches,
    }
    return {
        name: count(timed) for name, count in QUANTITIES.items() if counted.get(name, True)
    }


def peak_memory(work: Work) -> int:
    """Bytes that a step adds to those held with the framework loaded, as `done` finds them.

    Raises NotImplementedError in an old commit whose backends do not tell.
    """
    if not hasattr(implementations.load(work.framework).backend, "reset_peak_memory"):
        raise NotImplementedError("this commit does not tell its peak memory")
    return done(work)[1]


def done(work: Work) -> tuple[Timed, int]:
    """A step that was done once, and the bytes that it adds to those held with the framework loaded.

    In a process of its own: what an earlier step freed would be counted as held.
    """
    backend = implementations.load(work.framework).backend
    backend.reset_peak_memory()
    before = backend.peak_memory() or 0
    timed = Timed(work, implementations.load)
    warmed = backend.peak_memory()
    backend.reset_peak_memory()
    timed()
    return timed, (
        backend.peak_memory() or warmed or 0
    ) - before  # JAX on a GPU tells only a peak above those before
