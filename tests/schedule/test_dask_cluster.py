"""Campaigns on a Dask cluster, with real schedulers and workers.

What it loses, what it leaves out, what it says.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import pytest
from commands import cli, results
from fakes import request
from waiting import within

from optbench import implementations
from optbench.campaign import campaign, expansion
from optbench.campaign.errors import CampaignError
from optbench.records import store
from optbench.records.cores import usable
from optbench.schedule.local_workers import lost
from optbench.training.limits import Limits

pytest.importorskip("distributed")
from dask.utils import key_split
from distributed import Client

from optbench.schedule import dask_cluster

pytestmark = pytest.mark.medium
FRAMEWORK = implementations.installed()[-1]  # JAX is the quicker to import
HEAD = f"""
version = "1.0"
steps = 20
checkpoint = 0.1
frameworks = ["{FRAMEWORK}"]
points = {{ interior = 20, boundary = 8 }}
resample_every = 7
"""
LONG = """
[[case]]
problem = "poisson_sine_2d"
network = "tanh_5"
optimizers = { adam = { steps = 2000 } }
"""
SHORT = """
[[case]]
problem = "heat_sine_1d"
network = "tanh_5"
seeds = [0, 1]
optimizers = { sgd = {}, adam = {} }
"""
CAMPAIGN = HEAD + LONG + SHORT
RUNS = 5
needs_two_cores = pytest.mark.skipif(len(usable()) < 2, reason="two workers need two cores")


@contextmanager
def dask(role, *arguments, cwd, core=0):
    """A scheduler or a worker as a process on loopback; it imports what this one can."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{role}", *map(str, arguments)]
    paths = {"PYTHONPATH": os.pathsep.join([str(cwd), *filter(None, sys.path)])}
    with (cwd / f"{role}{core}.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=log, stderr=log, env=os.environ | paths
        )
    if role == "worker" and hasattr(os, "sched_setaffinity"):
        cores = usable()
        os.sched_setaffinity(process.pid, cores[core % len(cores) :][:1])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def dask_scheduler(folder):
    """A scheduler's process and its address."""
    file = folder / "scheduler.json"

    def address():
        with suppress(FileNotFoundError, ValueError):  # not there, or not yet whole
            return json.loads(file.read_text())["address"]

    where = ("--host", "127.0.0.1", "--port", 0, "--scheduler-file", file)
    with dask("scheduler", *where, "--no-dashboard", cwd=folder) as process:
        yield process, within(60, address)


@contextmanager
def two_workers(folder, *options):
    """The address of a scheduler with two workers, and their processes."""
    with dask_scheduler(folder) as (_, address), ExitStack() as stack:
        processes = []
        for core in range(2):
            worker = (address, "--nthreads", 1, "--resources", "runs=1", "--no-dashboard")
            scratch = ("--local-directory", folder / f"scratch{core}")
            command = dask("worker", *worker, *options, *scratch, cwd=folder, core=core)
            processes.append(stack.enter_context(command))
        yield address, processes


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    (folder / "tiny.toml").write_text('processes = "per-framework"\n' + CAMPAIGN)
    said = cli("run", "tiny.toml", cwd=folder)
    assert said.returncode == 0, said.stderr
    return results(folder)


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_costs_nothing(serial, tmp_path):
    (tmp_path / "tiny.toml").write_text(CAMPAIGN)
    long, *_ = expansion.requests(
        campaign.read(tmp_path / "tiny.toml"), "tiny", "tiny.toml"
    )
    with (
        two_workers(tmp_path, "--no-nanny") as (address, processes),
        Client(address, set_as_default=False) as client,
    ):
        within(60, lambda: dask_cluster.room(client) == 2)
        command = [
            sys.executable,
            "-m",
            "optbench",
            "run",
            "tiny.toml",
            "--scheduler",
            address,
        ]
        run = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        of_long = store.checkpoint(tmp_path, long.identity).name
        saved = within(60, lambda: next(tmp_path.glob(f"scratch*/**/{of_long}"), None))
        processes[f"{tmp_path}/scratch1/" in str(saved)].kill()
        assert not list(tmp_path.rglob("runs/poisson*.json.gz"))
        said, complaints = run.communicate(timeout=300)
        assert run.returncode == 0, complaints
        assert dask_cluster.room(client) == 1
    assert f"[{RUNS}/{RUNS}]" in said
    assert results(tmp_path / "results" / "local" / "tiny" / "cluster") == serial
    assert len(serial) == RUNS
    assert len(list(tmp_path.rglob("runs/*.json.gz"))) == RUNS
    assert list(tmp_path.rglob("*.npz")) == [
        saved
    ]  # the dead worker's; of those who live nothing stays


