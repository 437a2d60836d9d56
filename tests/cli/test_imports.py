"""What commands import: nothing heavy without need, and no user's file of our name."""

import subprocess
import sys

import pytest
from commands import FRAMEWORKS, cli

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


def python(code, cwd):
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
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
@pytest.mark.slow
def test_a_user_s_files_of_our_names_are_left_alone(command, crowded):
    said = cli(*command.split(), cwd=crowded)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.medium
def test_results_are_loaded_beside_a_user_s_files_of_our_names(crowded):
    assert python(
        "import optbench; print(len(optbench.load('results').runs))", crowded
    ) == ["1"]
