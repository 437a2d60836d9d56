"""asv's results as a frame, and what is drawn from them: made-up numbers, asv's format."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from commands import cli
from made_up_asv import NAN, benchmark, cells, noisy, write
from typer.testing import CliRunner

import optbench
from optbench.cli.app import app
from optbench.measure import asv_report, asv_results, scale
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


@pytest.mark.parametrize(
    ("ram", "bytes"),
    [
        (16_000_000_000, 1.6e10),
        ("33395326976", 33395326976),
        ("32612624", 32612624 * 1024),  # as asv wrote on Linux: KiB
        (32612624, 32612624 * 1024),
        ("32612624 kB", 32612624 * 1024),  # as /proc/meminfo does
        ("64GB", 6.4e10),
        ("64 gb of DDR4", 6.4e10),
        ("16 GiB", 16 * 2**30),
        ("31Gi", 31 * 2**30),
        ("16,384 MB", 1.6384e10),
        ("1.5 TiB", 1.5 * 2**40),
        ("8000000000 bytes", 8e9),
        *(
            (unclear, np.nan)
            for unclear in (
                *("unknown", "", None, True, [], {}, "64", "2x32GB", "2 x 32 GB", "-8 GB"),
                *("1,5 GB", "16384", "NaN", float("nan"), float("inf"), "64 parsecs"),
                "2147483648",  # 2 GiB in bytes, 2 TiB in KiB
            )
        ),
    ],
)
def test_a_machine_s_memory_may_be_any_text(ram, bytes):
    assert asv_results.memory(ram) == pytest.approx(bytes, rel=1e-12, nan_ok=True)


@pytest.mark.medium
@pytest.mark.parametrize(("ram", "drawn"), [("7812500", True), ("plenty", False)])
def test_a_figure_has_a_line_of_the_memory_where_it_is_known(tmp_path, ram, drawn):
    known = benchmark("width.Width.time_step", WIDTH), cells(WIDTH, width)
    sizes = benchmark("width.Parameters.track_parameters", ALONE), cells(ALONE, parameters)
    write(tmp_path, "m", [[known, sizes]], ram=ram)
    asv_report.report(optbench.load_asv(tmp_path), tmp_path, lambda _: None)
    drawing = (tmp_path / "m" / "cost_over_parameters.svg").read_text()
    assert ("a Gramian fills" in drawing) is drawn
    assert ("<!-- a Gramian fills 8 GB -->" in drawing) is drawn


@pytest.mark.parametrize("name", asv_results.COLUMNS)
def test_a_parameter_called_like_a_column_of_ours_does_not_replace_it(tmp_path, name):
    described = benchmark("a.time_a", {name: [7, 8], "size": [10, 20]})
    other = benchmark("a.time_b", {"n": [1]})
    write(tmp_path, "m", [[(described, [0.1, 0.2, 0.3, 0.4]), (other, [0.5])]])
    results = optbench.load_asv(tmp_path)
    renamed = described | {"param_names": ["it", "size"]}
    write(tmp_path, "m", [[(renamed, [0.1, 0.2, 0.3, 0.4]), (other, [0.5])]])
    plain = optbench.load_asv(tmp_path)
    ours = list(asv_results.COLUMNS)
    pd.testing.assert_frame_equal(results[ours], plain[ours])
    assert results[f"param {name}"].dropna().tolist() == [7, 7, 8, 8]
    assert results["size"].dropna().tolist() == [10, 20, 10, 20]


def test_no_two_parameters_have_one_name(tmp_path):
    described = benchmark("a.time_a", {"size": [1], "n": [2], "median": [3], "k": [4]})
    described["param_names"] = ["size", "size", "median", "param median"]
    write(tmp_path, "m", [[(described, [0.1])]])
    (row,) = optbench.load_asv(tmp_path).to_dict("records")
    names = ("size", "param size", "param median", "param param median")
    assert [row[name] for name in names] == [1, 2, 3, 4]


ONE, OTHER = "virtualenv-py3.11-jax0.10.2-torch2.13.0", "existing-py3.11"
SMALL = {"framework": FRAMEWORKS, "optimizer": ["sgd"], "problem": PROBLEMS}


def measured_in(root, environment, *commits, day=0, version="1"):
    described = benchmark("step.Step.time_step", SMALL, version=version)
    each = [[(described, values)] for values in commits]
    write(root, "m", each, environment=environment, first=day)


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ([2, 2, 1, 1], [6, 6, 3, 3], ONE),  # the one with the longer history
        ([2, 2, 1, 1], [6, NAN, NAN, NAN], ONE),  # a part does not stand for the whole
        ([2, NAN, NAN, NAN], [6, 6, 3, 3], OTHER),
        ([None, None, 1, 1], [6, 6, 3, 3], ONE),  # a failure is not mended by another one
        ([2, 2, 1, 1], [None, 6, 3, 3], OTHER),
    ],
)
def test_of_several_environments_one_is_shown_and_the_others_are_named(
    tmp_path, one, other, shown
):
    measured_in(tmp_path, ONE, [2, 2, 1, 1], one)
    measured_in(tmp_path, OTHER, other, day=1)
    frame = optbench.load_asv(tmp_path)
    cells = asv_report.newest(frame, asv_report.STEP)
    values = one if shown == ONE else other
    assert set(cells["environment"]) == {shown}
    np.testing.assert_array_equal(cells["median"], np.array(values, float))
    assert set(asv_report.history(frame, asv_report.STEP)["environment"]) == {shown}
    among = asv_report.environments(frame, asv_report.STEP)
    assert asv_report.heading(cells, among).endswith(
        "(virtualenv, py3.11, jax0.10.2, torch2.13.0)"
        if shown == ONE
        else "(existing, py3.11)"
    )
    (line,) = asv_report.unshown(frame, asv_report.STEP)
    unshown = (
        "existing, py3.11" if shown == ONE else "virtualenv, py3.11, jax0.10.2, torch2.13.0"
    )
    assert line.startswith(f"step.Step.time_step in {unshown}: ")


@pytest.mark.medium
def test_figures_and_tables_name_their_environment_where_there_are_several(tmp_path):
    measured_in(tmp_path, ONE, [2, 2, 1, 1], [2, 2, 1, 1])
    for others in (0, 1):
        if others:
            measured_in(tmp_path, OTHER, [6, 6, 3, 3], day=1)
        asv_report.report(optbench.load_asv(tmp_path), tmp_path, lambda _: None)
        drawing = (tmp_path / "m" / "time_over_commits.svg").read_text()
        named = "<!-- in virtualenv, py3.11, jax0.10.2, torch2.13.0 -->"
        assert drawing.count(named) == others
        table = (tmp_path / "m" / "step_cost.md").read_text()
        line = "step.Step.time_step in existing, py3.11: 4 cells at 1 commit not shown\n"
        assert table.count(line) == others


@pytest.mark.medium
def test_names_of_others_are_text_everywhere(tmp_path):
    names = ["a|b", "=1+1", "@y", "#z", r"$\foo$", "<i>", "a\nb", "_c"]
    params = {"framework": FRAMEWORKS, "optimizer": names, "problem": ["+p"]}
    ladder = {"framework": FRAMEWORKS, "optimizer": names, "width": list(SIZES)}
    found = [
        (benchmark("step.Step.time_step", params), [0.1] * len(cells(params, dict))),
        (benchmark("width.Width.time_step", ladder), [0.1] * len(cells(ladder, dict))),
        (
            benchmark("width.Parameters.track_parameters", ALONE, unit="parameters"),
            cells(ALONE, parameters),
        ),
    ]
    write(tmp_path, "m $x^", [found], environment="e-|")
    write(tmp_path, "m $x^", [found], environment="f-$x^", first=1)
    said = []
    asv_report.report(optbench.load_asv(tmp_path), tmp_path, said.append)
    folder = tmp_path / "m $x^"
    table = (folder / "step_cost.md").read_text().splitlines()
    rows = [line for line in table if line.startswith("| ")]
    assert len(rows) == 1 + len(names)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {
        len(rows[0].split("|")) - 1
    }
    assert "<i>" not in "".join(table)
    costs = pd.read_csv(folder / "step_cost.csv")
    assert list(costs["optimizer"]) == [
        "a|b",
        "'=1+1",
        "'@y",
        "#z",
        r"$\foo$",
        "<i>",
        "a\\nb",
        "_c",
    ]
    assert set(costs["problem"]) == {"'+p"}
    drawing = (folder / "time_over_commits.svg").read_text()
    assert "<!-- $\\foo$ -->" in drawing
    assert "<!-- in f, $x^ -->" in drawing


def test_environments_that_differ_are_told_apart_in_short():
    names = [
        "e-py3.11-jax0.10.2-numpy1-scipy1",
        "e-py3.11-jax0.10.2-numpy2-scipy1",
        "e-py3.12-jax0.10.2-numpy2-scipy1",
    ]
    shorts = [asv_results.in_short(name, names) for name in names]
    assert shorts == [
        "py3.11, jax0.10.2, numpy1",
        "py3.11, jax0.10.2, numpy2",
        "py3.12, jax0.10.2, numpy2",
    ]
    assert asv_results.in_short(names[0]) == "py3.11, jax0.10.2"
    assert asv_results.in_short("here") == "here"


def test_what_failed_in_the_chosen_environment_has_no_history(tmp_path):
    measured_in(tmp_path, ONE, [None, None, None, None])
    measured_in(tmp_path, OTHER, [6, 6, 3, NAN])
    frame = optbench.load_asv(tmp_path)
    assert set(asv_report.newest(frame, asv_report.STEP)["status"]) == {"failed"}
    assert asv_report.history(frame, asv_report.STEP).empty


def test_results_without_versions_are_compared(tmp_path):
    measured_in(tmp_path, ONE, [2, 2, 1, 1], [4, 4, 2, 2])
    for file in tmp_path.rglob("*.json"):
        file.write_text(file.read_text().replace('"version": "1"', '"version": null'))
        if file.parent != tmp_path and file.name != "machine.json":
            content = json.loads(file.read_text())
            for values in content["results"].values():
                values[content["result_columns"].index("version")] = None
            file.write_text(json.dumps(content))
    history = asv_report.history(optbench.load_asv(tmp_path), asv_report.STEP)
    assert history["relative"].tolist() == [1] * 4 + [2] * 4


def test_other_versions_and_orders_of_parameters_are_not_compared_and_that_is_said(
    tmp_path,
):
    measured_in(tmp_path, ONE, [9, 9, 9, 9], version="0")
    turned = dict(reversed(SMALL.items()))
    described = benchmark("step.Step.time_step", turned)
    write(tmp_path, "m", [[(described, [8, 8, 8, 8])]], environment=ONE, first=1)
    measured_in(tmp_path, ONE, [2, 2, 1, 1], day=2)
    frame = optbench.load_asv(tmp_path)
    # nothing is filed under another parameter's name
    assert set(frame["framework"].dropna()) == set(FRAMEWORKS)
    assert frame["median"][frame["framework"] == "jax"].tolist() == [9, 9, 1, 1]
    for rows in (
        asv_report.newest(frame, asv_report.STEP),
        asv_report.history(frame, asv_report.STEP),
    ):
        assert rows["median"].tolist() == [2, 2, 1, 1]
    reason = "4 cells at 1 commit not compared: benchmarks.json describes another version"
    assert list(asv_report.unshown(frame, asv_report.STEP)) == [
        f"step.Step.time_step: {reason} than {version}, or other parameters"
        for version in (0, 1)
    ]


def test_a_benchmark_of_ours_with_parameters_of_others_has_no_table(tmp_path):
    described = benchmark("step.Step.time_step", {"median": [1, 2], "size": [1]})
    write(tmp_path, "m", [[(described, [1.0, 2.0])]])
    said = []
    asv_report.report(optbench.load_asv(tmp_path), tmp_path / "out", said.append)
    assert said == [
        "step.Step.time_step: 2 cells at 1 commit not compared: compared is one benchmark "
        "with the parameters framework, optimizer, problem",
        f"written: {tmp_path / 'out' / 'm' / 'measurements.csv'}",
    ]


@pytest.fixture
def two_machines(tmp_path):
    """A good machine, one beside it to be spoilt, and the latter's result file."""
    for name in ("good", "worse"):
        write(tmp_path, name, [[(benchmark("a.time_a", {}), [1.0])]])
    (file,) = (tmp_path / "worse").glob("1*.json")
    return tmp_path, file


