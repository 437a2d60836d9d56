"""Cores of a process."""

import os


def pin(threads: int) -> None:
    """Leave this process so many cores, where the system can; before anything of a framework is imported."""
    if hasattr(
        os, "sched_setaffinity"
    ):  # JAX's thread pool has as many threads as the process may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
