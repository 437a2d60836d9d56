"""Two commits compared: what is worse is named, what is equal is not."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import selftest
from optbench.cli.app import app
from optbench.implementations import devices
from optbench.measure import commit_process as measured
from optbench.measure import grid, regressions
from optbench.measure.commit_process import Job, Measurements
from optbench.measure.verdicts import (
    TREES,
    Times,
    counted,
    parted,
    table,
    timed,
    unmeasured,
    unsteady,
)
from optbench.problems.names import InvalidName

WORDS = ["regressions", "HEAD", "HEAD", "--framework", "torch"]
JOB = Job("torch", ("kfac", "sgd"), "poisson_sine_2d", "tanh_8", {}, 0.0, counted=True)


@pytest.fixture(autouse=True)
def frameworks_work(monkeypatch):
    """No framework is asked in a process of its own whether it works."""
    works = devices.Answer("cpu", None)
    monkeypatch.setattr(devices, "ask_all", lambda names: dict.fromkeys(names, works))


def process(seed=0, calibration=1e-3, **factors):
    """Steps of a millisecond, times a factor by optimizer, with noise that only slows."""
    noise = 1 + np.abs(np.random.default_rng(seed).normal(0, 0.01, size=50))
    return Measurements(
        samples={
            name: list(1e-3 * factors.get(name, 1) * noise) for name in ("kfac", "sgd")
        },
        work={name: {"flops": 1000.0, "host_reads": 2.0} for name in ("kfac", "sgd")},
        error={"kfac": 1e-2, "sgd": 1e-1},
        calibration=[calibration],
    )


def trees(again=None, head=None, count=4):
    """The processes of all three trees."""
    fields = {"base": {}, "again": again or {}, "head": head or {}}
    return Times(
        "torch",
        {
            tree: [process(10 * number + i, **fields[tree]) for i in range(count)]
            for number, tree in enumerate(TREES)
        },
        {tree: process() for tree in ("base", "head")},
    )


def worse(verdicts):
    return [
        (verdict.kind, verdict.optimizer, verdict.what)
        for verdict in verdicts
        if verdict.worse
    ]


def test_equal_commits_are_equal():
    assert worse(counted("torch", process(), process())) == []
    assert worse(timed(trees())) == []


@pytest.mark.parametrize(
    ("flops", "named"), [(1009.0, False), (1011.0, True), (500.0, False)]
)
def test_more_work_than_a_hundredth_is_named(flops, named):
    head = process()
    head.work["kfac"]["flops"] = flops
    assert worse(counted("torch", process(), head)) == [("work", "kfac", "flops")] * named


def test_one_launch_more_is_named():
    base, head = process(), process()
    base.work["kfac"]["launches"], head.work["kfac"]["launches"] = 1000.0, 1001.0
    assert worse(counted("torch", base, head)) == [("work", "kfac", "launches")]
    assert worse(counted("torch", head, base)) == []


@pytest.mark.parametrize(
    ("error", "named"), [(1.0009e-2, False), (0.9e-2, True), (1.1e-2, True), (np.nan, True)]
)
def test_another_accuracy_is_named_better_or_worse(error, named):
    head = process()
    head.error["kfac"] = error
    assert (
        worse(counted("torch", process(), head))
        == [("accuracy", "kfac", "relative L2")] * named
    )


@pytest.mark.parametrize(
    ("base", "head", "named"),
    [(0, 9e-10, False), (0, 1.1e-9, True), (1e-3, 9e-3, False), (0, np.nan, True)],
)
def test_twins_that_part_are_named(base, head, named):
    torch, jax = trees(), trees()
    for tree, apart in (("base", base), ("head", head)):
        torch.counts[tree].path = {"kfac": [[1.0, 0.0], [1.0, 0.0]], "sgd": [[1.0, 0.0]]}
        jax.counts[tree].path = {"kfac": [[1.0, 0.0], [1.0, apart]]}
    assert len(list(parted([torch, jax]))) == 1
    assert (
        worse(parted([torch, jax]))
        == [("accuracy", "kfac", "difference of the twins")] * named
    )
    assert list(parted([torch])) == []


def test_what_the_head_has_lost_is_named():
    head = process()
    del head.work["kfac"], head.work["sgd"]["host_reads"]
    head.failed["kfac"] = "Diverged: planted"
    names = worse(counted("torch", process(), head))
    assert names == [("lost", "kfac", "Diverged: planted"), ("lost", "sgd", "host_reads")]


def test_what_the_base_did_not_have_is_no_regression():
    base = process()
    del base.work["kfac"]
    assert worse(counted("torch", base, process())) == []


@pytest.mark.parametrize(("factor", "named"), [(1.03, False), (1.2, True), (0.8, False)])
def test_slower_is_named_beyond_the_least_share(factor, named):
    assert (
        worse(timed(trees(head={"kfac": factor})))
        == [("time", "kfac", "seconds per step")] * named
    )


def test_slower_must_be_more_than_what_the_base_differs_from_itself_by():
    assert worse(timed(trees(again={"sgd": 1.3}, head={"kfac": 1.2}))) == []
    assert worse(timed(trees(again={"sgd": 1.3}, head={"kfac": 1.5}))) == [
        ("time", "kfac", "seconds per step")
    ]


def test_a_ratio_has_an_interval_around_it():
    (kfac, _) = timed(trees(head={"kfac": 1.2}))
    low, high = kfac.interval
    assert low <= kfac.ratio <= high
    assert (low, high) == pytest.approx((1.2, 1.2), rel=0.02)
    assert timed(trees(count=1))[0].interval == (pytest.approx(1, rel=0.02),) * 2


@pytest.mark.parametrize(
    ("milliseconds", "moved"), [(1.1, False), (1.2, True), (0.8, True)]
)
def test_times_are_not_judged_where_the_machine_changed_its_speed(milliseconds, moved):
    times = trees(head={"calibration": 1e-3 * milliseconds, "kfac": 2})
    assert (unsteady(times) is not None) == moved
    verdicts, unjudged = regressions.judge([times])
    assert len(unjudged) == moved
    assert ("time" in {verdict.kind for verdict in verdicts}) is not moved


def test_the_worse_come_first():
    head = process()
    head.work["sgd"]["flops"] = 2000.0
    rows = table(list(counted("torch", process(), head)))
    assert list(rows[""])[:2] == ["worse", ""]
    assert rows.loc[0, ["by", "optimizer", "base", "head", "head / base"]].tolist() == [
        "work",
        "sgd",
        "1000",
        "2000",
        "2.000",
    ]


def test_a_commit_that_is_not_there_is_said():
    with (
        pytest.raises(regressions.NotMeasured, match="nowhere"),
        regressions.trees("nowhere", "HEAD"),
    ):
        pass


def test_work_is_counted_first_and_trees_take_turns(monkeypatch):
    turns = []

    def answer(tree, job):
        turns.append((job.framework, tree.name, job.counted))
        assert (job.seconds == 0) == job.counted
        return process()

    monkeypatch.setattr(regressions, "measure", answer)
    jobs = [replace(JOB, framework=name, seconds=0.5) for name in ("torch", "jax")]
    every = regressions.run("HEAD", "HEAD", jobs, 2, Console(quiet=True))
    first = [("base", True), ("head", True)]
    later = [("base", False), ("base", False), ("head", False)]
    expected = [
        (framework, *one)
        for turn in (first, later, later)
        for framework in ("torch", "jax")
        for one in turn
    ]
    assert turns == expected
    assert [len(times.processes[tree]) for times in every for tree in TREES] == [2] * 6
    assert [set(times.counts) for times in every] == [{"base", "head"}] * 2


@pytest.mark.parametrize(
    ("status", "stderr", "reason"),
    [
        (1, "Traceback\nImportError: planted", "ImportError: planted"),
        (-9, "", "exit status -9"),  # killed: it says nothing
    ],
)
def test_a_process_that_fails_is_said(monkeypatch, status, stderr, reason):
    failed = subprocess.CompletedProcess([], status, stdout="", stderr=stderr)
    monkeypatch.setattr(regressions.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        regressions.NotMeasured, match=f"a process of torch failed: {reason}"
    ):
        regressions.measure(Path(), JOB)


def test_what_fails_at_the_base_is_not_passed_over(monkeypatch, tmp_path):
    """A base that fails is not "no worse"; an optimizer that only the head has is new."""
    for why, lost, said in (
        (
            "MemoryError: planted",
            True,
            ["torch: kfac was not measured at the base: MemoryError: planted"],
        ),
        (
            "TypeError: planted",
            False,
            ["torch: kfac was not measured at the base: TypeError: planted"],
        ),
        ("LookupError: there is no kfac in this commit", False, []),
    ):
        times = trees()
        for tree in ("base", "head") if lost else ("base",):
            del times.counts[tree].work["kfac"]
            times.counts[tree].failed["kfac"] = why
        assert list(unmeasured(times)) == said
        monkeypatch.setattr(regressions, "run", lambda *_, times=times: [times])
        words = [
            "regressions",
            "HEAD",
            "HEAD",
            "--framework",
            "torch",
            "--output",
            str(tmp_path),
        ]
        assert CliRunner().invoke(app, words).exit_code == (2 if said else 0)


def test_what_fails_in_a_timed_process_is_not_passed_over():
    times = trees()
    failed = times.processes["head"][1]
    del failed.samples["kfac"]
    failed.failed["kfac"] = "MemoryError: planted"
    assert list(unmeasured(times)) == ["torch: kfac was not timed: MemoryError: planted"]


def test_an_optimizer_that_fails_fails_alone(monkeypatch):
    def warm(job, optimizer):
        if optimizer == "kfac":
            raise ArithmeticError("planted\nmore")
        return lambda: None

    monkeypatch.setattr(measured, "_warm", warm)
    monkeypatch.setattr(measured, "_counted", lambda *_: ({"flops": 1.0}, 0.5, [[1.0]]))
    monkeypatch.setattr(measured, "_product", lambda _: lambda: None)
    measurements = measured.measure(JOB)
    assert measurements.failed == {"kfac": "ArithmeticError: planted"}
    assert (measurements.work, measurements.error) == (
        {"sgd": {"flops": 1.0}},
        {"sgd": 0.5},
    )
    assert list(measurements.samples) == ["sgd"]
    assert (
        len(measurements.samples["sgd"]) == len(measurements.calibration) == measured.ROUNDS
    )  # at least a call a round


@pytest.mark.parametrize(
    ("head", "code", "said"),
    [
        ({}, 0, "no worse"),
        ({"kfac": 2}, 1, "is worse than HEAD by 1 of"),
        ({"calibration": 2e-3}, 2, "could be judged"),
    ],
)
def test_the_command_says_what_it_found_by_its_exit_code(
    monkeypatch, tmp_path, head, code, said
):
    monkeypatch.setattr(regressions, "run", lambda *_: [trees(head=head)])
    words = [
        "regressions",
        "HEAD",
        "HEAD",
        "--framework",
        "torch",
        "--output",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == code
    assert said in done.output
    (samples,) = tmp_path.glob("*/samples.json")
    assert len(json.loads(samples.read_text())["torch"]["head"]) == 4
    assert len(list(tmp_path.glob("*/verdicts.csv"))) == 1


def test_what_is_compared_is_what_asv_measures(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        regressions, "run", lambda base, head, jobs, *_: asked.extend(jobs) or [trees()]
    )
    for words in ([], ["--optimizer", "ssbfgs"]):
        CliRunner().invoke(app, [*WORDS, "--output", str(tmp_path), *words])
    known, by_hand = asked
    assert list(known.optimizers) == grid.shipped().by_default
    assert by_hand.optimizers == ("ssbfgs",)
    assert known.settings == grid.shipped().optimizers


def test_a_wrong_optimizer_is_answered():
    done = CliRunner().invoke(
        app, ["regressions", "HEAD", "--optimizer", "kfacc", "--framework", "torch"]
    )
    assert done.exit_code == 2
    assert "kfac" in done.output


def begun(*_):
    raise AssertionError("something was measured")


@pytest.mark.parametrize(
    "words",
    [
        ("--problem", "nosuch"),
        ("--problem", "nosuch_2d"),
        ("--problem", "nosuch.py:it"),
        ("--network", "nosuch"),
        ("--network", "tanh_0"),
        ("--optimizer", "kfacc"),
        ("--framework", "tensorflow", "--framework", "torch"),
    ],
)
def test_a_wrong_name_is_a_line_before_anything_is_measured(monkeypatch, tmp_path, words):
    monkeypatch.setattr(regressions, "run", begun)
    output = tmp_path / "out"
    done = CliRunner().invoke(app, [*WORDS, *words, "--output", str(output)])
    # `main` makes the one a line and exit code 2, the other has these already
    assert isinstance(done.exception, InvalidName) or done.exit_code == 2
    (line,) = (done.output or str(done.exception)).splitlines()
    assert words[1].partition(":")[0] in line
    assert not output.exists()


@pytest.mark.parametrize("commit", ["nowhere", "--output=x", "HEAD:problems"])
def test_a_wrong_commit_is_a_line_before_anything_is_measured(
    monkeypatch, tmp_path, commit
):
    monkeypatch.setattr(regressions, "measure", begun)
    output = tmp_path / "out"
    words = ["regressions", "--framework", "torch", "--output", str(output)]
    done = CliRunner().invoke(app, [*words, "--", "HEAD", commit])
    assert done.exit_code == 2
    assert done.output.startswith(f"optbench: commit {commit}: ")
    assert done.output.count("\n") == 1
    assert not output.exists()


def test_a_framework_that_does_not_work_is_a_line(monkeypatch):
    broken = devices.Answer(None, "torch does not import: OSError: planted")
    monkeypatch.setattr(devices, "ask_all", lambda names: dict.fromkeys(names, broken))
    monkeypatch.setattr(regressions, "run", begun)
    done = CliRunner().invoke(app, WORDS)
    assert (done.exit_code, done.output) == (2, f"optbench: {broken.error}\n")


@pytest.mark.parametrize(
    ("folders", "line"),
    [
        ([], ""),
        (["problems"], "problems/ has uncommitted changes, which are not measured\n"),
        (
            ["implementations", "problems"],
            "implementations/ and problems/ have uncommitted changes, which are not "
            "measured\n",
        ),
    ],
)
def test_what_is_not_committed_is_said(monkeypatch, tmp_path, folders, line):
    monkeypatch.setattr(regressions, "run", lambda *_: [trees()])
    monkeypatch.setattr(regressions.git, "changed", lambda *_: folders)
    done = CliRunner().invoke(app, [*WORDS, "--output", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.startswith(f"{line}written: ")


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_measured(
    monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(regressions, "run", begun)
    done = CliRunner().invoke(app, [*WORDS, "--output", str(tmp_path / "file")])
    assert isinstance(done.exception, OSError)


@pytest.mark.parametrize(
    ("found_by", "named", "right"),
    [
        ("", [], True),
        ("", ["time: seconds per step, jax kfac (1.2)"], False),
        ("work", [], False),
        (
            "work",
            ["work: flops, torch kfac (1.09)", "time: seconds per step, torch kfac (1.1)"],
            True,
        ),
        ("work", ["time: seconds per step, torch kfac (1.1)"], False),
        (
            "work",
            ["work: flops, torch kfac (1.09)", "time: seconds per step, jax kfac (1.1)"],
            False,
        ),
    ],
)
def test_what_is_planted_is_found_by_its_kind_and_nothing_else_is_named(
    found_by, named, right
):
    assert selftest.Planted("", "", "", "", found_by, "torch kfac").is_found(named) is right


def test_the_selftest_plants_in_texts_that_are_there_once(tmp_path):
    for planted in (*selftest.JUDGED, *selftest.SOUGHT):
        copy = tmp_path / planted.file
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text((regressions.CLONE / planted.file).read_text())
        text = copy.read_text()
        assert text.count(planted.old) == 1, planted.name
        copy.write_text(text.replace(planted.old, planted.new))
