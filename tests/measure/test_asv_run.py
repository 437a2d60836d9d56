"""A run of asv: what is missing or torn is seen, and its page opens without a network."""

import json
import re
from pathlib import Path

import pytest
from commands import cli

from optbench.measure import asv_run

MACHINE = "a-machine"
PARAMS = [["'torch'", "'jax'"], ["1", "2"]]


def wrote(folder, results, name="abcdef12-env.json"):
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
        "env_name": "env",
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
