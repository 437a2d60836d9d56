"""HOW a problem is solved: `load("torch")` and `load("jax")` give the same optimizers on the same objective."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from problems.names import UnknownName

FRAMEWORKS = ("torch", "jax")


class FrameworkMissing(ImportError):
    """A framework that is not installed; the message says how to get it."""

    def __init__(self, framework: str) -> None:
        super().__init__(f"{framework} is not installed: pip install -e '.[{framework}]' in the clone brings it")


@dataclass(frozen=True)
class Framework:
    """What a framework's folder offers: its optimizers by name, its objective, its backend."""

    name: str
    OPTIMIZERS: dict[str, type]
    Objective: type
    backend: ModuleType


def installed() -> tuple[str, ...]:
    """The frameworks that can be loaded here; imports none of them."""
    return tuple(framework for framework in FRAMEWORKS if find_spec(framework) is not None)


def load(framework: str) -> Framework:
    """The implementation in `framework`, "torch" or "jax".

    Raises:
        UnknownName: there is no such framework.
        FrameworkMissing: it is not installed.
    """
    if framework not in FRAMEWORKS:
        raise UnknownName("framework", framework, FRAMEWORKS)
    if framework not in installed():
        raise FrameworkMissing(framework)
    package = import_module(f"implementations.{framework}")
    return Framework(framework, package.OPTIMIZERS, package.Objective, package.backend)
