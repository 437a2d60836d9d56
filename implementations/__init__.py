"""HOW a problem is solved: the same optimizers on the same objective in two frameworks.

`load("torch")` and `load("jax")` give them.
"""

from contextlib import suppress
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


class FrameworkBroken(FrameworkMissing):
    """A framework that is installed and does not import; the message says why."""

    def __init__(self, framework: str, error: Exception) -> None:
        super().__init__(framework)
        name = MODES.get(framework, framework)
        self.msg = f"{name} does not import: {in_a_line(error)}"  # what is shown


def in_a_line(error: Exception) -> str:
    """Put an exception into one line; one of ours says what it is by itself."""
    text = " ".join(str(error).split())
    return text if isinstance(error, Missing) else f"{type(error).__name__}: {text}"


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
        FrameworkMissing: it is not installed, or it does not import.
    """
    if name not in NAMES:
        raise UnknownName("framework", name, NAMES)
    if not is_installed(name):
        raise FrameworkMissing(name)
    try:
        module = import_module(f"{__name__}.{MODES.get(name, name)}")
    except Exception as error:  # a broken installation raises whatever it likes
        raise FrameworkBroken(name, error) from error
    framework: Framework = module.FRAMEWORK
    if name not in MODES:
        return framework
    objective = partial(framework.Objective, compiled=True)
    return replace(framework, name=name, Objective=objective)
