"""An optimizer by its name, in a framework: one of ours, or one in a file of the user's own, `<path>.py:<name>`."""

from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

from optbench.implementations import FRAMEWORKS, MODES, Framework
from optbench.problems import own
from optbench.problems.names import UnknownName
from optbench.problems.own import InvalidFile

NEEDED = (
    "version",
    "framework",
    "init",
    "check",
)  # besides the name and the step that make a class an optimizer


def optimizer(framework: Framework, name: str) -> Any:
    """The class.

    Raises:
        UnknownName: the framework has no such optimizer.
        InvalidFile: the file does not give it, or gives it for another framework.
    """
    if not own.is_own(name):
        if name not in framework.OPTIMIZERS:
            raise UnknownName("optimizer", name, framework.OPTIMIZERS)
        return framework.OPTIMIZERS[name]
    found = from_file(name)
    if found.framework != MODES.get(framework.name, framework.name):
        raise InvalidFile(
            f"{own.bare(name)} is written in {found.framework}: there is none in {framework.name}"
        )
    return found


def from_file(name: str) -> Any:
    """The class of a file, whatever framework it is for; raises InvalidFile."""
    found = own.get(name, "optimizer", _defined)
    if missing := [attribute for attribute in NEEDED if not hasattr(found, attribute)]:
        raise InvalidFile(
            f"{own.bare(name)} is no optimizer: {found.__name__} has no {', '.join(missing)}"
        )
    if found.framework not in FRAMEWORKS:
        raise InvalidFile(
            f"{own.bare(name)}: {UnknownName('framework', str(found.framework), FRAMEWORKS)}"
        )
    if not is_dataclass(found):
        raise InvalidFile(
            f"{own.bare(name)} is no optimizer: {found.__name__} is not under @optimizer"
        )
    return found


def _defined(module: ModuleType) -> list[Any]:
    """The classes with a name and a step that a module defines itself."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own_classes = [found for found in classes if found.__module__ == module.__name__]
    return [
        found for found in own_classes if hasattr(found, "name") and hasattr(found, "step")
    ]
