"""Tables: medians over seeds, failures counted, nothing mixed that is not alike."""

import io
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from fakes import Fake, request
from matplotlib.cbook import is_math_text

from optbench.records import palette
from optbench.records.frames import from_records
from optbench.records.record import Origin, stopped
from optbench.report import captions, curves, summary


def records(rates=(0.5, 0.6, 0.7), **fields):
    """A run a seed; a rate above 1 diverges."""
    return [
        Fake().perform(
            request(
                seed=seed,
                hyperparameters={"learning_rate": rate, "momentum": 0.9},
                **fields,
            )
        )
        for seed, rate in enumerate(rates)
    ]


def alike(found):
    """The same hyperparameters on every record: the runs differ by their seeds alone."""
    same = {"learning_rate": 0.5, "momentum": 0.9}
    return [
        record.model_copy(
            update={"request": record.request.model_copy(update={"hyperparameters": same})}
        )
        for record in found
    ]


def test_a_row_has_the_median_and_the_quartiles_of_its_seeds():
    found = alike(records())
    row = summary.summarise(from_records(found)).iloc[0]
    errors = [record.history[-1].relative_l2 for record in found]
    assert row["runs"] == row["finished"] == 3
    assert row["relative_l2"] == np.median(errors)
    assert [row["relative_l2_q25"], row["relative_l2_q75"]] == np.quantile(
        errors, [0.25, 0.75], method="inverted_cdf"
    ).tolist()
    assert row["ms_per_step"] == pytest.approx(1000)
    assert row["parameters"] == 17


def test_of_two_seeds_the_larger_error_is_the_median_as_in_every_other_table():
    found = alike(records((0.5, 0.6)))
    low, high = sorted(record.history[-1].relative_l2 for record in found)
    row = summary.summarise(from_records(found)).iloc[0]
    assert low < high
    assert [row[f"relative_l2{end}"] for end in ("_q25", "", "_q75")] == [low, high, high]


@pytest.mark.parametrize("origin", get_args(Origin))
def test_a_row_says_where_its_hyperparameters_are_from(origin):
    found = records()
    labels = found[0].request.labels.model_copy(update={"hyperparameters_from": origin})
    found = [
        r.model_copy(update={"request": r.request.model_copy(update={"labels": labels})})
        for r in found
    ]
    said = {"paper": "the paper's"}.get(origin, origin)
    text = summary.render(summary.summarise(from_records(found)), "markdown")
    assert text.splitlines()[-1].split("|")[-2].strip() == said


def test_a_diverged_run_is_counted_and_its_final_error_is_not():
    found = alike(records((0.5, 0.6, 1e200)))
    row = summary.summarise(from_records(found)).iloc[0]
    assert (row["runs"], row["finished"], row["status"]) == (3, 2, "2 finished, 1 diverged")
    assert row["relative_l2"] == max(record.history[-1].relative_l2 for record in found[:2])
    assert " 2/3 " in summary.render(summary.summarise(from_records(found)), "text")


def test_a_case_without_a_finished_run_is_a_row_without_an_error():
    text = summary.render(summary.summarise(from_records(records((1e200,)))), "text")
    assert "diverged" in text
    assert "–" in text


def test_versions_and_machines_are_not_mixed():
    (record,) = records((0.5,))
    newer = record.model_copy(
        update={"request": record.request.model_copy(update={"optimizer_version": 2})}
    )
    provenance = record.provenance.model_copy(update={"machine": "another"})
    elsewhere = record.model_copy(update={"provenance": provenance})
    assert len(summary.summarise(from_records([record, newer]))) == 2
    assert len(summary.summarise(from_records([record, elsewhere]))) == 2
    assert "c on another:" in summary.render(
        summary.summarise(from_records([record, elsewhere])), "text"
    )


def test_optimizers_that_saw_different_batches_are_told_apart():
    (one,), (other,) = (
        records((0.5,)),
        records((0.5,), points={"interior": 12, "boundary": 6}),
    )
    labels = other.request.labels.model_copy(update={"optimizer": "sgd, more"})
    other = other.model_copy(
        update={"request": other.request.model_copy(update={"labels": labels})}
    )
    text = summary.render(summary.summarise(from_records([one, other])), "text")
    assert (
        "different batches: sgd: 9 interior and 6 boundary points (one fixed batch); sgd, "
        "more: 12" in text
    )