def by_seed(asked):
    """What a worker does instead of a run: dies of seed 0, tries seed 1, loses others."""
    if asked.seed == 0:
        os._exit(1)
    if asked.seed == 1:
        return dask_cluster.perform(asked, Limits())
    return lost(asked, "diverged", f"on {sorted(usable())}")


def records(client, run, seeds):
    """Every record by its seed."""
    crew, records = dask_cluster.Cluster(client, run), []
    left = [request(framework=FRAMEWORK, seed=seed) for seed in seeds]
    while left or crew.in_hand:
        if left and crew.has_room():
            crew.begin(left.pop(0), display=None)
        else:
            records += crew.ended()
    assert sorted(record.request.seed for record in records) == sorted(seeds)
    return {record.request.seed: record for record in records}


ABSENT = f"""
import sys
from importlib.machinery import PathFinder
class Absent(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name == "{FRAMEWORK}" else super().find_spec(name, *rest)
sys.meta_path[sys.meta_path.index(PathFinder)] = Absent
"""


def test_a_run_that_kills_its_workers_and_one_without_its_framework_fail_alone(
    tmp_path,
):
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    with (
        two_workers(tmp_path) as (address, _),
        Client(address, set_as_default=False) as client,
    ):
        found = records(client, by_seed, range(6))
    assert {seed: record.status for seed, record in found.items()} == dict.fromkeys(
        (0, 1), "failed"
    ) | dict.fromkeys(range(2, 6), "diverged")
    assert found[0].error == "its worker died, and so did the next ones, 3 in all"
    assert f"{FRAMEWORK} is not installed" in found[1].error


def cores_of_a_worker(folder, asked):
    """Where a worker is; the other must take the other run before this one ends."""
    (folder / f"{asked.seed}").touch()
    within(60, lambda: len(list(folder.iterdir())) == 2)
    return by_seed(asked)


@needs_two_cores
def test_local_workers_have_cores_of_their_own_and_keep_them(tmp_path):
    said, both = [], tmp_path / "both"
    both.mkdir()
    with dask_cluster.local(2, Limits(checkpoints=tmp_path), said.append) as crew:
        found = records(crew.client, partial(cores_of_a_worker, both), (2, 3))
    assert len({record.error for record in found.values()}) == 2
    assert {record.error for record in found.values()} <= {
        f"on [{core}]" for core in usable()
    }
    assert said[-1].startswith(
        "cluster: room for 2 runs at a time, dashboard http://127.0.0.1:"
    )


def test_a_campaign_on_a_local_cluster(tmp_path):
    (tmp_path / "tiny.toml").write_text(
        HEAD + SHORT.replace("[0, 1]", "[1]").replace(", adam = {}", "")
    )
    said = cli("run", "tiny.toml", "--workers", 1, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert len(results(store.folder(tmp_path / "results" / "local", "tiny"))) == 1


def test_where_nobody_answers_is_one_line(monkeypatch):
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.5)
    for address in ("tcp://127.0.0.1:1", "nowhere", "foo://x"):
        with (
            pytest.raises(CampaignError) as caught,
            dask_cluster.connect(address, Limits(), print),
        ):
            pass
        assert f'--scheduler = "{address}": ' in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"", "no scheduler answers there within 0.5 s"),
        (b"HTTP/1.1 400 Bad\r\n\r\n" * 50, "--scheduler"),
    ],
)
def test_what_is_no_scheduler_is_one_line(words, reason, monkeypatch):
    monkeypatch.setattr(dask_cluster, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as callers:

        def answer():
            with suppress(OSError):
                while True:
                    caller = callers.enter_context(server.accept()[0])
                    caller.sendall(words)

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(CampaignError, match=reason) as caught,
            dask_cluster.connect(address, Limits(), print),
        ):
            pass
    assert "\n" not in str(caught.value)


def test_a_scheduler_that_is_lost_ends_the_runs_in_hand_and_begins_none(tmp_path):
    with (
        dask_scheduler(tmp_path) as (scheduler, address),
        dask_cluster.connect(address, Limits(), lambda text: None) as crew,
    ):
        assert not crew.has_room()  # without a worker
        crew.begin(request(framework=FRAMEWORK), display=None)
        assert crew.ended() == []
        scheduler.kill()
        with pytest.raises(CampaignError, match="the scheduler is lost"):
            within(60, crew.ended)
        with pytest.raises(CampaignError, match="the scheduler is lost"):
            crew.has_room()


def test_the_dashboard_groups_runs_by_problem_and_optimizer():
    assert (
        key_split(dask_cluster.key(request(optimizer="kfac_star")))
        == "poisson_sine_2d, kfac_star, torch"
    )
