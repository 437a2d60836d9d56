"""The command line as a child process, and what it left."""

import os
import subprocess
import sys
from pathlib import Path

import optbench
from optbench import implementations

FRAMEWORKS = implementations.installed()
# the command line in a process that does not find the packages named first, with commas
WITHOUT = """
import sys
from importlib.machinery import PathFinder
missing = sys.argv.pop(1).split(",")
class Absent(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name in missing else super().find_spec(name, *rest)
sys.meta_path[sys.meta_path.index(PathFinder)] = Absent
from optbench.cli.app import main
main(sys.argv[1:])
"""


def cli(*arguments, cwd, **options):
    command = [sys.executable, "-m", "optbench", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, **options
    )


ROOT = Path(__file__).parents[2]
# as asv starts a process: its runner first, then this clone's benchmarks; what is installed
# is on PYTHONPATH alone
ASV = """
import asv_runner, sys
from asv_runner._aux import update_sys_path
ours = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
sys.meta_path[:] = ours
update_sys_path(sys.argv[1])
"""


def asv_process(code, *arguments, installed=ROOT, **environment):
    """What code prints in a process of asv's."""
    words = ["-P", "-c", ASV + code, ROOT / "benchmarks", *arguments]
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def results(folder):
    """Every run's losses and errors by step, by its identity."""
    runs, history = optbench.load(folder)
    assert runs["identity"].is_unique
    assert set(runs["status"]) == {"finished"}
    return {identity: rows.drop(columns=["identity", "seconds"]).values.tolist()
            for identity, rows in history.groupby("identity")}  # fmt: skip
