"""The process's own memory, where no accelerator keeps count."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil


def peak_resident_bytes() -> int:
    """The largest resident set of this process, in bytes, since `reset_peak` on Linux, else since its start."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts kibibytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def available_bytes() -> int:
    """Bytes of the machine's memory that a process can still have without swapping."""
    return psutil.virtual_memory().available


def reset_peak() -> None:
    """Begin a new peak, where the kernel lets us: runs that share a process are then told apart."""
    with suppress(OSError):  # macOS, some containers: there the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
