"""A run of asv: what is missing or torn is seen, and its page opens without a network."""

import json
import re
from pathlib import Path

import pytest
from commands import cli
from typer.testing import CliRunner

from optbench.cli.app import app
from optbench.implementations.devices import Answer
from optbench.measure import asv_run, git
from optbench.records.store import InvalidRecord

MACHINE = "a-machine"
PARAMS = [["'torch'", "'jax'"], ["1", "2"]]


def wrote(folder, results, name="abcdef12-env.json", environment="env"):
    benchmarks = {
        "step.Step.time_step": {
            "name": "step.Step.time_step",
            "params": PARAMS,
            "version": "1",
        }
    }
    (folder / MACHINE).mkdir(exist_ok=True)
    (folder / "benchmarks.json").write_text(json.dumps({**benchmarks, "version": 2}))
    (folder / MACHINE / "machine.json").write_text(
        json.dumps({"machine": MACHINE, "version": 1})
    )
    text = {
        "commit_hash": "abcdef1234",
        "date": 0,
        "env_name": environment,
        "result_columns": ["result", "params", "version", "samples"],
        "results": results,
    }
    (folder / MACHINE / name).write_text(json.dumps({**text, "version": 2}))
    return folder


def calibrated(*samples):
    return {asv_run.CALIBRATION: [[0.01], [["'torch'"]], "1", [list(samples)]]}


WHOLE = {
    "step.Step.time_step": [[1.0, 2.0, 3.0, float("nan")], PARAMS, "1"],
    **calibrated(1.0, 1.1, 1.05, 1.0),
}


def test_a_whole_run_has_no_issues(tmp_path):
    outcome = asv_run.check(wrote(tmp_path, WHOLE), MACHINE, "abcdef1234")
    assert (outcome.ran, len(outcome.skipped), outcome.missing, outcome.issues) == (
        3,
        1,
        [],
        [],
    )
    assert asv_run.render(outcome).splitlines() == [
        "calibration, 'torch': 1000.00 ms, then 1000.00 ms",
        "skipped: step.Step.time_step ('jax', 2)",
        "3 measured, 1 skipped, 0 failed or not run",
    ]


@pytest.mark.parametrize(
    ("results", "missing"),
    [
        ({"step.Step.time_step": [[1.0, None, 3.0, 4.0], PARAMS, "1"]}, 1),  # one raised
        ({"step.Step.time_step": [None, PARAMS, "1"]}, 4),  # all raised
        ({}, 4),  # interrupted
        (
            {"step.Step.time_step": [[1.0, 2.0], [["'torch'"], ["1", "2"]], "1"]},
            2,
        ),  # of a smaller grid
        (
            {"step.Step.time_step": [[1.0, 2.0, 3.0, 4.0], PARAMS, "0"]},
            4,
        ),  # of another version
    ],
)
def test_fewer_than_were_asked_is_seen(tmp_path, results, missing):
    outcome = asv_run.check(
        wrote(tmp_path, {**results, **calibrated(1.0, 1.0)}), MACHINE, "abcdef1234"
    )
    assert len(outcome.missing) == missing
    assert not outcome.issues


def test_what_was_not_asked_is_not_missing(tmp_path):
    results = {
        "step.Step.time_step": [[1.0, float("nan"), None, None], PARAMS, "1"],
        **calibrated(1.0, 1.0),
    }
    outcome = asv_run.check(
        wrote(tmp_path, results), MACHINE, "abcdef1234", [r"time_step\('torch'"]
    )
    assert (outcome.ran, len(outcome.skipped), outcome.missing) == (1, 1, [])
    outcome = asv_run.check(tmp_path, MACHINE, "abcdef1234", ["tiem_step"])
    assert outcome.issues == ["no benchmark matches tiem_step"]


def test_another_commits_results_do_not_count(tmp_path):
    outcome = asv_run.check(wrote(tmp_path, WHOLE), MACHINE, "1234")
    assert (outcome.ran, len(outcome.missing)) == (0, 4)


def of_steps(*values):
    return {"step.Step.time_step": [list(values), PARAMS, "1"], **calibrated(1.0, 1.0)}


NAN, ONE, OTHER = float("nan"), "virtualenv-py3.11-jax0.10.2", "existing-py3.11"


