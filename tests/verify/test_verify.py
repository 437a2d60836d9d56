"""`optbench verify` finds what is wrong with results, and nothing where nothing is."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import Fake
from published import (
    MEASURED,
    complaints,
    computed_by_the_fake,
    copied_from,
    on_cpu,
    put,
    seal,
)
from typer.testing import CliRunner

from optbench import implementations
from optbench.campaign import campaign, expansion, results_folder
from optbench.cli.app import app
from optbench.measure import flops
from optbench.problems import networks
from optbench.records import checksums, store
from optbench.records.machine_state import SIZE
from optbench.report import index, report
from optbench.report import summary as tables
from optbench.schedule import local_workers
from optbench.training.limits import Limits
from optbench.verify import figures, rerun
from optbench.verify import verify as check
from optbench.verify.finding import Remark
from optbench.verify.folder_rules import RULES

CAMPAIGN = """
version = "1.0"
frameworks = ["torch"]
seeds = [0, 1]
points = { interior = 9, boundary = 6 }
[optimizers]
sgd = {}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
steps = 10
[[case]]
problem = "heat_sine_1d"
network = "tanh_4"
seconds = 5.5
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The campaign's records, with the conditions of a CPU's."""
    file = tmp_path_factory.mktemp("campaign") / "campaign.toml"
    file.write_text(CAMPAIGN)
    requests = expansion.requests(campaign.read(file), "fake", file.name)
    return [on_cpu(Fake().perform(request)) for request in requests]


@pytest.fixture(autouse=True)
def first_rows(request, monkeypatch):
    """Compute the first rows as the framework does that made the records."""
    if "real" not in request.fixturenames:
        computed_by_the_fake(monkeypatch)


@pytest.fixture
def folder(made, tmp_path):
    """Results as they are published."""
    folder = tmp_path / "fake" / "a-machine"
    for record in made:
        put(folder, record)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    seal(folder, made)
    return folder


def test_there_is_nothing_to_say_about_good_results(folder):
    assert complaints(folder) == {}
    assert [
        finding.rule for finding in check.findings(results_folder.find(folder))
    ] == list(RULES)


def test_the_commits_behind_a_table_are_named(folder, made):
    remarks = {
        finding.rule: str(finding)
        for finding in check.findings(results_folder.find(folder))
    }
    assert (made[0].provenance.commit or "unknown") in remarks["versions"]
    assert remarks["schema"].split() == ["schema", "ok", "(4", "records)"]


def torn(folder, record):
    file = store.path(folder, record.request)
    file.write_bytes(file.read_bytes()[:500])


def another_name(folder, record):
    file = store.path(folder, record.request)
    file.rename(file.with_name("run.json.gz"))


def stray(folder, record):
    (folder / "runs" / "notes.txt").write_text("")


def missing(folder, record):
    store.path(folder, record.request).unlink()


def missing_campaign(folder, record):
    (folder / "campaign.toml").unlink()


def malformed_campaign(folder, record):
    (folder / "campaign.toml").write_text(CAMPAIGN.replace("steps = 10", "steps = -1"))


def unasked(folder, record):
    put(folder, on_cpu(Fake().perform(asked_again(record, seed=7).request)))


def repeated_run(folder, record):
    file = store.path(folder, record.request)
    file.with_name("again.json.gz").write_bytes(file.read_bytes())


def both_forms(folder, record):
    file = store.path(folder, record.request)
    store.plain(file).write_bytes(store.content(file))


def other_labels(folder, record):
    labels = record.request.labels.model_copy(update={"optimizer": "SGD, again"})
    record = record.model_copy(
        update={"request": record.request.model_copy(update={"labels": labels})}
    )
    store.write(folder / "runs" / "again.json.gz", record)


def repeated_seed(folder, record):
    missing(folder, asked_again(record, seed=1))
    put(folder, asked_again(record, seed=1))


def another_version(folder, record):
    missing(folder, record)
    put(folder, asked_again(record, optimizer_version=2))


def asked_again(record, **fields):
    """The record with another request, and its identity."""
    request = record.request.model_copy(update=fields)
    return record.model_copy(update={"request": request, "identity": request.identity})


def edit(**fields):
    """A record with other fields; a value may be a function of the old one."""

    def edited(folder, record):
        old = {name: getattr(record, name) for name in fields}
        new = {
            name: value(old[name]) if callable(value) else value
            for name, value in fields.items()
        }
        put(folder, record.model_copy(update=new))

    return edited


def row(number, **fields):
    """A history with another row."""

    def edited(history):
        rows = list(history)
        rows[number] = rows[number].model_copy(update=fields)
        return tuple(rows)

    return edited


# what is done to the first run, which rules find it although tables and checksums are made
# anew, and what is said
EDITS = {
    "a torn record": (torn, {"schema", "campaign"}, "is not a whole record"),
    "a record under another name": (
        another_name,
        {"schema"},
        "run.json.gz has the name of another run",
    ),
    "a file that is no record": (stray, {"schema"}, "notes.txt is no record"),
    "another number of parameters": (
        edit(parameters=18),
        {"schema", "campaign"},
        "18 parameters, but its network has",
    ),
    "a missing run": (
        missing,
        {"campaign"},
        "is missing: poisson_sine_2d, tanh_4 (D = 17), sgd, torch, seed 0",
    ),
    "a run that nobody asked for": (unasked, {"campaign"}, "does not ask for this run"),
    "no campaign": (missing_campaign, {"campaign", "tables"}, "campaign.toml is missing"),
    "no readable campaign": (
        malformed_campaign,
        {"campaign", "tables"},
        "case[0].steps = -1: must be > 0",
    ),
    "a run twice": (
        repeated_run,
        {"schema", "repeats"},
        "one run, 2 records: again.json.gz",
    ),
    "a run in both forms": (both_forms, {"repeats"}, "one run, 2 records"),
    "a run twice under two labels": (
        other_labels,
        {"schema", "repeats", "campaign"},
        "one run, 2 records: again.json.gz",
    ),
    "a seed twice": (
        repeated_seed,
        {"repeats", "start"},
        "seeds [0, 1] start from the same numbers",
    ),
    "another version": (
        another_version,
        {"versions"},
        "sgd is there in 2 versions: version 1: ",
    ),
    "a clock that does not add up": (
        edit(wall_seconds=lambda wall: 1.006 * wall),
        {"clock"},
        "the clock's parts add up to",
    ),
    "no clock": (
        edit(clock={}, wall_seconds=math.nan),
        {"clock", "history", "speed"},
        "add up to 0 s",
    ),
    "negative time": (
        edit(clock=lambda clock: clock | {"log": -1.0, "setup": 1.0}),
        {"clock"},
        "less than no time in log",
    ),
    "a history that goes back": (
        edit(history=row(3, step=2)),
        {"history"},
        "goes back, from step 2 to step 2",
    ),
    "time that goes back": (
        edit(history=row(3, seconds=1.5)),
        {"history"},
        "goes back, from step 2 to step 3",
    ),
    "a history that starts late": (
        edit(history=lambda rows: rows[1:]),
        {"history", "start"},
        "starts after step 1 and 1 s",
    ),
    "a history that stops early": (
        edit(history=lambda rows: rows[:-1]),
        {"history"},
        "finished after 10 steps, which",
    ),
    "a history that goes on": (
        edit(steps=9),
        {"history", "budget"},
        "goes to step 10 of 9",
    ),
    "a finished run that is not finite": (
        edit(history=row(5, rms=math.nan)),
        {"history", "errors"},
        "numbers after step 5",
    ),
    "another time": (
        edit(history=row(-1, seconds=9.5)),
        {"history"},
        "ends at 9.5 s, the clock says 10 s",
    ),
    "a run that is faster than its machine": (
        edit(before=MEASURED.model_copy(update={"calibration_seconds": 1e9})),
        {"speed"},
        "faster than the machine",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_wrong_is_found(name, folder, made):
    wrong, rules, message = EDITS[name]
    wrong(folder, made[0])
    reseal(folder)
    found = complaints(folder)
    assert set(found) == rules
    said = [issue for issues in found.values() for issue in issues]
    assert any(message in issue for issue in said), said
    assert all(str(folder) in issue and "\n" not in issue for issue in said)


def reseal(folder):
    """Make tables and checksums of what is there, as somebody would who hides an edit."""
    (results,) = results_folder.find(folder)
    order = {
        results_folder.question(request): number
        for number, request in enumerate(results.requests)
    }
    found = {
        results_folder.question(record.request): record
        for record in results.records.values()
    }
    seal(
        folder,
        [found[question] for question in order if question in found]
        or list(found.values()),
    )


SEALED = {
    "an edited number": (
        edit(history=row(-1, relative_l2=1e-9)),
        {"checksums", "errors", "tables"},
        "not what its checksum says",
    ),
    "an edited number of a row within": (
        edit(history=row(4, interior=1e-9)),
        {"checksums"},
        "sgd-torch-seed0",
    ),
    "a file that is gone": (
        missing,
        {"checksums", "campaign", "tables"},
        ".json.gz is missing",
    ),
    "a file that is not listed": (
        stray,
        {"checksums", "schema"},
        "notes.txt has no checksum",
    ),
}


@pytest.mark.parametrize("name", SEALED)
def test_what_is_wrong_shows_in_checksums_and_tables(name, folder, made):
    wrong, rules, message = SEALED[name]
    wrong(folder, made[0])
    found = complaints(folder)
    assert set(found) == rules
    assert any(message in issue for issue in found["checksums"])


@pytest.mark.parametrize("suffix", tables.FORMATS.values())
def test_an_edited_table_is_found(suffix, folder):
    table = folder / f"table.{suffix}"
    table.write_text(table.read_text().replace("sgd", "kfac", 1))
    checksums.write(folder)
    assert complaints(folder) == {
        "tables": [
            f"{table}: line {5 if suffix != 'csv' else 2} is not what the records give"
        ]
    }
    table.unlink()
    checksums.write(folder)
    assert complaints(folder) == {"tables": [f"{table} is missing"]}


@pytest.mark.parametrize(
    "name",
    ["tables/errors.md", "tables/hardest.csv", "tables/commits.tex", "report.html"],
)
@pytest.mark.medium
def test_an_edited_product_of_the_report_is_found(name, folder, monkeypatch):
    monkeypatch.setattr(report.figures, "make", lambda *_: [])  # they take seconds
    list(report.make(folder))
    product = folder / name
    product.write_text(product.read_text().replace(" ", "  ", 1))
    checksums.write(folder)
    (issue,) = complaints(folder, ["figures"])["tables"]
    assert issue.startswith(f"{product}: line ")
    product.unlink()
    checksums.write(folder)
    assert complaints(folder, ["figures"]) == {"tables": [f"{product} is missing"]}


@pytest.mark.medium
def test_a_figure_is_drawn_again_and_compared(folder, tmp_path, monkeypatch):
    list(report.make(folder))
    assert complaints(folder) == {}
    (results,) = results_folder.find(folder)
    shutil.copytree(folder, tmp_path / "drawn")  # it takes seconds to draw them
    monkeypatch.setattr(figures, "_draw", copied_from(tmp_path / "drawn"))
    curves, heat = folder / "curves.svg", folder / "figures" / "heatmap.svg"
    drawn = {file: file.read_bytes() for file in (curves, heat)}
    curves.write_bytes(drawn[curves].replace(b"path", b"PATH", 1))
    assert list(figures.check(results)) == [f"{curves} is not what the records give"]
    curves.write_bytes(drawn[curves])
    heat.unlink()
    assert list(figures.check(results)) == [f"{heat} is missing"]


def test_figures_of_another_matplotlib_are_counted_and_not_compared(tmp_path):
    files = [tmp_path / name for name in ("one.svg", "two.pdf")]
    drawn = dict.fromkeys(files, b"Matplotlib v3.11.2, mine")
    for file in files:
        file.write_bytes(b"Matplotlib v3.10.0, theirs")
    (said,) = figures._compared(drawn)
    assert isinstance(said, Remark)
    assert said.startswith(f"2 figures in {tmp_path} not compared: drawn by Matplotlib")
    files[0].write_bytes(drawn[files[0]])  # `report` draws all at once: this is a forgery
    (said,) = figures._compared(drawn)
    assert not isinstance(said, Remark)
    assert said == f"{files[1]} was drawn by Matplotlib 3.10.0, and others were not"


def test_the_index_of_the_results_is_checked(folder):
    place = folder.parents[1]
    index.write(place)
    found = results_folder.find(place)
    *_, last = check.findings(found, place, ["figures"])
    assert (last.rule, last.issues) == ("index", [])
    readme = place / index.README
    readme.write_text(readme.read_text().replace("4 runs", "9 runs"))
    *_, last = check.findings(found, place, ["figures"])
    assert len(last.issues) == 1
    assert last.issues[0].startswith(f"{readme}: line ")


def test_checksums_that_are_torn_or_gone_are_found(folder):
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text()[:-20])
    assert (
        len(complaints(folder)["checksums"]) == 2
    )  # the last name is not there, its file has no checksum
    sums.write_text("nonsense\n")
    assert f"{sums}: line 1 is no checksum and file name" in complaints(folder)["checksums"]
    sums.unlink()
    assert complaints(folder) == {"checksums": [f"{sums} is missing"]}


def test_checksums_are_those_of_the_usual_program(folder):
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_working_files_are_neither_published_nor_counted(folder):
    for name in (
        ".x.json.gz.1.partial",
        "x.json.gz.2.aside",
        "../.locks/y.lock",
        "../.checkpoints/z.npz",
    ):
        file = folder / "runs" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{")
    assert complaints(folder) == {}
    assert checksums.write(folder).read_text().count("\n") == 4 + 3 + 1


BUDGETS = {
    "too few steps": (0, {"status": "finished", "steps": 9}, "9 steps on a budget of 10"),
    "too many steps": (
        0,
        {"status": "diverged", "steps": 11},
        "11 steps on a budget of 10",
    ),
    "too few seconds": (
        2,
        {"clock": {"train": 5.0}},
        "finished after 5 s of a budget of 5.5 s",
    ),
    "two steps too many": (2, {"history": "longer"}, "went on at 6 s on a budget of 5.5 s"),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_that_is_not_kept_is_found(name, folder, made):
    number, fields, message = BUDGETS[name]
    record = made[number]
    if fields.get("history"):
        last = record.history[-1]
        fields = {
            "history": (
                *record.history,
                last.model_copy(update={"step": 7, "seconds": 7.0}),
            ),
            "steps": 7,
        }
    put(folder, record.model_copy(update=fields))
    assert any(message in issue for issue in complaints(folder)["budget"])


@pytest.mark.parametrize("fields", [{"steps": 6}, {"seconds": 5.5}, {"seconds": 6.0}])
def test_a_run_that_keeps_its_budget_does_so(fields, made):
    record = Fake().perform(
        made[0].request.model_copy(update={"steps": None, "seconds": None} | fields)
    )
    assert record.steps == 6
    assert list(check_record("budget", record)) == []


def test_a_run_that_ended_early_is_no_issue(made):
    for rate in (1e200, 1e30):
        record = Fake().perform(
            asked_again(
                made[0], hyperparameters={"learning_rate": rate, "momentum": 0.9}
            ).request
        )
        assert record.status == "diverged"
        assert [
            issue
            for rule in ("clock", "history", "budget")
            for issue in check_record(rule, record)
        ] == []
    lost = made[0].model_copy(
        update={
            "status": "failed",
            "error": "its process died",
            "clock": {},
            "wall_seconds": math.nan,
            "history": (),
            "steps": 0,
        }
    )
    assert [
        issue
        for rule in ("clock", "history", "budget")
        for issue in check_record(rule, lost)
    ] == []


def check_record(rule, record):
    results = results_folder.Results(None, {"file": record}, ())
    return RULES[rule].issues(results)


def test_the_clock_may_be_off_by_half_a_percent(made):
    wall = made[0].wall_seconds
    for share, issues in ((1.004, 0), (0.996, 0), (1.006, 1), (0.994, 1)):
        record = made[0].model_copy(update={"wall_seconds": share * wall})
        assert len(list(check_record("clock", record))) == issues


def test_flops_are_those_of_a_gradient_by_hand(made):
    # 2 → 4 → 1: 8 and 4 weights; 4 jet channels at 9 interior points, one at 6 of the
    # boundary, times two flops, twice
    request = made[0].request
    assert networks.shapes(request.network, 2, 1) == [(4, 3), (1, 5)]
    assert flops.step(request) == 2 * (2 * 9 * (8 + 4 * 4) + 2 * 6 * (8 + 1 * 4))
    assert flops.run(made[0]) == 10 * flops.step(request)


@pytest.mark.parametrize(("share", "found"), [(1.01, 0), (0.99, 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_physical_bound_is_four_times_the_calibration(
    share, found, dtype, threads, made
):
    record = asked_again(made[0], dtype=dtype, threads=threads)
    per_second = 4 * (2 * SIZE**3 / 0.01) * threads * (2 if dtype == "float32" else 1)
    least = flops.run(record) / per_second
    record = record.model_copy(update={"clock": {"train": share * least}})
    assert len(list(check_record("speed", record))) == found


SLOW = MEASURED.model_copy(update={"calibration_seconds": 1e9})


@pytest.mark.parametrize(
    "fields", [{"before": None}, {"before": SLOW, "device": "NVIDIA H100"}]
)
def test_where_the_bound_does_not_apply_it_is_said(fields, folder, made):
    put(folder, on_cpu(made[0], **fields))
    speed = next(
        finding
        for finding in check.findings(results_folder.find(folder))
        if finding.rule == "speed"
    )
    assert speed.issues == []
    assert (
        "not applied to 1 of 4 records: on a GPU or without a calibration" in speed.remark
    )


def test_a_run_is_held_against_the_other_seeds(made):
    """Those that shared their cores do not count, and two runs are too few."""
    runs = [asked_again(made[0], seed=seed) for seed in range(4)]
    clock = made[0].clock
    fast = runs[0].model_copy(update={"clock": clock | {"train": clock["train"] / 5.1}})
    shared = made[0].provenance.model_copy(update={"shared_cores": True})
    slow = [run.model_copy(update={"provenance": shared}) for run in runs]

    def issues(*records):
        files = {f"seed {record.request.seed}": record for record in records}
        return list(RULES["speed"].issues(results_folder.Results(None, files, ())))

    assert issues(*runs) == []
    (issue,) = issues(fast, *runs[1:])
    assert issue.startswith("seed 0: a step takes 0.196 s, and 1 s or more")
    assert issues(fast, runs[1]) == []
    assert issues(fast, runs[1], *slow[2:]) == []
    assert len(issues(fast, *runs[1:3], slow[3])) == 1


def test_the_faster_of_two_calibrations_is_the_bound(made):
    assert list(check_record("speed", on_cpu(made[0], before=SLOW)))
    assert not list(check_record("speed", on_cpu(made[0], before=SLOW, after=MEASURED)))


def test_published_results_stay_good_when_a_version_is_raised(folder, made):
    records = [
        asked_again(record, optimizer_version=9, problem_version=9) for record in made
    ]
    for old, new in zip(made, records, strict=True):
        missing(folder, old)
        put(folder, new)
    seal(folder, records)
    assert complaints(folder) == {}


def test_a_repetition_is_compared_number_by_number(made):
    record, slower = (
        made[0],
        made[0].model_copy(update={"history": row(4, seconds=99.0)(made[0].history)}),
    )
    assert rerun.compare("file", record, slower, 0.0) == ("file", 0.0, None, None)
    value = record.history[4].rms
    other = record.model_copy(
        update={"history": row(4, rms=value * (1 + 1e-5))(record.history)}
    )
    assert rerun.compare("file", record, other, 1e-4).issue is None
    assert (
        "differs by 1e-05 from step 4 on"
        in rerun.compare("file", record, other, 1e-6).issue
    )
    failed = record.model_copy(update={"status": "failed", "error": "no memory"})
    assert (
        rerun.compare("file", record, failed, 1e-6).issue
        == "repeated, it is failed: no memory"
    )


@pytest.mark.parametrize(("times", "found"), [(4.9, False), (5.1, True)])
def test_a_repetition_that_takes_longer_is_found(times, found, made):
    slower = made[0].model_copy(
        update={
            "history": tuple(
                row.model_copy(update={"seconds": times * row.seconds})
                for row in made[0].history
            )
        }
    )
    issue = rerun.compare("file", made[0], slower, 1e-6).issue
    shared = slower.provenance.model_copy(update={"shared_cores": True})
    shared = slower.model_copy(update={"provenance": shared})
    assert rerun.compare("file", made[0], shared, 1e-6).issue is None
    assert (issue is not None) is found
    assert rerun.compare("file", slower, made[0], 1e-6).issue is None


def scaled(record, factors, names=("interior", "boundary", "relative_l2", "rms")):
    """The record with its numbers times factors, by row; others are as they are."""
    rows = [
        row.model_copy(
            update={name: row.numbers[name] * factors.get(row.step, 1) for name in names}
        )
        for row in record.history
    ]
    return record.model_copy(update={"history": tuple(rows)})


LATER = dict.fromkeys(range(1, 11), 1.5)  # every row but the first
# how the frameworks differ, what was done to the record, what is said of it, and the step
# from which on errors are compared within a factor alone
ELSEWHERE = {
    "nothing": ({}, {}, None, math.inf),
    "the first row": ({}, {0: 1 + 1e-8}, "differs by 1e-08 at step 0", math.inf),
    "the last error": ({}, {10: 1e-3}, "differs by 1 at step 10", math.inf),
    "within the drift": ({4: 1 + 1e-7}, {5: 1 + 5e-5}, None, math.inf),
    "beyond the drift": (
        {4: 1 + 1e-7},
        {5: 1 + 5e-4},
        "differs by 0.0005 at step 5, where rounding is 0.0001",
        math.inf,
    ),
    "before the drift": ({4: 1.5}, {3: 1.01}, "differs by 0.0099 at step 3", math.inf),
    "where rounding is all": ({4: 1.5}, {5: 1.01, 10: 9.0}, None, 4),
    "more than all": ({4: 1.5}, {10: 1e-3}, "has the error", 4),
    "no other framework": (None, LATER, None, 1),
    "no other framework, more": (None, {10: 1e-3}, "has the error", 1),
    "no other framework, the first row": (
        None,
        {0: 1.01},
        "differs by 0.0099 at step 0",
        math.inf,
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_run_from_elsewhere_is_compared_by_steps(name, made):
    apart, done, words, compared_to = ELSEWHERE[name]
    twin = None if apart is None else scaled(made[0], apart)
    compared = rerun.compare_elsewhere("file", scaled(made[0], done), made[0], twin)
    assert (compared.issue is None) is (words is None)
    assert (words or "") in (compared.issue or "")
    assert compared.compared_to == compared_to


def test_a_record_does_not_decide_its_own_exemption(made, monkeypatch):
    """One that names another machine is compared with the machine that repeated it."""
    monkeypatch.setattr(rerun, "_changed", lambda record: None)
    monkeypatch.setattr(rerun, "_again", lambda request, say: made[0])
    monkeypatch.setattr(rerun, "_twin", lambda request: None)
    forged = scaled(made[0], dict.fromkeys(range(11), 1e-3))
    named = forged.provenance.model_copy(update={"machine": "other-64-cores-512-gib"})
    forged = forged.model_copy(update={"provenance": named})
    (compared,) = rerun.repeat({"file": forged}, 1e-6)
    assert "differs by 1 at step 0" in compared.issue
    ours = forged.model_copy(update={"provenance": made[0].provenance})
    (compared,) = rerun.repeat({"file": ours}, 1e-6)
    assert "it differs by 1 from step 0 on" in compared.issue


def test_budgets_of_seconds_are_compared_at_common_steps(made):
    steps, seconds = made[0], made[2]
    assert (
        rerun.compare("f", steps, edited_rows(steps, slice(5)), 0.0).issue
        == "repeated, its history has other steps"
    )
    assert rerun.compare("f", seconds, edited_rows(seconds, slice(5)), 0.0).issue is None


def edited_rows(record, rows):
    return record.model_copy(update={"history": record.history[rows]})


def test_the_runs_that_are_repeated_are_drawn_by_the_seed(folder, made):
    records = {store.path(folder, record.request): record for record in made}
    draws = [tuple(rerun.draw(records, 2, seed)) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1
    assert rerun.draw(records, 9, 0).keys() == records.keys()


def test_a_run_of_another_version_cannot_be_repeated(made):
    framework = implementations.installed()[-1]
    record = asked_again(made[0], framework=framework, optimizer_version=9)
    (compared,) = rerun.repeat({"file": record}, 1e-6)
    assert "made by version 9 of sgd, this clone has 1" in compared.issue


@pytest.fixture
def real(tmp_path):
    """A real run of three steps, published; its file and record."""
    frameworks = json.dumps(implementations.installed()[-1:])
    text = (
        CAMPAIGN.replace('["torch"]', frameworks)
        .replace("[0, 1]", "[0]")
        .replace("10", "3")
        .rpartition("[[case]]")[0]
    )
    folder = tmp_path / "real" / "here"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(text)
    (request,) = expansion.requests(
        campaign.read(folder / "campaign.toml"), "real", "campaign.toml"
    )
    with local_workers.workers(Limits()) as crew:
        record = crew.run(request, lambda share, row: None)
    put(folder, record)
    seal(folder, [record])
    return store.path(folder, request), record


def verify(file, *options):
    return CliRunner().invoke(app, ["verify", str(file.parent.parent), *options])


@pytest.mark.medium
def test_the_command_says_ok_repeats_a_run_and_says_what_is_wrong(real):
    file, record = real
    said = verify(file, "--rerun", "1", "--seed", "4")
    assert said.exit_code == 0, said.output
    assert [line.split()[:2] for line in said.stdout.splitlines()] == [
        [rule, "ok"] for rule in (*RULES, "rerun")
    ]
    assert "1 repeated, largest relative difference 0, tolerance 1e-06" in said.stdout

    store.write(
        file, record.model_copy(update={"history": row(2, rms=1.0)(record.history)})
    )
    said = verify(file, "--rerun", "1", "--tolerance", "1e-3")
    assert said.exit_code == 1
    assert "checksums   1 issue\n" in said.stdout
    assert f"{file} is not what its checksum says" in said.stdout
    assert "repeated, it differs by" in said.stdout
    assert said.stderr.endswith(f"optbench: 3 issues in {file.parent.parent}\n")


def test_a_folder_without_results_is_a_user_s_mistake(tmp_path):
    command = [sys.executable, "-m", "optbench", "verify", "nowhere"]
    said = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 2
    assert (
        said.stderr
        == "optbench: no results in nowhere: <campaign>/<machine>/runs is what is looked "
        "for\n"
    )


LIGHT = (
    "checksums",
    "schema",
    "repeats",
    "clock",
    "history",
    "budget",
    "versions",
    "speed",
)


def python(*lines, **places):
    code = "\n".join(lines).format(**places)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )


def test_a_checksum_is_checked_without_pandas_seaborn_or_a_framework(folder):
    said = python(
        "import sys",
        "from pathlib import Path",
        "from optbench.campaign import results_folder",
        "from optbench.verify import verify",
        "found = results_folder.find(Path({folder!r}))",
        "for name in {light!r}:",
        "    assert list(verify.RULES[name].issues(found[0])) == [], name",
        "heavy = ['pandas', 'seaborn', 'matplotlib', 'tabulate', 'jinja2', 'scipy']",
        "print([name for name in (*heavy, 'torch', 'jax') if name in sys.modules])",
        folder=str(folder),
        light=LIGHT,
    )
    assert said.stdout == "[]\n", said.stderr


ABSENT = """
import importlib.abc, importlib.util, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {absent!r} else find(name)
sys.meta_path.insert(0, Absent())
{more}
from optbench.cli.app import main
sys.argv = ["optbench", "verify", {folder!r}]
main()
"""
THE_FAKES = f"""
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from fakes import Fake
from optbench.verify import start
fake = Fake()
start._functions = lambda *asked: (fake, fake._losses, fake._predict)
"""
REPORTING = ("pandas", "seaborn", "matplotlib", "tabulate", "jinja2", "scipy")


@pytest.mark.parametrize(
    ("absent", "more", "unchecked"),
    [
        (
            REPORTING,
            THE_FAKES,
            {"tables": "not checked (pandas is not installed: pip install"},
        ),
        (
            ("torch", "jax"),
            "",
            dict.fromkeys(
                ("campaign", "start", "tables"),
                "not checked (needs torch or jax)",
            ),
        ),
    ],
)
def test_what_needs_a_missing_package_is_said_and_is_no_issue(
    folder, absent, more, unchecked
):
    said = python(ABSENT, absent=absent, more=more, folder=str(folder))
    assert said.returncode == 0, said.stderr
    *verdicts, last = said.stdout.splitlines()
    assert last == f"not all is checked: {', '.join(unchecked)}"
    lines = dict(line.split(maxsplit=1) for line in verdicts)
    assert list(lines) == list(RULES)
    for rule, verdict in lines.items():
        assert verdict.startswith(unchecked.get(rule, "ok")), (rule, verdict)
    (folder / "table.md").write_text("")
    said = python(ABSENT, absent=absent, more=more, folder=str(folder))
    assert said.returncode == 1
    assert said.stderr.endswith(f"optbench: 1 issue in {folder}\n")
