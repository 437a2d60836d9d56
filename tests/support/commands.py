"""The command line as a child process, and what it left."""

import subprocess
import sys

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


def results(folder):
    """Every run's losses and errors by step, by its identity."""
    runs, history = optbench.load(folder)
    assert runs["identity"].is_unique
    assert set(runs["status"]) == {"finished"}
    return {identity: rows.drop(columns=["identity", "seconds"]).values.tolist()
            for identity, rows in history.groupby("identity")}  # fmt: skip
