"""asv's results as a frame, and what is drawn from them: made-up numbers, asv's format."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import cli
from made_up_asv import NAN, benchmark, cells, noisy, write

import optbench
from optbench.measure import asv_report, scale
from optbench.records.store import InvalidRecord

OPTIMIZERS, FRAMEWORKS, PROBLEMS = (
    ["sgd", "engd", "kfac"],
    ["torch", "jax"],
    ["poisson_sine_2d", "heat_sine_1d"],
)
SIZES = {16: 693, 64: 9_873, 128: 38_689, 256: 153_153, 512: 609_409}  # D by width
STEP = {"framework": FRAMEWORKS, "optimizer": OPTIMIZERS, "problem": PROBLEMS}
WIDTH = {"framework": FRAMEWORKS, "optimizer": OPTIMIZERS, "width": list(SIZES)}
ALONE = {"width": list(SIZES)}
SLOWER = {"torch": 3.0, "jax": 1.0}
POWERS = {"sgd": 1.0, "engd": 2.0, "kfac": 1.5}
FACTORS = [1.0, 1.0, 0.5]  # KFAC's seconds at each commit


def seconds(framework, optimizer, width):
    """A power of D; ENGD and KFAC cross at D = 4000."""
    return SLOWER[framework] * 1e-3 * (SIZES[width] / 4000) ** POWERS[optimizer]


def step(day):
    def of(framework, optimizer, problem):
        if (framework, optimizer, problem) == ("torch", "engd", "heat_sine_1d"):
            return None
        factor = FACTORS[day] if optimizer == "kfac" else 1
        return noisy(
            factor * seconds(framework, optimizer, 64), seed=10 * day + len(framework)
        )

    return of


def width(framework, optimizer, width):
    return (
        NAN
        if optimizer == "engd" and width > 128
        else noisy(seconds(framework, optimizer, width), width, spread=0)
    )


def parameters(width):
    return SIZES[width]


def flops(framework, optimizer, problem):
    return 1e6


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Three commits on a machine."""
    commits = [
        [
            (benchmark("step.Step.time_step", STEP), cells(STEP, step(day))),
            (benchmark("width.Width.time_step", WIDTH), cells(WIDTH, width)),
            (
                benchmark("width.Parameters.track_parameters", ALONE, unit="parameters"),
                cells(ALONE, parameters),
            ),
            (benchmark("work.Flops.track_flops", STEP, unit="flops"), cells(STEP, flops)),
            (benchmark("calibration.Calibration.time_matmul", {}), [noisy(0.02, day)]),
        ]
        for day in range(len(FACTORS))
    ]
    return write(tmp_path_factory.mktemp("asv"), "two cores", commits)


@pytest.fixture(scope="module")
def frame(results):
    return optbench.load_asv(results)


def cell(frame, benchmark, **parameters):
    rows = frame[frame["benchmark"] == benchmark]
    for name, value in parameters.items():
        rows = rows[rows[name] == value]
    return rows


def test_a_row_has_asv_s_numbers(frame):
    rows = cell(
        frame,
        "step.Step.time_step",
        framework="jax",
        optimizer="kfac",
        problem="heat_sine_1d",
    )
    assert len(rows) == len(FACTORS)
    row, samples = rows.iloc[-1], step(2)("jax", "kfac", "heat_sine_1d")
    assert (row["machine"], row["memory"], row["unit"], row["version"]) == (
        "two cores",
        8e9,
        "seconds",
        "1",
    )
    assert row["commit"] == f"{3:040x}"[::-1]
    assert row["date"] == pd.Timestamp("1970-01-04", tz="UTC")
    assert row["samples"] == samples
    assert row["median"] == np.median(samples)
    assert (row["q25"], row["q75"]) == pytest.approx(
        (np.percentile(samples, 25), np.percentile(samples, 75)), rel=1e-4
    )
    assert row["status"] == "measured"


