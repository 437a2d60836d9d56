"""What a campaign survives: children that die or hang, kills at any instant, a full disk.

And two processes at once.
"""

import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import fakes
import numpy as np
import psutil
import pytest
from commands import FRAMEWORKS, cli, results
from fakes import request
from own_files import PDE
from waiting import within

import optbench
from optbench.records import store
from optbench.schedule import child_process
from optbench.schedule.local_workers import workers
from optbench.training.limits import Limits

FRAMEWORK = FRAMEWORKS[0]
CAMPAIGN = f"""
version = "1.0"
steps = 60
processes = "per-framework"
checkpoint = 0.02
frameworks = ["{FRAMEWORK}"]
points = {{ interior = 20, boundary = 8 }}
resample_every = 7
seeds = [0, 1, 2, 3]
[optimizers]
adam = {{}}
lbfgs = {{ inner_iterations = 3 }}
kfac = {{ damping = 1e-3 }}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_5"
"""


def start(folder):
    command = [sys.executable, "-m", "optbench", "run", "faults.toml"]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "faults.toml").write_text(CAMPAIGN)
    assert cli("run", "faults.toml", cwd=folder).returncode == 0
    return results(folder)


class Writings:
    """Counts what is written into a folder while somebody looks: files anew or again."""

    def __init__(self, folder):
        self.folder, self.seen = folder, set()
        self.before = self.count()

    def count(self):
        for file in self.folder.rglob("*"):
            with suppress(FileNotFoundError):
                self.seen.add((file, file.stat().st_mtime_ns))
        return len(self.seen)

    def wait_for(self, number, process):
        """Until so much is written, or the process has ended."""
        within(
            120,
            lambda: self.count() - self.before >= number or process.poll() is not None,
        )


@pytest.mark.parametrize("kills", [2, 50])
@pytest.mark.slow
def test_kills_lose_nothing_and_double_nothing(kills, uninterrupted, tmp_path):
    (tmp_path / "faults.toml").write_text(CAMPAIGN)
    # after so many writings: some at once, some in the first run, some in a later one
    instants = 10 ** np.random.default_rng(7).uniform(-0.5, 2.6, size=kills)
    for number, instant in enumerate(instants):
        writings = Writings(tmp_path)
        campaign = start(tmp_path)
        writings.wait_for(instant, campaign)
        alive = campaign.poll() is None
        children = psutil.Process(campaign.pid).children(recursive=True) if alive else []
        for victim in (campaign, *children)[:: 1 if number % 2 else -1]:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        campaign.communicate()
        for _, record in (
            store.records(tmp_path) if list(tmp_path.rglob("runs/*.json.gz")) else ()
        ):
            assert record.status == "finished"
    said = cli("run", "faults.toml", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert results(tmp_path) == uninterrupted
    assert len(uninterrupted) == 12
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.medium
def test_two_processes_on_one_folder_divide_the_work(uninterrupted, tmp_path):
    (tmp_path / "faults.toml").write_text(CAMPAIGN)
    both = [start(tmp_path), start(tmp_path)]
    said = [campaign.communicate(timeout=300)[0] for campaign in both]
    assert [campaign.returncode for campaign in both] == [0, 0], said
    done = [
        {line.split("] ")[1] for line in text.splitlines() if line.startswith("[")}
        for text in said
    ]
    assert sum(map(len, done)) == 12
    assert results(tmp_path) == uninterrupted


def noted(notes):
    """A problem that notes every draw of its points, which shows that a run goes on."""
    points = "partial(box, lower=LOWER, upper=UPPER)"
    assert points in PDE
    return PDE.replace(points, "noted").replace(
        "helmholtz =",
        f"""def noted(generator, n):
    with open({str(notes)!r}, "a") as notes:
        notes.write(".")
    return box(generator, n, lower=LOWER, upper=UPPER)

helmholtz =""",
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.medium),
    ],
)
def test_a_run_in_hand_saves_itself(number, code, tmp_path):
    """Only the signal can have saved it: the second run and its interval are endless."""
    text = CAMPAIGN.replace("steps = 60", "steps = 100000000").replace(
        "checkpoint = 0.02", "checkpoint = 1e6"
    )
    text = text.replace("adam = {}", "adam = { steps = 2 }").replace(
        '"poisson_sine_2d"', '"noted.py:helmholtz_2d"'
    )
    (tmp_path / "faults.toml").write_text(
        text.replace("resample_every = 7", "resample_every = 1")
    )
    notes = tmp_path / "notes"
    (tmp_path / "noted.py").write_text(noted(notes))
    campaign = start(tmp_path)
    for line in campaign.stdout:
        if line.startswith("[1/12]"):
            break
    draws = notes.stat().st_size
    within(60, lambda: notes.stat().st_size > draws + 10)
    campaign.send_signal(number)
    # a second one, as from somebody impatient, leaves nothing half done
    children = psutil.Process(campaign.pid).children(recursive=True)
    time.sleep(0.5)  # of two that arrive together, the smaller number counts
    campaign.send_signal(signal.SIGINT)
    assert "interrupted" in campaign.communicate(timeout=60)[0]
    assert campaign.returncode == code
    assert not psutil.wait_procs(children, timeout=30)[1]
    (saved,) = tmp_path.rglob(".checkpoints/*.npz")
    with np.load(saved) as content:
        assert json.loads(content["told"].tobytes())["steps"] > 0