def test_the_best_is_first():
    table = summary.summarise(from_records(records((0.9, 0.5))))
    assert table["relative_l2"].is_monotonic_increasing


def test_csv_and_markdown():
    table = summary.summarise(from_records(records((0.5,))))
    back = pd.read_csv(io.StringIO(summary.render(table, "csv")))
    assert back["relative_l2"][0] == table["relative_l2"][0]
    markdown = summary.render(table, "markdown")
    assert markdown.startswith(
        "### poisson_sine_2d, tanh_4 (D = 17), 9 interior and 6 boundary points"
    )
    assert "| sgd" in markdown
    assert "ms/step" in markdown


def test_a_panel_says_d_once():
    runs = pd.DataFrame(
        {
            "case": ["exp20", "heat, D = 257", "heat, D = 257"],
            "parameters": [116097, 257, 449],
            "campaign": "c",
            "machine": "m",
        }
    )
    names = ["exp20 (D = 116,097)", "heat, D = 257", "heat, D = 257 (D = 449)"]
    assert palette.panels(runs).tolist() == names
    two = palette.panels(runs.assign(machine=["m", "m", "n"])).tolist()
    places = ["c on m: ", "c on m: ", "c on n: "]
    assert two == [place + name for place, name in zip(places, names, strict=True)]


def test_a_campaign_without_a_step_has_no_figure(tmp_path):
    (record,) = records((0.5,))
    lost = record.model_copy(update={"status": "failed", "history": (), "steps": 0})
    assert curves.draw(from_records([lost]), tmp_path) == []


def test_a_figure_is_the_same_for_the_same_numbers(tmp_path):
    frames = from_records(records((0.5, 0.9)))
    (png, svg), again = curves.draw(frames, tmp_path), tmp_path / "again"
    again.mkdir()
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.read_bytes() == curves.draw(frames, again)[1].read_bytes()


def still(record, since, redrawn=False):
    """The record with errors and losses that no step after one of them changes."""
    rows, last = [], record.history[0]
    for row in record.history:
        last = row if row.step <= since else last
        same = {name: getattr(last, name) for name in ("relative_l2", "rms")}
        same |= {} if redrawn else {"interior": last.interior, "boundary": last.boundary}
        rows.append(row.model_copy(update=same))
    request = record.request.model_copy(update={"resample_every": int(redrawn)})
    return record.model_copy(update={"history": tuple(rows), "request": request})


def test_what_moved_in_the_last_third_has_no_mark():
    (record,) = records((0.5,), steps=30)
    for since, redrawn, end in (
        (30, False, None),
        (21, False, None),
        (20, False, 20),
        (20, True, 20),
        (7, False, 7),
        (0, False, 0),
    ):
        found = stopped(still(record, since, redrawn))
        assert (found.step if found else None) == end, since
    moving = still(record, 7).model_copy(
        update={
            "history": tuple(
                row.model_copy(update={"interior": float(number)})
                for number, row in enumerate(still(record, 7).history)
            )
        }
    )
    assert stopped(moving) is None  # the loss says that it moves
    lost = [row.model_copy(update={"relative_l2": np.nan}) for row in record.history]
    assert stopped(record.model_copy(update={"history": tuple(lost)})) is None
    short = record.history[:1]
    assert stopped(record.model_copy(update={"history": short})) is None


def test_a_run_that_stopped_is_marked_and_its_steps_cost_what_those_that_moved_did():
    found = alike(records((0.5, 0.5, 0.5), steps=30))
    # the steps after the seventh took no time worth the name
    quick = [
        row.model_copy(update={"seconds": min(row.seconds, 14.0) * 2})
        for row in found[0].history
    ]
    found[0] = still(found[0].model_copy(update={"history": tuple(quick)}), 7)
    found[1] = still(found[1], 9)
    runs = from_records(found).runs
    assert runs["moved_until"].tolist()[:2] == [7, 9]
    assert np.isnan(runs["moved_until"][2])
    assert runs["step_seconds"].tolist() == pytest.approx([2, 1, 1])
    row = summary.summarise(from_records(found)).iloc[0]
    assert (row["stopped"], row["moved_until"]) == (2, 8)
    for style in ("text", "markdown"):
        text = summary.render(summary.summarise(from_records(found)), style)
        assert "†" in text
        assert (
            "† sgd, torch: neither loss nor error changed after step 7 to 9 of 30 (2/3)"
            in text
        )
    assert "†" not in summary.render(summary.summarise(from_records(records())), "text")


