"""Where a command runs: nobody reads it, an encoding lacks characters, it is Windows."""

import os
import subprocess
import sys

import pytest
from commands import FRAMEWORKS
from own_files import OPTIMIZER

FRAMEWORK = FRAMEWORKS[-1]
CAMPAIGN = f"""
version = "1.0"
steps = 3
processes = "per-framework"
frameworks = ["{FRAMEWORK}"]
points = {{ interior = 9, boundary = 6 }}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_3"
[case.optimizers]
sgd = {{ learning_rate = 1e9 }}
"mine.py:mine" = {{}}
"""
# what its child prints reaches nobody, and Δ is not ASCII
PRINTS = """
    def init(self, objective, params):
        print("Δ" * 10_000, flush=True)
        return super().init(objective, params)
"""
WRITTEN = {"SHA256SUMS", "campaign.toml", "curves.png", "curves.svg", "runs", "sources"}
WRITTEN |= {"table.csv", "table.md", "table.txt"}
# stands for Windows in every process of a command: psutil imports `resource` on Linux
WINDOWS = """
import errno, os, psutil, signal, sys
for name in ("resource", "fcntl"):
    sys.modules[name] = None
for name in ("sched_getaffinity", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
del signal.SIGHUP
opened = os.open
def open_file(path, *rest, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return opened(path, *rest, **options)
os.open = open_file
"""


@pytest.fixture
def campaign(tmp_path):
    mine = OPTIMIZER.replace("FRAMEWORK", FRAMEWORK) + PRINTS
    (tmp_path / "mine.py").write_text(mine, encoding="utf-8")
    (tmp_path / "c.toml").write_text(CAMPAIGN)
    return tmp_path


def command(*words, **options):
    return [sys.executable, "-m", "optbench", *words], {
        "text": True,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        **options,
    }


def left(folder):
    (place,) = (folder / "results" / "local" / "c").iterdir()
    return {file.name for file in place.iterdir() if not file.name.startswith(".")}


@pytest.mark.medium
def test_a_campaign_that_nobody_reads_is_done_and_written(campaign):
    """Its encoding lacks the dash of what diverged, too."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words, options = command("run", "c.toml", cwd=campaign, env=environment)
    with subprocess.Popen(words, **options) as process:
        assert process.stdout.readline() == "c: 2 runs, 0 done, 2 left\n"
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, "")
    assert left(campaign) == WRITTEN
    words, options = command("table", ".", cwd=campaign)
    table = subprocess.run(words, **options, timeout=100).stdout
    assert "finished" in table
    assert "diverged" in table


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_on_windows_a_campaign_runs_and_is_listed_reported_and_verified(campaign):
    (campaign / "sitecustomize.py").write_text(WINDOWS)
    path = os.pathsep.join([str(campaign), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "cp1252"}
    for command_line in (
        "list optimizers",
        "run c.toml",
        "report results/local",
        "verify results/local",
    ):
        words, options = command(*command_line.split(), cwd=campaign, env=environment)
        ended = subprocess.run(words, **options, timeout=300, encoding="cp1252")
        assert ended.returncode == 0, (command_line, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
    assert left(campaign) == WRITTEN | {"figures", "tables", "report.html"}
