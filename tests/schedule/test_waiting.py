"""What a campaign says while it cannot go on: who has its runs, and what is lacking."""

import errno
import io
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from fakes import Fake, request
from rich.console import Console

from optbench.records import provenance, store
from optbench.records.cores import Claim
from optbench.records.store import Store
from optbench.schedule import locks, runner
from optbench.schedule.local_workers import Workers
from optbench.schedule.locks import RunLocks
from optbench.training.limits import Limits


class Crew(Workers):
    def __init__(self):
        super().__init__(Limits(), lambda: Claim(()))

    def run(self, request, progress):
        return Fake().perform(request)


def said(folder, asked):
    console = Console(file=io.StringIO(), width=500)
    runner.run(asked, nullcontext(Crew()), folder, console)
    return console.file.getvalue().splitlines()


def test_waiting_says_for_whom_once_and_again_when_it_changes(tmp_path, monkeypatch):
    asked = [request(seed=seed) for seed in range(3)]
    others = Store(tmp_path)
    with RunLocks(others, asked[:2]) as held:
        in_hand = [held.take(), held.take()]
        looks = []

        def look(seconds):
            looks.append(seconds)
            if len(looks) in (3, 5):
                record = Fake().perform(in_hand.pop())
                others.write(record)
                held.release(record)

        monkeypatch.setattr(runner, "time", SimpleNamespace(sleep=look))
        waiting = [line for line in said(tmp_path, asked) if line.startswith("waiting")]
    assert len(looks) == 5
    mine = locks.file_locks.os.getpid()
    assert waiting == [
        f"waiting for {runs} in the hands of process {mine}" for runs in ("2 runs", "1 run")
    ]
    assert not list(tmp_path.rglob("*.owner"))


def test_a_file_system_without_locks_is_told_of_once_and_the_runs_are_done(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")

    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, "planted")

    monkeypatch.setattr(fcntl, "flock", refuse)
    asked = [request(seed=seed) for seed in range(2)]
    lines = said(tmp_path, asked)
    assert sum("has no locks (flock)" in line for line in lines) == 1
    assert len(list(store.records(tmp_path))) == 2


def test_a_clone_of_somebody_elses_is_told_of(tmp_path, monkeypatch):
    if provenance.unknown_commit() or not (provenance.CLONE / ".git").exists():
        pytest.skip("no clone")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    reason = provenance.unknown_commit.__wrapped__()
    assert reason.startswith(
        f"the commit of {provenance.CLONE} is unknown: detected dubious"
    )
    assert "\n" not in reason
    monkeypatch.setattr(runner.provenance, "unknown_commit", lambda: reason)
    assert said(tmp_path, [request()]).count(reason) == 1
