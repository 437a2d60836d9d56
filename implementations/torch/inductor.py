"""What the mode "torch-compiled" needs beside PyTorch: a C++ compiler, on a CPU."""

import subprocess
import sys
from contextlib import suppress

import torch._inductor.config

from optbench.implementations.torch.backend import device


def lacks_compiler() -> str | None:
    """Say that Inductor has no C++ compiler that runs; None where it has, or needs none.

    Asked by Inductor itself, in mid-run, a broken compiler writes to the terminal.
    """
    if device.type != "cpu" or sys.platform == "win32":
        return None
    names = [name for name in torch._inductor.config.cpp.cxx if name]
    for name in names:
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([name, "--version"], capture_output=True, check=True)
            return None
    return f"needs a C++ compiler, and {' or '.join(names)} does not run; CXX names another"
