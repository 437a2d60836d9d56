"""The process's own memory, where no accelerator keeps count."""

import resource
import sys


def peak_resident_bytes() -> int:
    """The largest resident set of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts kibibytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