def test_two_devices_are_two_cases():
    found = alike(records((0.5, 0.6)))
    for number, device in enumerate(("cpu", "NVIDIA H100")):
        provenance = found[number].provenance.model_copy(update={"device": device})
        found[number] = found[number].model_copy(update={"provenance": provenance})
    assert list(summary.summarise(from_records(found))["case"]) == [
        "poisson_sine_2d, tanh_4, on cpu",
        "poisson_sine_2d, tanh_4, on NVIDIA H100",
    ]
    same = from_records(found[:1]).runs["case"].tolist()
    assert same == ["poisson_sine_2d, tanh_4"]


def test_a_caption_says_how_fast_each_framework_multiplies():
    told = {"torch": [30e9, 50e9, 40e9], "jax": [120e9]}
    (model,) = alike(records((0.5,)))
    found = [
        model.model_copy(
            update={
                "request": model.request.model_copy(update={"framework": framework}),
                "provenance": model.provenance.model_copy(
                    update={"product_rates": {"512³": rate, "tall": rate / 2}}
                ),
            }
        )
        for framework, rates in told.items()
        for rate in rates
    ]
    words = (
        "the frameworks' own products in Gflop/s: jax 120 (512³) and 60 (tall), "
        "torch 40 (512³) and 20 (tall); "
    )
    assert captions.rates(found) == words
    assert words in captions.source(found, Path("nowhere")).text
    assert captions.rates(found[:3]) == captions.rates([model] * 2) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("$5 to $6", r"\$5 to \$6"),
        (r"a \$b", r"a \\$b"),
        ("_hidden_", " _hidden_"),
        ("a\nb", r"a\nb"),
        ("中 ≥ Δ", "(U+4E2D) ≥ Δ"),
    ],
)
def test_a_name_in_a_figure_is_text(name, text):
    found = palette.text(name)
    assert found == text
    assert not is_math_text(found)


def test_a_figure_has_a_limit_and_says_what_is_left_out(tmp_path):
    names = [f"case {number}" for number in range(palette.MOST + 5)]
    data, note = palette.first(pd.DataFrame({"panel": names * 2}))
    assert [*dict.fromkeys(data["panel"])] == names[: palette.MOST]
    assert note == f"The first {palette.MOST} of {palette.MOST + 5} cases"
    assert palette.first(pd.DataFrame({"panel": names[:3]}))[1] == ""


def test_terms_are_spoken_of_by_name():
    """With weights that are not 1, and with what a CSV of two plain terms has not."""
    terms = {
        "problem": "burgers_1d",
        "points": {"interior": 9, "initial": 6, "boundary": 4},
        "weights": {"interior": 1.0, "initial": 100.0, "boundary": 1.0},
        "sampling": "sobol",
    }
    table = summary.summarise(from_records(records((0.5,), **terms)))
    words = "9 interior, 6 initial (weight 100) and 4 boundary points (Sobol sequence, one"
    for style in ("text", "markdown"):
        assert words in summary.render(table, style)
    back = pd.read_csv(io.StringIO(summary.render(table, "csv"))).iloc[0]
    assert [back[f"{name}_points"] for name in terms["points"]] == [9, 6, 4]
    assert back["weights"] == "interior=1, initial=100, boundary=1"
    assert back["sampling"] == "sobol"
    plain = summary.summarise(from_records(records((0.5,))))
    two = pd.read_csv(io.StringIO(summary.render(plain, "csv")))
    assert not {"weights", "sampling", "march", "batches", "initial_points"} & set(two)
    both = from_records([*records((0.5,)), *records((0.5,), **terms)])
    assert len(summary.summarise(both)) == 2
    assert "9 interior and 6 boundary" in summary.render(summary.summarise(both), "text")
