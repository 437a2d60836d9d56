"""What an import brings, and from where: nothing heavy, no user's file of our name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import FRAMEWORKS, cli

ROOT = Path(__file__).parents[2]
OURS = ("optbench", "problems", "implementations", "benchmarks")
HEAVY = ("jax", "matplotlib", "pandas", "scipy", "seaborn", "torch")
LIGHT = {
    "the package": "import optbench",
    "checksums": "from optbench.records import checksums",
    "the help": "from optbench.cli.app import app; app(['--help'], standalone_mode=False)",
    "the list of campaigns": "from optbench.cli.app import app; "
    "app(['list', 'campaigns'], standalone_mode=False)",
}
CAMPAIGN = f"""
version = "1.0"
steps = 1
frameworks = ["{FRAMEWORKS[-1]}"]
points = {{ interior = 9, boundary = 6 }}
optimizers = {{ sgd = {{}} }}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
"""


def python(code, cwd, **environment):
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.splitlines()


@pytest.mark.parametrize("what", LIGHT)
def test_what_needs_no_framework_and_no_frames_imports_none(what, tmp_path):
    loaded = f"print('loaded', *(name for name in {HEAVY!r} if name in sys.modules))"
    *_, last = python(f"import sys; {LIGHT[what]}; {loaded}", tmp_path)
    assert last == "loaded"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """A folder whose own files have our names; each of them breaks what imports it."""
    folder = tmp_path_factory.mktemp("crowded")
    (folder / "implementations").mkdir()
    for name in (
        "problems.py",
        "implementations/__init__.py",
        "benchmarks.py",
        "harness.py",
    ):
        (folder / name).write_text('raise RuntimeError("the user\'s own")\n')
    (folder / "optbench.toml").write_text(CAMPAIGN)
    said = cli("run", "optbench.toml", cwd=folder)  # with a child process
    assert said.returncode == 0, said.stderr
    assert ": finished, " in said.stdout
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "list problems",
        "list optimizers",
        "list campaigns",
        "check poisson_sine_2d",
        "table results",
        "report results",
        "verify results --rerun 1",
    ],
)
def test_a_user_s_files_of_our_names_are_left_alone(command, crowded):
    said = cli(*command.split(), cwd=crowded)
    assert said.returncode == 0, said.stdout + said.stderr


def test_results_are_loaded_beside_a_user_s_files_of_our_names(crowded):
    assert python(
        "import optbench; print(len(optbench.load('results').runs))", crowded
    ) == ["1"]


def test_each_clone_uses_its_own_folders(tmp_path):
    """One is installed, or on the path of these tests; the other is a copy of it."""
    clone = tmp_path / "clone"
    for name in OURS:
        ignored = shutil.ignore_patterns("__pycache__", "site")
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    where = "import optbench.problems, optbench.implementations, optbench.benchmarks\n"
    where += f"for name in {OURS[1:]!r}: print(getattr(optbench, name).__file__)"
    for root in (ROOT, clone):
        files = [str(root / name / "__init__.py") for name in OURS[1:]]
        assert python(where, tmp_path, PYTHONPATH=str(root)) == files
