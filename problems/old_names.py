"""Answers a user's file that imports our packages by their names before the move.

`problems` and `implementations` were top-level packages once, and are `optbench.problems`
and `optbench.implementations` now.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from multiprocessing import parent_process
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

PACKAGES = ("problems", "implementations")
# modules that got another name, too
RENAMED = {
    "checks": "shape_checks",
    "control": "control_flow",
    "history": "lbfgs_history",
    "memory": "process_memory",
    "named": "lookup",
    "pieces": "chunks",
    "schedule": "learning_rate",
}
OF_ITS_OWN = ("__name__", "__package__", "__loader__", "__spec__")  # what an alias keeps


@contextmanager
def answered(file: Path) -> Iterator[None]:
    """Answer the old names while a file is loaded, and say the new ones on stderr.

    A module of such a name that the user has on `sys.path` wins, as it does in Python;
    afterwards no alias is left in `sys.modules`.
    """
    finder = Aliases([name for name in PACKAGES if not _is_taken(name)])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for old in finder.answers:
            sys.modules.pop(old, None)
        # once, and not by every process that does a run
        if finder.answers and parent_process() is None:
            print(f"optbench: {file}: {finder.summary()}", file=sys.stderr)


class Aliases(MetaPathFinder, Loader):
    """Finder of the modules of some of our packages by their old names."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages
        self.answers: dict[str, str] = {}  # the new name of every old one that was imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module by its old name; None where it has no other name or never was."""
        if fullname.partition(".")[0] not in self.packages:
            return None
        new = _new_name(fullname)
        if new is None:
            return None
        self.answers[fullname] = new
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Fill an alias with all that the module of the new name has."""
        members = vars(import_module(self.answers[module.__name__]))
        vars(module).update({k: v for k, v in members.items() if k not in OF_ITS_OWN})

    def summary(self) -> str:
        """Say which old names were imported, without the packages above them."""
        leaves = [
            old
            for old in self.answers
            if not any(other.startswith(f"{old}.") for other in self.answers)
        ]
        return ", ".join(f"{old} is now {self.answers[old]}" for old in leaves)


def _is_taken(name: str) -> bool:
    """Say whether a top-level module of a name is the user's own."""
    if name in sys.modules:
        return True
    spec, ours = PathFinder.find_spec(name), find_spec(f"optbench.{name}")
    if spec is None or spec.origin is None:  # nothing, or a folder that is no package
        return False
    return (
        ours is None or ours.origin is None or not Path(spec.origin).samefile(ours.origin)
    )


def _new_name(old: str) -> str | None:
    """Look up a module's new name: some have moved into folders of their package."""
    new = ".".join(["optbench", *(RENAMED.get(part, part) for part in old.split("."))])
    package, _, name = new.rpartition(".")
    folders = [
        f"{package}.{module.name}"
        for module in iter_modules(import_module(package).__path__)
        if module.ispkg
    ]
    places = [new, *(f"{folder}.{name}" for folder in folders)]
    return next((place for place in places if find_spec(place)), None)
