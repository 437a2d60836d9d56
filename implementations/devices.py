"""Which framework works here, and what it computes on: asked of the framework itself.

That a framework is installed does not say that it imports, and that a GPU is there does not
say that it is used. A framework is asked in a process of its own: one that is broken may
take its process with it, and one that works would keep memory of the GPU.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from typing import NamedTuple

from optbench import implementations
from optbench.problems.names import UnknownName

PATIENCE = 120  # seconds that a framework may take to import
VARIABLES = ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES")  # that say what to compute on
QUESTION = """
import json, sys
from optbench import implementations
name = sys.argv[1]
try:
    answer = [implementations.load(name).backend.device_name(), None]
except implementations.FrameworkMissing as error:
    answer = [None, str(error)]
except BaseException as error:
    answer = [None, f"{name} does not work here: {implementations.in_a_line(error)}"]
print("\\n" + json.dumps(answer))
"""


class Answer(NamedTuple):
    """What a framework said."""

    device: str | None  # as the framework names it, "cpu" without an accelerator
    error: str | None  # why it cannot be used, in one line


_answers: dict[str, Answer] = {}


def ask(framework: str) -> Answer:
    """Ask a framework what it computes on."""
    return ask_all([framework])[framework]


def ask_all(frameworks: Iterable[str]) -> dict[str, Answer]:
    """Ask frameworks what they compute on: all at once, and each once."""
    names = list(dict.fromkeys(frameworks))
    with ExitStack() as stack:
        asked = {name: _asked(name, stack) for name in names if name not in _answers}
        for name, process in asked.items():
            _answers[name] = _answer(name, process)
    return {name: _answers[name] for name in names}


def _asked(framework: str, stack: ExitStack) -> subprocess.Popen[str] | None:
    """Begin to ask a framework; None where it is not there, UnknownName for no such one."""
    if framework not in implementations.NAMES:
        raise UnknownName("framework", framework, implementations.NAMES)
    if not implementations.is_installed(framework):
        return None
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-P", "-c", QUESTION, framework],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            # what this process can import, and nothing that merely lies where it works
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    )
    stack.callback(process.kill)
    return process


def _answer(framework: str, process: subprocess.Popen[str] | None) -> Answer:
    """Read a framework's answer."""
    if process is None:
        return Answer(None, str(implementations.FrameworkMissing(framework)))
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return Answer(None, f"{framework} is not imported after {PATIENCE} s")
    try:
        device, error = json.loads(said.strip().splitlines()[-1])
    except (IndexError, ValueError, TypeError):
        return Answer(
            None,
            f"{framework} does not work: its process ended with code {process.returncode}",
        )
    asked = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    return Answer(device, f"{error}; {', '.join(asked)}" if error and asked else error)
