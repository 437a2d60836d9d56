"""The command line as a user meets it: what it prints, what it leaves, how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import FRAMEWORKS, WITHOUT, cli
from waiting import within

import optbench
from optbench.cli.app import main

TINY = f"""
version = "1.0"
description = "for a test"
steps = 3
processes = "per-framework"
frameworks = {json.dumps(FRAMEWORKS)}
points = {{ interior = 9, boundary = 6 }}
[optimizers]
sgd = {{}}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
[[case]]
problem = "heat_sine_1d"
network = "tanh_4"
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A campaign that has run: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "tiny.toml").write_text(TINY)
    return folder, cli("run", "tiny.toml", cwd=folder)


def test_a_campaign_prints_its_table_and_says_what_it_wrote(done):
    folder, said = done
    assert said.returncode == 0, said.stderr
    runs = 2 * len(FRAMEWORKS)
    assert f"tiny: {runs} runs, 0 done, {runs} left" in said.stdout
    assert f"[{runs}/{runs}] heat_sine_1d, tanh_4 (D = 17), sgd" in said.stdout
    assert re.search(r"^sgd +torch|^sgd +jax", said.stdout, re.MULTILINE)
    written = [
        Path(line.removeprefix("written: "))
        for line in said.stdout.splitlines()
        if "written: " in line
    ]
    assert {
        "runs",
        "table.txt",
        "table.csv",
        "table.md",
        "curves.png",
        "SHA256SUMS",
    } <= {path.name for path in written}
    assert all((folder / path).exists() for path in written)
    assert all(path.is_relative_to("results/local/tiny") for path in written)


def test_runs_are_finished_and_come_from_both_frameworks(done):
    runs, history = optbench.load(done[0])
    assert set(runs["status"]) == {"finished"}
    assert set(runs["framework"]) == set(FRAMEWORKS)
    for _, errors in runs.groupby("problem")["relative_l2"]:
        assert errors.max() == pytest.approx(errors.min(), rel=1e-12)
    assert set(history["step"]) == {0, 1, 2, 3}


def test_what_a_campaign_leaves_is_verified(done):
    said = cli("verify", done[0], cwd=done[0])
    assert said.returncode == 0, said.stdout


@pytest.mark.medium
def test_nothing_is_run_twice(done):
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("runs/*.json.gz")}
    said = cli("run", "tiny.toml", cwd=folder)
    assert said.returncode == 0
    assert f"{len(before)} done, 0 left" in said.stdout
    assert {
        path: path.stat().st_mtime_ns for path in folder.rglob("runs/*.json.gz")
    } == before


@pytest.mark.slow
def test_a_changed_request_is_run(done, tmp_path):
    (tmp_path / "tiny.toml").write_text(
        TINY.replace("sgd = {}", "sgd = { momentum = 0.5 }")
    )
    said = cli("run", "tiny.toml", "--results", done[0] / "results" / "local", cwd=tmp_path)
    assert ", 0 done, " in said.stdout


@pytest.mark.medium
def test_a_table_and_a_figure_are_made_again_from_records(done, tmp_path):
    folder, _ = done
    text = cli("table", folder, cwd=tmp_path).stdout
    assert (
        "poisson_sine_2d, tanh_4 (D = 17), "
        "9 interior and 6 boundary points (one fixed batch), 3 steps" in text
    )
    csv = cli("table", folder, "--format", "csv", cwd=tmp_path).stdout
    assert (
        len(csv.splitlines()) == 1 + len(list(folder.rglob("runs/*.json.gz")))
        or len(FRAMEWORKS) < 2
    )
    said = cli("plot", folder, "--out", tmp_path / "figures", cwd=tmp_path)
    assert said.stdout.count("written: ") == 2
    assert (tmp_path / "figures" / "curves.png").exists()