def test_parameters_are_values_not_their_repr(frame):
    assert set(frame["optimizer"].dropna()) == set(OPTIMIZERS)
    assert set(frame["width"].dropna()) == set(SIZES)
    assert pd.api.types.is_integer_dtype(frame["width"])
    alone = cell(frame, "calibration.Calibration.time_matmul")
    assert len(alone) == len(FACTORS)
    assert alone[["framework", "optimizer", "problem", "width"]].isna().all(axis=None)


def test_what_has_no_number_says_why(frame):
    failed = cell(
        frame,
        "step.Step.time_step",
        framework="torch",
        optimizer="engd",
        problem="heat_sine_1d",
    )
    skipped = cell(frame, "width.Width.time_step", optimizer="engd", width=256)
    assert set(failed["status"]) == {"failed"}
    assert set(skipped["status"]) == {"skipped"}
    assert failed["median"].isna().all()
    assert skipped["median"].isna().all()
    assert (frame["status"] == "measured").equals(frame["median"].notna())


def test_trailing_columns_may_be_absent(tmp_path):
    described = benchmark("step.Step.time_step", STEP)
    lost = [(described, [None] * len(cells(STEP, flops)))]
    write(tmp_path, "m", [[(described, cells(STEP, step(0)))], lost], samples=False)
    results = optbench.load_asv(tmp_path)
    (torn_off,) = (
        json.loads(file.read_text())["results"]["step.Step.time_step"]
        for file in tmp_path.rglob("2*.json")
    )
    assert len(torn_off) < 6
    assert set(results["status"][results["commit"].str.startswith("2")]) == {"failed"}
    assert results["samples"].isna().all()
    assert results["q25"].notna().sum() == len(cells(STEP, step(0))) - 1


def test_a_folder_a_machine_s_and_a_file_are_read(results, frame):
    pd.testing.assert_frame_equal(optbench.load_asv(results / "two cores"), frame)
    one = optbench.load_asv(next((results / "two cores").glob("1*.json")))
    pd.testing.assert_frame_equal(one, frame[frame["commit"] == one["commit"][0]])


def test_a_benchmark_that_is_gone_keeps_its_cells(tmp_path):
    gone = [(benchmark("old.time_it", {"size": [1, 2]}), [1.0, 2.0])]
    write(tmp_path, "m", [gone])
    (tmp_path / "benchmarks.json").write_text('{"version": 2}')
    assert optbench.load_asv(tmp_path)["param1"].tolist() == [1, 2]


