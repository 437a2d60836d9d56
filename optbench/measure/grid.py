"""Which steps asv and `optbench regressions` measure: those of `benchmarks/asv.toml`."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Grid:
    """Optimizers with their hyperparameters, and what is measured of them by default.

    The full grid has every optimizer at every width. Raises ValueError where a table names
    an optimizer that is not among them.
    """

    optimizers: dict[str, dict[str, Any]]  # hyperparameters by name
    problems: list[str]
    widths: list[int]
    widths_of: dict[str, list[int]]  # of optimizers that have widths of their own
    full_alone: list[str]  # optimizers that are left out by default

    def __post_init__(self) -> None:
        for name in (*self.widths_of, *self.full_alone):
            if name not in self.optimizers:
                raise ValueError(f"{name} has no hyperparameters in [optimizers]")

    @property
    def by_default(self) -> list[str]:
        """Name the optimizers that are measured if nothing else is said."""
        return [name for name in self.optimizers if name not in self.full_alone]

    def measured_widths(self, optimizer: str) -> list[int]:
        """Give the widths at which an optimizer is measured by default."""
        return self.widths_of.get(optimizer, self.widths)


def read(file: Path) -> Grid:
    """Read the grid of a TOML file."""
    return Grid(**tomllib.loads(file.read_text(encoding="utf-8")))


def shipped() -> Grid:
    """Read the grid that comes with the repository.

    A process of asv's must not: there `optbench.benchmarks` is that of the commit.
    """
    return read(Path(str(files("optbench.benchmarks"))) / "asv.toml")
