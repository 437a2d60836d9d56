"""One package is installed; a clone uses its own folders, whatever else lies about."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("problems", "implementations", "benchmarks")
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]

# -S: an interpreter without site-packages, to which a folder is added as one
WHERE = f"""
import site, sys
from importlib.util import find_spec
for folder in sys.argv[1:]:
    site.addsitedir(folder)
import optbench
print(optbench.__file__)
for name in {FOLDERS}:
    print(find_spec(f"optbench.{{name}}").origin)
print(len(optbench.__path__))
"""


@pytest.mark.parametrize("name", FOLDERS)
def test_a_package_is_ours(name):
    assert Path(import_module(f"optbench.{name}").__file__).parent == ROOT / name


def test_campaigns_are_package_data():
    assert (files("optbench.benchmarks") / "quick.toml").is_file()


def test_every_folder_with_modules_is_installed():
    folders = {
        file.parent.relative_to(ROOT)
        for name in ("optbench", *FOLDERS)
        for file in (ROOT / name).rglob("__init__.py")
    }
    names = {".".join(folder.parts).removeprefix("optbench.") for folder in folders}
    listed = {name.removeprefix("optbench.") for name in SETUP["packages"]}
    assert names == listed
    assert set(SETUP["package-dir"].values()) == {"optbench", *FOLDERS}


def test_twins_have_the_same_files():
    """But for Inductor, a mode of PyTorch's."""
    torch, jax = (
        {
            path.relative_to(ROOT / "implementations" / name)
            for path in (ROOT / "implementations" / name).rglob("*.py")
        }
        for name in ("torch", "jax")
    )
    assert torch - {Path("inductor.py")} == jax


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """Two clones, and site-packages with the second as pip's editable install."""
    place = tmp_path_factory.mktemp("clones")
    for clone in (place / "one", place / "other"):
        for name in ("optbench", *FOLDERS):
            shutil.copytree(
                ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, clone)
    build = "from setuptools import build_meta; build_meta.build_editable('../wheels')"
    (place / "wheels").mkdir()
    command = [sys.executable, "-c", build]
    subprocess.run(command, cwd=place / "other", capture_output=True, check=True)
    (wheel,) = (place / "wheels").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place / "editable")
    return place


def where(cwd, *installed, path=""):
    """Say where a process in `cwd` finds the four packages, and how long `__path__` is."""
    said = subprocess.run(
        [sys.executable, "-S", "-c", WHERE, *map(str, installed)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    *found, length = said.stdout.splitlines()
    return [Path(file).parent for file in found], int(length)


def are_in(clone, found):
    return found == ([clone / "optbench", *(clone / name for name in FOLDERS)], 2)


@pytest.mark.medium
def test_a_clone_uses_its_own_folders_wherever_it_is_imported_from(clones, tmp_path):
    one, other, editable = (clones / name for name in ("one", "other", "editable"))
    assert are_in(one, where(one))
    assert are_in(one, where(tmp_path, path=one))
    assert are_in(other, where(tmp_path, editable))


@pytest.mark.medium
def test_beside_another_installed_clone_too(clones, tmp_path):
    one, editable = clones / "one", clones / "editable"
    assert are_in(one, where(one, editable))
    assert are_in(one, where(tmp_path, editable, path=one))


@pytest.mark.medium
def test_a_users_own_files_of_these_names_are_left_alone(clones, tmp_path):
    for name in ("problems.py", "benchmarks.py"):
        (tmp_path / name).write_text("raise AssertionError")
    (tmp_path / "implementations").mkdir()
    (tmp_path / "implementations" / "__init__.py").write_text("raise AssertionError")
    assert are_in(clones / "one", where(tmp_path, path=clones / "one"))
    assert are_in(clones / "other", where(tmp_path, clones / "editable"))


@pytest.mark.medium
def test_what_lies_beside_a_wheels_folder_is_not_ours(clones, tmp_path):
    """Other packages of these names, and the pyproject.toml that some leave there."""
    installed = tmp_path / "site-packages"
    shutil.copytree(clones / "one" / "optbench", installed / "optbench")
    for name in FOLDERS:
        shutil.copytree(clones / "one" / name, installed / "optbench" / name)
        (installed / name).mkdir()
        (installed / name / "__init__.py").touch()
    (installed / "pyproject.toml").touch()
    folder = installed / "optbench"
    expected = [folder, *(folder / name for name in FOLDERS)], 1
    assert where(tmp_path, installed) == expected
