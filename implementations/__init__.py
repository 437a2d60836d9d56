"""HOW a problem is solved: the same optimizers on the same objective in two frameworks.

`load("torch")` and `load("jax")` give them.
"""

from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec

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


def installed() -> tuple[str, ...]:
    """List the frameworks that can be loaded here; imports none of them."""
    return tuple(framework for framework in FRAMEWORKS if is_installed(framework))


def is_installed(name: str) -> bool:
    """Say whether a framework, or the one that a mode runs, can be loaded here."""
    return find_spec(MODES.get(name, name)) is not None


def load(name: str) -> Framework:
    """Load the implementation in "torch" or "jax".

    "torch-compiled" is PyTorch with its passes compiled by Inductor.

    Raises:
        UnknownName: there is no such framework.
        FrameworkMissing: it is not installed.
    """
    if name not in NAMES:
        raise UnknownName("framework", name, NAMES)
    if not is_installed(name):
        raise FrameworkMissing(name)
    framework: Framework = import_module(f"{__name__}.{MODES.get(name, name)}").FRAMEWORK
    if name not in MODES:
        return framework
    objective = partial(framework.Objective, compiled=True)
    return replace(framework, name=name, Objective=objective)