@pytest.mark.parametrize(
    ("one", "other", "ran", "missing"),
    [
        ((1, 1, 1, 1), (1, NAN, NAN, NAN), 4, 0),  # of the other a part was asked for
        ((1, NAN, NAN, NAN), (1, 1, 1, 1), 4, 0),
        ((None, None, 1, 1), (1, 1, 1, 1), 2, 2),  # the other one's values mend nothing
        ((1, 1, 1, 1), (1, 1, None, 1), 3, 1),
    ],
)
def test_one_environment_is_judged_and_named(tmp_path, one, other, ran, missing):
    for name, values in ((ONE, one), (OTHER, other)):
        wrote(tmp_path, of_steps(*values), f"abcdef12-{name}.json", name)
    outcome = asv_run.check(tmp_path, MACHINE, "abcdef1234")
    assert (outcome.ran, len(outcome.missing), outcome.issues) == (ran, missing, [])
    judged, others = sorted(outcome.notes)
    shorts = {
        "judged: environment virtualenv, py3.11, jax0.10.2",
        "judged: environment existing, py3.11",
    }
    assert judged in shorts
    assert others.startswith("not judged: environment ")
    assert others.endswith("; --environment takes it")
    for name, values in ((ONE, one), (OTHER, other)):
        alone = asv_run.check(tmp_path, MACHINE, "abcdef1234", environment=name)
        assert (alone.ran, len(alone.missing)) == (values.count(1), values.count(None))
        assert alone.notes == []


def test_results_that_do_not_count_are_named(tmp_path):
    older = {"step.Step.time_step": [[1.0] * 4, PARAMS, "0"], **calibrated(1.0, 1.0)}
    (note,) = asv_run.check(wrote(tmp_path, older), MACHINE, "abcdef1234").notes
    assert note == (
        "step.Step.time_step: results of version 0 do not count, benchmarks.json describes "
        "version 1"
    )
    turned = {"step.Step.time_step": [[1.0] * 4, PARAMS[::-1], "1"], **calibrated(1.0, 1.0)}
    (note,) = asv_run.check(wrote(tmp_path, turned), MACHINE, "abcdef1234").notes
    assert "other parameters" in note


def test_a_commit_without_results_is_said_and_which_have_some(tmp_path):
    (issue,) = asv_run.check(wrote(tmp_path, WHOLE), MACHINE, "1234567890").issues
    assert issue == f"{MACHINE} has no results of commit 12345678; it has those of abcdef12"
    (issue,) = asv_run.check(tmp_path, "another", "abcdef1234").issues
    assert issue == "another has no results of commit abcdef12; it has those of none"


def test_a_commit_that_git_does_not_know_is_found_among_the_results(tmp_path, monkeypatch):
    wrote(tmp_path, WHOLE)

    def refuse(clone, name):
        raise git.Refused(f"commit {name}: planted")

    monkeypatch.setattr(git, "commit", refuse)
    assert asv_run.commit(tmp_path, MACHINE, "abcd") == "abcdef1234"
    assert asv_run.commit(tmp_path, MACHINE, "1234567") == "1234567"
    said = (
        "commit HEAD: planted; give --commit the first digits of its hash: "
        f"{MACHINE} has results of abcdef12"
    )
    with pytest.raises(asv_run.Unclear) as error:
        asv_run.commit(tmp_path, MACHINE, "HEAD")
    assert str(error.value) == said
    done = CliRunner().invoke(app, ["asv-check", str(tmp_path), "--machine", MACHINE])
    assert (done.exit_code, done.output) == (2, f"optbench: {said}\n")


def answers(monkeypatch, torch, jax, gpus=()):
    """Plant what the frameworks say that they compute on, and what the driver sees."""
    said = {
        "torch": Answer(torch, (torch is None and "no torch") or None),
        "jax": Answer(jax, (jax is None and "no jax") or None),
    }
    monkeypatch.setattr(
        asv_run.devices, "ask_all", lambda names: {name: said[name] for name in names}
    )
    monkeypatch.setattr(asv_run, "gpus", lambda: gpus)
    monkeypatch.setattr(
        asv_run, "class_beside", lambda names, device: f"{device}, not {sorted(names)}"
    )


@pytest.mark.parametrize(
    ("torch", "jax", "gpus", "name"),
    [
        ("cpu", "cpu", (), "cpu"),
        ("cpu", "cpu", ("NVIDIA H100, 580.1",), "cpu"),  # it is there and not used
        ("NVIDIA H100", "NVIDIA H100", ("NVIDIA H100, 580.1",), "NVIDIA H100"),
        (None, "cpu", ("NVIDIA H100, 580.1",), "cpu"),
        (None, None, (), "cpu"),
    ],
)
def test_a_machine_is_named_by_what_its_frameworks_compute_on(
    tmp_path, monkeypatch, torch, jax, gpus, name
):
    answers(monkeypatch, torch, jax, gpus)
    wrote(tmp_path, WHOLE)
    assert asv_run.this_machine(tmp_path) == f"{name}, not ['{MACHINE}']"


@pytest.mark.parametrize(
    ("torch", "jax", "said"),
    [
        ("NVIDIA H100", "cpu", "torch on NVIDIA H100, jax on cpu"),
        (None, None, "cannot be told: no torch; no jax"),
    ],
)
def test_a_machine_that_cannot_be_named_is_a_line(tmp_path, monkeypatch, torch, jax, said):
    answers(monkeypatch, torch, jax, ("NVIDIA H100, 580.1",))
    done = CliRunner().invoke(app, ["asv-machine", str(tmp_path)])
    assert done.exit_code == 2
    assert said in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"box": ', "3", "\0"])
