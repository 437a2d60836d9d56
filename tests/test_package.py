"""The packages are ours, not those of the same names on PyPI, and pip installs them with their data."""

from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["problems", "implementations", "benchmarks"])
def test_a_package_is_ours(name):
    assert Path(import_module(f"optbench.{name}").__file__).parent == ROOT / name


def test_campaigns_are_package_data():
    assert (files("optbench.benchmarks") / "quick.toml").is_file()


def test_twins_have_the_same_files():
    torch, jax = (
        {
            path.relative_to(ROOT / "implementations" / name)
            for path in (ROOT / "implementations" / name).rglob("*.py")
        }
        for name in ("torch", "jax")
    )
    assert torch == jax