def spoilt(words, replacement):
    return lambda file: file.write_text(file.read_text().replace(words, replacement))


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("", lambda file: file.write_text(file.read_text()[:-20]), "torn or no JSON"),
        ("", spoilt('"version": 2', '"version": 1'), "`asv update`"),
        ("", spoilt('"results"', '"result"'), "no asv result: KeyError"),
        ("", lambda file: file.write_bytes(b"\xff\xfe"), "torn or no JSON"),
        ("", spoilt("a.time_a", "\\ud800"), "surrogates not allowed"),
        ("", lambda file: file.write_text("[]"), "no asv file"),
        ("", spoilt("[1.0]", "1.0"), "no asv result: TypeError"),
        ("", spoilt('"date": 86400000', '"date": NaN'), "date nan"),
        ("machine.json", lambda file: file.write_text("{"), "torn or no JSON"),
        ("machine.json", spoilt('"worse"', '"Good"'), "two machines of one name"),
        ("machine.json", spoilt('"worse"', '"../worse"'), "cannot name a folder"),
        (
            "double.json",
            lambda file: shutil.copy(next(file.parent.glob("1*.json")), file),
            "same commit in the same environment",
        ),
    ],
)
def test_one_bad_file_hides_no_good_ones(two_machines, name, spoil, said):
    folder, file = two_machines
    spoil(file.with_name(name) if name else file)
    with pytest.raises(InvalidRecord, match=said):
        optbench.load_asv(folder)
    lines = []
    frame = asv_results.load(folder, lines.append)
    assert set(frame["machine"]) == {"good", "worse"} - (
        {"worse"} if name != "double.json" else set()
    )
    (line,) = lines
    assert said in line
    assert "worse" in line