@pytest.mark.medium
def test_one_run_without_a_file(tmp_path):
    asked = (
        "--problem",
        "poisson_sine_3d",
        "--optimizer",
        "adam",
        "--framework",
        FRAMEWORKS[0],
        "--network",
        "sin_4_4",
    )
    said = cli(
        "run",
        *asked,
        "--steps",
        2,
        "--interior",
        8,
        "--boundary",
        6,
        "--set",
        "beta1=0.5",
        cwd=tmp_path,
    )
    assert said.returncode == 0, said.stderr
    assert "poisson_sine_3d, sin_4_4 (D = 41), adam" in said.stdout
    assert "beta1=0.5" in optbench.load(tmp_path).runs["hyperparameters"][0]


ONE = (
    "run",
    "--optimizer",
    "sgd",
    "--framework",
    FRAMEWORKS[0],
    "--steps",
    "1",
    "--problem",
)
MISTAKES = [
    (("run", "quik"), "unknown campaign 'quik': did you mean quick?"),
    (
        ("run",),
        "give either a campaign, or --problem, --optimizer and --framework for one run",
    ),
    (("run", "--problem", "poisson_sine_2d"), "give either a campaign, or"),
    (
        (*ONE, "poisson_sine_2d", "--points", "initial=9"),
        "command line: case[0].points.initial = 9: poisson_sine_2d has no such term: "
        "it has interior, boundary",
    ),
    ((*ONE, "poisson_sine_2d", "--march", "9"), "must be 0: the first input of"),
    ((*ONE, "poisson_sine_2d", "--sampling", "sobol"), "has no region"),
    ((*ONE, "poisson_sine_2d", "--weight", "boundary=0"), "must be > 0"),
    (("run", "quick", "--problem", "poisson_sine_2d"), "--problem: not with a campaign"),
    (
        ("run", "quick", "--seconds", "1", "--set", "x=1"),
        "--seconds, --set: not with a campaign",
    ),
    (
        (*ONE, "poisson_harmonic_3d", "--interior", "10"),
        "poisson_harmonic: the dimension must be even",
    ),
    ((*ONE, "poisson_sine", "--boundary", "10"), "malformed problem name 'poisson_sine'"),
    (
        ("parity", "--problem", "poisson_harmonic_3d"),
        "poisson_harmonic: the dimension must be even",
    ),
    (("parity", "--network", "tanh8"), "malformed network name 'tanh8'"),
    (("run", "bad.toml"), "bad.toml: case[0].optimizers.kfac.damping = -1.0: must be ≥ 0"),
    (("list", "problem"), "unknown list 'problem': did you mean problems"),
    (("table", "nowhere"), "no records in nowhere"),
    (("table", "nowhere", "--format", "tex"), "unknown format 'tex'"),
    (
        ("parity", "--problem", "poisson_sin_2d"),
        "unknown problem 'poisson_sin_2d': did you mean poisson_sine_2d",
    ),
    (("parity", "--optimizer", "kfax"), "unknown optimizer 'kfax': did you mean kfac"),
]


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """From a command to its exit code and what it prints: in this process, in a folder."""
    monkeypatch.chdir(tmp_path)

    def ask(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return (ended.value.code, *capsys.readouterr())

    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield ask
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, answer, tmp_path):
    bad = TINY.replace("sgd = {}", "").replace(
        'network = "tanh_4"\n[[case]]',
        'network = "tanh_4"\noptimizers = { kfac = { damping = -1.0 } }\n[[case]]',
    )
    (tmp_path / "bad.toml").write_text(bad)
    code, _, error = answer(*arguments)
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_a_mistake_ends_the_process_with_2_and_one_line(tmp_path):
    arguments, message = MISTAKES[0]
    said = cli(*arguments, cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"optbench: {message}\n"


def test_lists(answer):
    _, problems, _ = answer("list", "problems")
    assert "poisson_norm_100d: 100 inputs" in problems
    assert "tanh_768_768_512_512 (D = 1,325,057)" in problems
    assert (
        "kdv_1d: 2 inputs, order 3, 5000 interior, 400 initial, 300 boundary and 150 "
        "slope points (Sobol sequence, in 100 steps to the last time, then redrawn every "
        "20 steps)"
    ) in problems
    assert (
        "convection_1d: 2 inputs, periodic in x (6.28319), order 1, 2500 interior and 300 "
        "initial (weight 100) points (Sobol sequence, one fixed batch); "
        "box_10_sin_20_20 (D = 521)"
    ) in problems
    for kind, line in {
        "optimizers": "kfac_star: damping=1e-08",
        "networks": "tanh_64: D = 257",
        "campaigns": "quick 1.0: ",
    }.items():
        assert line in answer("list", kind)[1]


def test_help_is_complete(answer):
    _, said, _ = answer("--help")
    for command in ("run", "list", "table", "plot", "parity"):
        assert command in said
        assert answer(command, "--help")[0] == 0


@pytest.mark.medium
def test_the_console_script_is_the_same_command_line(tmp_path):
    script = Path(sys.executable).with_name("optbench")
    said = subprocess.run(
        [script, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (
        said.stdout.splitlines()[2:] == cli("--help", cwd=tmp_path).stdout.splitlines()[2:]
    )


@pytest.mark.medium
@pytest.mark.skipif(len(FRAMEWORKS) < 2, reason="needs both frameworks")
def test_parity_prints_its_certificate(tmp_path):
    said = cli(
        "parity",
        "--problem",
        "poisson_sine_2d",
        "--optimizer",
        "sgd",
        "--steps",
        2,
        cwd=tmp_path,
    )
    assert said.returncode == 0
    assert re.search(
        r"poisson_sine_2d +tanh_8_8 \(D = 105\) +sgd +defaults +2 +\S+ +\S+ +yes",
        said.stdout,
    )


@pytest.mark.medium
@pytest.mark.skipif(len(FRAMEWORKS) < 2, reason="needs both frameworks")
@pytest.mark.parametrize("missing", FRAMEWORKS)
@pytest.mark.slow
def test_with_one_framework_absent_the_rest_works(missing, tmp_path):
    """The parent does not find it; the children, which are not asked for it, never look."""
    (tmp_path / "tiny.toml").write_text(TINY)
    command = [sys.executable, "-c", WITHOUT, missing]
    said = subprocess.run(
        [*command, "run", "tiny.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    assert (
        f"{missing} is not installed: pip install 'pinn-optbench[{missing}]'" in said.stdout
    )
    assert "its 2 runs are left out" in said.stdout
    assert set(optbench.load(tmp_path).runs["framework"]) == set(FRAMEWORKS) - {missing}
    asked = (
        "run",
        "--problem",
        "poisson_sine_2d",
        "--optimizer",
        "sgd",
        "--framework",
        missing,
        "--steps",
        "2",
    )
    said = subprocess.run(
        [*command, *asked], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 2
    assert f"{missing} is not installed" in said.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.medium),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_an_interruption_keeps_what_is_finished_and_says_how_to_go_on(
    number, code, tmp_path
):
    text = (
        TINY.replace('processes = "per-framework"', "checkpoint = 0.02")
        .replace("steps = 3", "steps = 1000000")
        .replace(
            "[[case]]",
            '[[case]]\nsteps = 2\nnetwork = "tanh_4"\n'
            'problem = "poisson_cosine_2d"\n[[case]]',
            1,
        )
    )
    (tmp_path / "long.toml").write_text(
        text.replace(json.dumps(FRAMEWORKS), json.dumps(FRAMEWORKS[:1]))
    )
    command = [sys.executable, "-m", "optbench", "run", "long.toml"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as run:
        for line in run.stdout:
            if line.startswith("[1/"):
                break
        within(60, lambda: list(tmp_path.rglob("*.npz")))  # the next one is in mid-run
        run.send_signal(number)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == code
    assert (
        errors.strip() == "optbench: interrupted: what is finished is kept, "
        "and the same command does the rest"
    )
    assert len(optbench.load(tmp_path).runs) == 1