def test_mistakes_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no asv results in"):
        optbench.load_asv(tmp_path)
    write(tmp_path, "m", [[(benchmark("a.time_a", {}), [1.0])]])
    (file,) = tmp_path.rglob("1*.json")
    whole = file.read_text()
    for text, words in (
        (whole[:-20], "torn or no JSON"),
        (whole.replace('"version": 2', '"version": 1'), "asv's format 1"),
        (whole.replace('"commit_hash"', '"hash"'), "no asv result: KeyError"),
        (whole.replace("[1.0]", '["soon"]', 1), "no asv result: ValueError"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidRecord, match=words):
            optbench.load_asv(tmp_path)


def test_the_ratio_s_interval_holds_it(frame):
    table = pd.DataFrame(
        asv_report.step_cost(asv_report.newest(frame, asv_report.STEP))
    ).set_index(["optimizer", "problem"])
    row = table.loc[("kfac", "heat_sine_1d")]
    medians = [np.median(step(2)(name, "kfac", "heat_sine_1d")) for name in FRAMEWORKS]
    assert (row["torch"], row["jax"]) == tuple(medians)
    assert row["torch/jax"] == medians[0] / medians[1]
    assert 2.7 < row["torch/jax_low"] < row["torch/jax"] < row["torch/jax_high"] < 3.3
    lost = table.loc[("engd", "heat_sine_1d")]
    assert np.isnan(lost["torch/jax"])
    text = asv_report.render(table.reset_index(), "simple")
    assert "failed" in text


def test_intervals_hold_the_true_ratio_as_often_as_they_say():
    held = 0
    for seed in range(100):
        low, high = asv_report.interval(
            noisy(2.0, 2 * seed, 30), noisy(1.0, 2 * seed + 1, 30)
        )
        held += low <= 2 <= high
    assert 88 <= held <= 100
    assert np.isnan(asv_report.interval([1.0], [1.0, 2.0])).all()
    assert np.isnan(asv_report.interval(None, [1.0, 2.0])).all()


def test_engd_and_kfac_cross_where_they_do(frame):
    ladder = asv_report.widths(frame)
    assert ladder["parameters"].notna().all()
    crossings = list(scale.crossovers(ladder))
    assert len(crossings) == 2
    for crossing, framework in zip(crossings, ("jax", "torch"), strict=True):
        assert crossing["framework"] == framework
        assert (crossing["below"], crossing["above"]) == ("engd", "kfac")
        assert crossing["parameters"] == pytest.approx(4000)
        assert crossing["seconds"] == pytest.approx(SLOWER[crossing["framework"]] * 1e-3)
    assert (
        scale.in_words(crossings[0])
        == "jax: a step of engd costs less than one of kfac up to D ≈ 4,000, then more"
    )
    dearer = ladder.assign(
        step_seconds=ladder["step_seconds"].where(ladder["optimizer"] != "engd", 1e3)
    )
    never = next(scale.crossovers(dearer))
    assert (never["below"], never["above"]) == ("kfac", "engd")
    assert scale.in_words(never).endswith("at every D measured, 693 to 609,409")


def test_history_has_no_problem_that_begins_later(frame):
    rows = asv_report.of(frame, asv_report.STEP)
    late = rows[rows["commit"] == rows["commit"].iloc[-1]].assign(
        problem="heat_sum_4d", median=9.0
    )
    history = asv_report.history(
        pd.concat([frame, late], ignore_index=True), asv_report.STEP
    )
    assert len(history) == len(asv_report.history(frame, asv_report.STEP)) > 0
    assert "heat_sum_4d" not in set(history["problem"])


def test_history_is_relative_to_the_first_commit_of_the_same_version(frame):
    rows = asv_report.history(frame, asv_report.STEP)
    kfac = (
        rows[rows["optimizer"] == "kfac"].groupby("commit", sort=False)["relative"].mean()
    )
    assert kfac.to_numpy() == pytest.approx(FACTORS, rel=0.15)
    assert (kfac.iloc[0] == 1).all()
    newer = frame.assign(
        version=frame["version"].where(frame["commit"] != frame["commit"].iloc[-1], "2")
    )
    assert asv_report.history(newer, asv_report.STEP)["relative"].eq(1).all()


@pytest.mark.medium
def test_everything_is_written_and_said(frame, tmp_path):
    said = []
    asv_report.report(frame, tmp_path, said.append)
    text = "\n".join(said)
    written = {
        line.removeprefix("written: ")
        for line in text.splitlines()
        if line.startswith("written: ")
    }
    assert written == {str(path) for path in (tmp_path / "two cores").iterdir()}
    figures = [
        "cost_over_parameters",
        "frameworks_over_parameters",
        "time_over_commits",
        "work_over_commits",
    ]
    for name in figures:
        assert (tmp_path / "two cores" / f"{name}.png").stat().st_size > 10_000
    drawing = (tmp_path / "two cores" / "cost_over_parameters.svg").read_text()
    for words in (
        "engd = kfac at D ≈ 4,000",
        "kfac 1.50 [1.50, 1.50]",
        "a Gramian fills 8 GB",
        "no number from here on",
    ):
        assert f"<!-- {words} -->" in drawing
    exponents = pd.read_csv(tmp_path / "two cores" / "exponents.csv").set_index(
        ["optimizer", "framework"]
    )
    assert exponents["exponent"].loc[("sgd", "jax")] == pytest.approx(1)


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
    said = cli("asv", tmp_path, cwd=tmp_path)
    assert said.returncode == 2
    assert said.stderr.startswith("optbench: no asv results in")
    assert len(said.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