def ask(**fields):
    mode = {"torch": "eager", "jax": "jit"}[FRAMEWORK]
    points = {"interior": 9, "boundary": 6}
    return request(
        framework=FRAMEWORK, mode=mode, hyperparameters={}, points=points, **fields
    )


class Fault:
    """Does harm in the child, where it arrives by pickle in place of a report."""

    def __init__(self, harm):
        self.harm = harm

    def __reduce__(self):
        return (exec, (self.harm,))


HARMS = {
    "segmentation fault": (
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "failed",
        "killed by SIGSEGV",
    ),
    "killed": (
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "failed",
        "killed by SIGKILL",
    ),
    "exit": ("import os; os._exit(3)", "failed", "exit codes [3]"),
    "endless": (
        "while True: pass",
        "timed-out",
        "past the limit of 15 wall-clock seconds in a single step",
    ),
    "greedy": (
        "kept = [bytearray(10**8) for _ in range(40)]\nwhile True: pass",
        "out-of-memory",
        "limit of 2",
    ),
}


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(harm, marks=[] if harm == "exit" else pytest.mark.slow)
        for harm in HARMS
    ],
)
def test_a_child_that_comes_to_harm_costs_its_run_alone(harm, monkeypatch):
    code, status, words = HARMS[harm]
    monkeypatch.setattr(child_process, "GRACE", 1.0)
    limits = Limits(
        seconds=15.0 if harm == "endless" else np.inf,
        memory=2e9 if harm == "greedy" else np.inf,
    )
    with workers(limits) as crew:
        broken = ask().model_copy(update={"labels": Fault(code)})  # no part of the identity
        record = crew.run(broken, lambda share, row: None)
        assert record.status == status, record.error
        assert words in record.error
        assert crew.run(ask(steps=2), lambda share, row: None).status == "finished"


@pytest.mark.parametrize(
    ("optimizer", "fields"), [("engd", {"decay": 0.5}), ("engd_per_layer", {})]
)
@pytest.mark.medium
def test_a_gramian_that_cannot_fit_is_foreseen(optimizer, fields):
    with workers(Limits(memory=1e9)) as crew:
        asked = ask(optimizer=optimizer, network="tanh_200_200")
        asked = asked.model_copy(update={"hyperparameters": fields})
        record = crew.run(asked, lambda share, row: None)
    assert record.status == "out-of-memory"
    assert f"{optimizer} needs" in record.error
    assert record.steps == 0
    assert record.clock["compile"] == 0