def test_asv_s_own_file_is_left_as_it_is_where_it_is_torn(tmp_path, monkeypatch, text):
    pytest.importorskip("asv")
    answers(monkeypatch, "cpu", "cpu")
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".asv-machine.json"
    file.write_text(text)
    with pytest.raises(InvalidRecord, match=re.escape(str(file))):
        asv_run.register(tmp_path)
    assert file.read_text() == text
    file.unlink()
    name = asv_run.register(tmp_path)
    assert json.loads(file.read_text())[name]["machine"] == name


@pytest.fixture
def site(tmp_path):
    """A published page that shows one commit of two with results."""
    folder = tmp_path / "html"
    folder.mkdir()
    (folder / "index.html").write_text("")
    shown = {"project": "made up", "revision_to_hash": {"7": "abcdef1234"}}
    (folder / "index.json").write_text(json.dumps(shown))
    wrote(tmp_path, WHOLE)
    return folder


def test_results_that_a_site_does_not_show_are_said(site):
    results = site.parent
    assert list(asv_run.unshown(site, results)) == []
    words = ["asv-site", str(site), "--results", str(results)]
    assert CliRunner().invoke(app, words).exit_code == 0
    other = wrote(results, WHOLE, name="1234-env.json") / MACHINE / "1234-env.json"
    other.write_text(other.read_text().replace("abcdef1234", "1234567890"))
    (line,) = asv_run.unshown(site, results)
    assert line.startswith("1 of 2 commits are not in this history and not shown: 12345678")
    other.write_text("{")
    (line,) = asv_run.unshown(site, results)
    assert line.startswith(f"not shown: {other}: torn")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert line in done.output
    with pytest.raises(FileNotFoundError, match="no asv results"):
        list(asv_run.unshown(site, site))


def test_a_torn_file_is_seen(tmp_path):
    wrote(tmp_path, WHOLE)
    torn = wrote(tmp_path, WHOLE, name="1234-env.json") / MACHINE / "1234-env.json"
    torn.write_text(torn.read_text()[:100])
    outcome = asv_run.check(tmp_path, MACHINE, "abcdef1234")
    assert [str(torn) in issue and "torn" in issue for issue in outcome.issues] == [True]


@pytest.mark.parametrize("samples", [(1.0, 1.3, 1.2, 1.3), (1.3, 1.2, 1.0, 1.3), ()])
def test_a_machine_that_changed_its_speed_is_seen(tmp_path, samples):
    results = {**WHOLE, **calibrated(*samples)}
    (issue,) = asv_run.check(wrote(tmp_path, results), MACHINE, "abcdef1234").issues
    assert ("moved by more than 15%" if samples else "no samples") in issue
    assert (
        not samples or not asv_run.check(tmp_path, MACHINE, "abcdef1234", moved=0.25).issues
    )


@pytest.mark.medium
def test_the_check_has_an_exit_code(tmp_path):
    wrote(tmp_path, WHOLE)
    words = ["asv-check", tmp_path, "--machine", MACHINE, "--commit", "abcdef1234"]
    whole = cli(*words, cwd=tmp_path)
    assert (whole.returncode, whole.stdout.splitlines()[-1]) == (
        0,
        "3 measured, 1 skipped, 0 failed or not run",
    )
    (tmp_path / MACHINE / "abcdef12-env.json").write_text("{")
    assert cli(*words, cwd=tmp_path).returncode == 1
    nothing = cli("asv-check", tmp_path / "nowhere", cwd=tmp_path)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


@pytest.fixture
def page():
    import asv

    return Path(asv.__file__).parent / "www" / "index.html"


def test_the_site_needs_no_network(tmp_path, page):
    (tmp_path / "index.html").write_text(page.read_text())
    assert len(asv_run.carry(tmp_path)) == 10
    text = (tmp_path / "index.html").read_text()
    fetched = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', text)
    assert not [address for address in fetched if "//" in address]
    assert sum((tmp_path / address).is_file() for address in fetched) == 10
    asv_run.carry(tmp_path)  # again
    assert (tmp_path / "index.html").read_text() == text


def test_a_new_file_of_asvs_page_is_named(tmp_path):
    (tmp_path / "index.html").write_text(
        '<script src="https://elsewhere/new-1.0.min.js" crossorigin></script>'
    )
    with pytest.raises(FileNotFoundError, match=r"asks for new-1\.0\.min\.js"):
        asv_run.carry(tmp_path)


def test_carried_files_are_those_that_asv_names(page):
    import base64
    import hashlib

    tags = re.findall(
        r'https://[^"]*/([^"/]+)" integrity="(sha\d+)-([^"]+)"', page.read_text()
    )
    same = [
        name
        for name, algorithm, checksum in tags
        if (file := asv_run.VENDOR / name).is_file()
        and base64.b64encode(hashlib.new(algorithm, file.read_bytes()).digest()).decode()
        == checksum
    ]
    assert len(tags) == 10
    # flot is not minified here, stupidtable is a newer version
    assert len(same) == 5
