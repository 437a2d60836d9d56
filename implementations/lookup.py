"""Look up an optimizer by its name: one of ours, or one in a file of the user's own.

The latter's name is `<path>.py:<name>`.
"""

from dataclasses import is_dataclass
from types import ModuleType

from optbench.implementations import FRAMEWORKS, MODES, Framework
from optbench.implementations.hyperparameters import complete
from optbench.implementations.protocol import Optimizer
from optbench.problems import own
from optbench.problems.names import UnknownName
from optbench.problems.own import InvalidFile

NEEDED = ("version", "framework", "init")  # besides a name and a step


def optimizer(framework: Framework, name: str) -> type[Optimizer]:
    """Look up the class of an optimizer.

    Raises:
        UnknownName: the framework has no such optimizer.
        InvalidFile: the file does not give it, or gives it for another framework.
    """
    if not own.is_own(name):
        if name not in framework.OPTIMIZERS:
            raise UnknownName("optimizer", name, framework.OPTIMIZERS)
        return framework.OPTIMIZERS[name]
    cls = from_file(name)
    if cls.framework != MODES.get(framework.name, framework.name):
        raise InvalidFile(
            f"{own.bare(name)} is written in {cls.framework}: "
            f"there is none in {framework.name}"
        )
    return cls


def from_file(name: str) -> type[Optimizer]:
    """Look up a class in a user's file, whatever framework it is for.

    Raises:
        InvalidFile: the file does not give it, or it is no optimizer.
    """
    cls = own.get(name, "optimizer", _defined)
    if missing := [attribute for attribute in NEEDED if not hasattr(cls, attribute)]:
        raise InvalidFile(
            f"{own.bare(name)} is no optimizer: {cls.__name__} has no {', '.join(missing)}"
        )
    if cls.framework not in FRAMEWORKS:
        unknown = UnknownName("framework", str(cls.framework), FRAMEWORKS)
        raise InvalidFile(f"{own.bare(name)}: {unknown}")
    completed = complete(cls)  # a plain dataclass will do
    if not is_dataclass(completed):
        raise InvalidFile(
            f"{own.bare(name)} is no optimizer: {cls.__name__} is not under @optimizer"
        )
    return completed


def _defined(module: ModuleType) -> list[type]:
    """Collect the classes that a module defines itself with a name and a step.

    One that is not under `@optimizer` is among them: `from_file` says what it lacks.
    """
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own_classes = [cls for cls in classes if cls.__module__ == module.__name__]
    return [cls for cls in own_classes if hasattr(cls, "name") and hasattr(cls, "step")]
