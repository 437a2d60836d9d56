"""The process's own memory, where no accelerator keeps count."""

import ctypes
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

GLIBC = platform.libc_ver()[0] == "glibc"
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def peak_resident_bytes() -> int:
    """The largest resident set of this process, in bytes, since `reset_peak` on Linux, else since its start."""
    unit = (
        1 if sys.platform == "darwin" else 1024
    )  # getrusage counts kibibytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes() -> int:
    """Bytes of the machine's memory that a process can still have without swapping."""
    return psutil.virtual_memory().available


def reset_peak() -> None:
    """Begin a new peak, where the kernel lets us: runs that share a process are then told apart."""
    if GLIBC:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier runs freed is not this one's
    with suppress(
        OSError
    ):  # macOS, some containers: there the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next allocation, where it is glibc; elsewhere nothing happens.

    By default it gives arrays of some hundred kilobytes back to the kernel at once: the
    page faults of getting them again took a third of a gradient step.
    """
    if GLIBC:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
