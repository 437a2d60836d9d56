"""The cores of a process, and the threads that native libraries take."""

import os

# of native thread pools; read once, when NumPy or a framework is imported
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def usable() -> list[int]:
    """Give the cores that this process may use, by their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(threads: int) -> None:
    """Leave this process so many cores, where the system can.

    To be called before anything of a framework is imported: JAX's thread pool has as many
    threads as the process may use cores.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, usable()[-threads:])


def thread_environment(threads: int) -> dict[str, str]:
    """Give the variables of a process whose native pools have so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))
