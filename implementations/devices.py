"""Which framework works here, and what it computes on: asked of the framework itself.

That a framework is installed does not say that it imports, and that a GPU is there does not
say that it is used. A framework is asked in a process of its own: one that is broken may
take its process with it, and one that works would keep memory of the GPU.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

from optbench import implementations

PATIENCE = 120  # seconds that a framework may take to import
QUESTION = """
import json, sys
from optbench import implementations
try:
    answer = [implementations.load(sys.argv[1]).backend.device_name(), None]
except Exception as error:
    answer = [None, implementations.in_a_line(error)]
print("\\n" + json.dumps(answer))
"""


class Answer(NamedTuple):
    """What a framework said."""

    device: str | None  # as the framework names it, "cpu" without an accelerator
    error: str | None  # why it cannot be used, in one line


@cache
def ask(framework: str) -> Answer:
    """Ask a framework, or the one that a mode runs, what it computes on."""
    twin = implementations.MODES.get(framework, framework)
    if twin != framework:
        return ask(twin)
    if not implementations.is_installed(framework):
        return Answer(None, str(implementations.FrameworkMissing(framework)))
    command = [sys.executable, "-c", QUESTION, framework]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, f"{framework} is not imported after {PATIENCE} s")
    try:
        return Answer(*json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        code = done.returncode
        return Answer(
            None, f"{framework} does not work: its process ended with code {code}"
        )


def ask_all(frameworks: Iterable[str]) -> dict[str, Answer]:
    """Ask several frameworks at once."""
    names = list(dict.fromkeys(frameworks))
    with ThreadPoolExecutor() as pool:
        list(pool.map(ask, {implementations.MODES.get(name, name) for name in names}))
    return {name: ask(name) for name in names}
