"""The registry: every family of PDEs that a module of this package defines. NumPy only."""

import re
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from optbench.problems import equations, networks, own, seeds
from optbench.problems.family import Family
from optbench.problems.names import InvalidName, UnknownName
from optbench.problems.problem import Problem

__all__ = [
    "InvalidName",
    "UnknownName",
    "defined",
    "families",
    "get",
    "names",
    "networks",
    "seeds",
]

_NAME = re.compile(r"(?P<family>[a-z][a-z0-9_]*)_(?P<dim>0|[1-9][0-9]{0,9})d")


@cache
def families() -> dict[str, Family]:
    """Collect every family by name, the paper's first, in the paper's order."""
    modules = [
        import_module(f"{equations.__name__}.{module.name}")
        for module in iter_modules(equations.__path__)
    ]
    members = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, Family)
    }
    ordered = sorted(members, key=lambda family: (family.order, family.name))
    if len({family.name for family in ordered}) < len(ordered):
        raise ValueError(
            f"two families have one name: {', '.join(family.name for family in ordered)}"
        )
    return {family.name: family for family in ordered}


def names() -> list[str]:
    """List the problems: the paper's in its order, then the others.

    `get` knows many of the families in other dimensions too.
    """
    return [
        f"{family.name}_{dim}d"
        for family in families().values()
        for dim in family.published
    ]


def get(name: str) -> Problem:
    """Look up the problem `<family>_<dimension of space>d`, or `<path>.py:<name>`.

    The latter is a problem of a user's file. The same name gives the same object every
    time.

    In a dimension that is not published, points, resampling and networks are those of the
    family's published case. Raises UnknownName for a family that nothing here defines,
    InvalidName (a ValueError, as that is) for a malformed name, a dimension that the family
    does not have, or a file that does not give the problem (InvalidFile).
    """
    if own.is_own(name):
        return own.get(name, "problem", defined)
    match = _NAME.fullmatch(name)
    if not match:
        example = (get_close_matches(name, names(), n=1, cutoff=0) or names())[0]
        raise InvalidName(
            f"malformed problem name {name!r}: "
            f"write <family>_<dimension of space>d, such as {example}"
        )
    if match["family"] not in families():
        raise UnknownName(
            "problem", name, [f"{family}_{match['dim']}d" for family in families()]
        )
    return families()[match["family"]](int(match["dim"]))


def defined(module: ModuleType) -> list[Problem]:
    """List the problems that a module's variables hold."""
    return [value for value in vars(module).values() if isinstance(value, Problem)]