SMALL_FILES = """
import resource, signal, sys
from optbench.cli.app import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_full_disk_loses_no_finished_record_and_says_what_is_wrong(tmp_path):
    (tmp_path / "faults.toml").write_text(
        CAMPAIGN.replace("checkpoint = 0.02", "checkpoint = 1e6")
    )
    assert cli("run", "faults.toml", cwd=tmp_path).returncode == 0
    kept = {path: path.read_bytes() for path in tmp_path.rglob("runs/*.json.gz")}
    (tmp_path / "faults.toml").write_text(CAMPAIGN.replace("seeds = [0", "seeds = [9, 0"))

    command = [sys.executable, "-c", SMALL_FILES, "run", "faults.toml"]
    said = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 2
    *before, last = said.stderr.strip().splitlines()
    assert "File too large" in last
    assert len(before) <= 1  # the run that went on without a checkpoint says so
    assert all("no checkpoint" in line for line in before)
    assert {path: path.read_bytes() for path in tmp_path.rglob("runs/*.json.gz")} == kept
    assert not list(tmp_path.rglob("*.partial"))
    assert cli("run", "faults.toml", cwd=tmp_path).returncode == 0
    assert len(optbench.load(tmp_path).runs) == 15


@pytest.mark.slow
def test_runs_that_failed_are_done_again_when_asked(tmp_path):
    one_seed = CAMPAIGN.replace("seeds = [0, 1, 2, 3]", "")
    (tmp_path / "faults.toml").write_text(
        one_seed.replace("[optimizers]", "limit = 1e-6\n[optimizers]")
    )
    assert cli("run", "faults.toml", cwd=tmp_path).returncode == 0
    assert set(optbench.load(tmp_path).runs["status"]) == {"timed-out"}
    (tmp_path / "faults.toml").write_text(one_seed)
    said = cli("run", "faults.toml", cwd=tmp_path)
    assert "3 done (3 timed-out), 0 left" in said.stdout
    said = cli("run", "faults.toml", "--rerun", "failed", cwd=tmp_path)
    assert "0 done, 3 left" in said.stdout
    assert set(optbench.load(tmp_path).runs["status"]) == {"finished"}


@pytest.mark.medium
def test_an_orphan_ends_by_itself(tmp_path):
    (tmp_path / "faults.toml").write_text(CAMPAIGN.replace("steps = 60", "steps = 1000000"))
    campaign = start(tmp_path)
    within(60, lambda: list(tmp_path.rglob("*.npz")))
    children = psutil.Process(campaign.pid).children(recursive=True)
    campaign.kill()
    campaign.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive


IDLE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from fakes import request
from optbench.records.cores import Claim, usable
from optbench.schedule.local_workers import Workers
from optbench.training.limits import Limits
if __name__ == "__main__":
    crew = Workers(Limits(processes="per-framework"), lambda: Claim(tuple(usable())))
    crew.run(request(framework="none such"), lambda share, row: None)
    print(crew._children["none such"]._children[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.medium
def test_an_idle_child_ends_with_a_parent_that_is_killed(tmp_path):
    (tmp_path / "idle.py").write_text(IDLE)
    command = [sys.executable, tmp_path / "idle.py", Path(fakes.__file__).parent]
    parent = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120)
    assert parent.returncode == -signal.SIGKILL
    within(30, lambda: not psutil.pid_exists(int(parent.stdout)))


@pytest.mark.medium
def test_an_idle_child_that_is_killed_costs_no_run():
    with workers(Limits(processes="per-framework")) as crew:
        asked = request(framework="none such")  # fails without a framework's import
        assert crew.run(asked, lambda share, row: None).status == "failed"
        (first,) = crew._children["none such"]._children
        first.kill()
        first.join()
        record = crew.run(asked, lambda share, row: None)
    assert "none such" in record.error  # what the run itself said, in a new child