def test_where_nothing_can_be_read_the_first_reason_is_the_error(two_machines):
    folder, _ = two_machines
    for file in folder.rglob("1*.json"):
        file.write_text("{")
    lines = []
    with pytest.raises(InvalidRecord, match=r"good.*torn or no JSON"):
        asv_results.load(folder, lines.append)
    assert lines == []


@pytest.mark.parametrize(
    "name",
    [
        "../elsewhere",
        "/elsewhere",
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
        "C:b",
        "a\0",
        "a\n",
        "\ud800",
        ".a",
        "a" * 300,
        None,
        3,
    ],
)
def test_a_machine_s_name_leads_nowhere_else(two_machines, name):
    _, file = two_machines
    machine = file.with_name("machine.json")
    machine.write_text(json.dumps({"machine": name, "version": 1}))
    with pytest.raises(InvalidRecord, match=r"cannot name a folder|surrogates not allowed"):
        optbench.load_asv(machine.parent)


def test_the_command_shows_the_good_and_says_what_it_left_out(two_machines, monkeypatch):
    folder, file = two_machines
    file.write_text(file.read_text().replace('"version": 2', '"version": 1'))
    out = folder / "out"
    done = CliRunner().invoke(app, ["asv", str(folder), "--out", str(out)])
    assert done.exit_code == 2
    assert f"left out: {file}: asv's format 1" in done.output
    assert (out / "good" / "measurements.csv").is_file()
    assert not (out / "worse").exists()


def test_the_command_takes_an_environment_that_is_asked_for(tmp_path):
    for name, seconds in ((ONE, 1.0), (OTHER, 2.0)):
        described = benchmark("a.time_a", {})
        write(tmp_path, "m", [[(described, [seconds])]], environment=name)
    words = ["asv", str(tmp_path), "--out", str(tmp_path), "--environment"]
    assert CliRunner().invoke(app, [*words, "existing"]).exit_code == 0
    assert pd.read_csv(tmp_path / "m" / "measurements.csv")["median"].tolist() == [2]
    wrong = CliRunner().invoke(app, [*words, "conda"])
    assert wrong.exit_code == 2
    assert OTHER in wrong.output


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
