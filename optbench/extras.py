"""What an installation without all extras lacks, and which extra brings it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

# the extras of pyproject.toml, and the modules that each brings and some command needs
EXTRAS = {
    "torch": ("torch",),
    "jax": ("jax",),
    "report": ("pandas", "seaborn", "matplotlib", "tabulate", "jinja2", "tomli_w"),
    "tune": ("optuna", "sqlalchemy", "tomli_w"),
    "cluster": ("distributed", "dask", "bokeh"),
    "baselines": ("optax", "pytorch_optimizer"),
    "dev": ("asv",),
}


def extra_of(package: str) -> str | None:
    """Name the first extra that brings a package; None for one that none brings."""
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


class Missing(ModuleNotFoundError):
    """A package that an extra brings is not installed; the message says which extra."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'pinn-optbench[{extra_of(package)}]'"
            " brings it",
            name=package,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # another process gets it as it is: made anew, its message would name its message
        state = {"name": self.name, "msg": self.msg}
        return type(self).__new__, (type(self), *self.args), state


def require(extra: str) -> None:
    """Raise `Missing` where a package of an extra is not found; imports none of them.

    A command asks for what it imports after its runs, before it begins them.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise Missing(package)


@contextmanager
def explained() -> Iterator[None]:
    """Raise `Missing` where a package of an extra is not found; other errors pass."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if extra_of(package) is None or isinstance(error, Missing):
            raise
        raise Missing(package) from error
