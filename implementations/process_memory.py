"""The process's own memory, where no accelerator keeps count."""

import ctypes
import platform
import sys
from contextlib import suppress
from pathlib import Path

import psutil

try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def peak_resident_bytes() -> int | None:
    """Measure the largest resident set of this process, in bytes.

    It counts since `reset_peak` on Linux, elsewhere since the process began; None where the
    system does not tell.
    """
    if resource is None:
        return getattr(psutil.Process().memory_info(), "peak_wset", None)
    # getrusage counts kibibytes on Linux, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes() -> int:
    """Measure the bytes that a process can still have without swapping."""
    return psutil.virtual_memory().available


def reset_peak() -> None:
    """Begin a new peak, where the system lets us.

    Runs that share a process are then told apart.
    """
    if GLIBC:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier runs freed is not this one's
    # macOS, some containers: there the peak is that of the whole process
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation; elsewhere do nothing.

    By default it gives arrays of some hundred kilobytes back to the system at once: the
    page faults of getting them again took a third of a gradient step.
    """
    if GLIBC:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
