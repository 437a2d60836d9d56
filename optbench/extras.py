"""What an installation without all extras lacks, and which extra brings it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

# the modules that no installation must have, and the extra of pyproject.toml that has each
EXTRAS = {
    "asv": "dev",
    "bokeh": "cluster",
    "dask": "cluster",
    "distributed": "cluster",
    "jax": "jax",
    "jinja2": "report",
    "matplotlib": "report",
    "optuna": "tune",
    "pandas": "report",
    "scipy": "report",
    "seaborn": "report",
    "sqlalchemy": "tune",
    "tabulate": "report",
    "tomli_w": "report",  # and of tune
    "torch": "torch",
}


class Missing(ModuleNotFoundError):
    """A package that an extra brings is not installed; the message says which extra."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed: pip install 'pinn-optbench[{EXTRAS[package]}]'"
            " brings it",
            name=package,
        )


def require(extra: str) -> None:
    """Raise `Missing` where a package of an extra is not found; imports none of them.

    A command asks for what it imports after its runs, before it begins them.
    """
    for package, its_extra in EXTRAS.items():
        if its_extra == extra and find_spec(package) is None:
            raise Missing(package)


@contextmanager
def explained() -> Iterator[None]:
    """Raise `Missing` where a package of an extra is not found; other errors pass."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS or isinstance(error, Missing):
            raise
        raise Missing(package) from error
