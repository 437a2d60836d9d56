"""HOW a problem is solved: the same optimizers on the same objective in two frameworks.

`load("torch")` and `load("jax")` give them.
"""

import traceback
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from optbench.extras import Missing
from optbench.implementations.protocol import Framework
from optbench.problems.names import UnknownName

FRAMEWORKS = ("torch", "jax")  # the twins
MODES = {"torch-compiled": "torch"}  # further ways to run one of them
NAMES = (*FRAMEWORKS, *MODES)


class FrameworkMissing(Missing):
    """A framework that is not installed; the message says how to get it."""

    def __init__(self, framework: str) -> None:
        super().__init__(MODES.get(framework, framework))


class FrameworkBroken(FrameworkMissing):
    """A framework that is installed and does not work; the message says why."""

    def __init__(self, framework: str, why: str) -> None:
        super().__init__(framework)
        self.msg = f"{framework} {why}"


def in_a_line(error: BaseException) -> str:
    """Put an exception into one line; one that says nothing is told by its place."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f"in {Path(frame.filename).name}:{frame.lineno}" for frame in last)
    return f"{type(error).__name__}: {' '.join(str(error).split()) or place}"


def installed() -> tuple[str, ...]:
    """List the frameworks that can be loaded here; imports none of them."""
    return tuple(framework for framework in FRAMEWORKS if is_installed(framework))


def is_installed(name: str) -> bool:
    """Say whether a framework, or the one that a mode runs, can be loaded here."""
    return find_spec(MODES.get(name, name)) is not None


def load_any() -> Framework:
    """Load a framework that works here: the twins have the same names and versions.

    JAX before PyTorch, for it is the quicker to import. Raises FrameworkMissing where none
    works.
    """
    *others, last = reversed(FRAMEWORKS)
    for name in others:
        with suppress(FrameworkMissing):
            return load(name)
    return load(last)


def load(name: str) -> Framework:
    """Load the implementation in "torch" or "jax".

    "torch-compiled" is PyTorch with its passes compiled by Inductor.

    Raises:
        UnknownName: there is no such framework.
        FrameworkMissing: it is not installed, does not import, or lacks a compiler.
    """
    if name not in NAMES:
        raise UnknownName("framework", name, NAMES)
    if not is_installed(name):
        raise FrameworkMissing(name)
    try:
        module = import_module(f"{__name__}.{MODES.get(name, name)}")
    except (Exception, SystemExit) as error:  # a broken one raises whatever it likes
        twin = MODES.get(name, name)
        raise FrameworkBroken(twin, f"does not import: {in_a_line(error)}") from error
    framework: Framework = module.FRAMEWORK
    if name not in MODES:
        return framework
    if lack := module.lacks_compiler():
        raise FrameworkBroken(name, lack)
    objective = partial(framework.Objective, compiled=True)
    return replace(framework, name=name, Objective=objective)
