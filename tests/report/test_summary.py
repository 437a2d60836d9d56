"""Tables: medians over seeds, failures counted, nothing mixed that is not alike."""

import io
from typing import get_args

import numpy as np
import pandas as pd
import pytest
from fakes import Fake, request

from optbench.records import palette
from optbench.records.frames import from_records
from optbench.records.record import Origin, Points
from optbench.report import curves, summary


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
        errors, [0.25, 0.75]
    ).tolist()
    assert row["ms_per_step"] == pytest.approx(1000)
    assert row["parameters"] == 17


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
    assert row["relative_l2"] == np.median(
        [record.history[-1].relative_l2 for record in found[:2]]
    )
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
        records((0.5,), points=Points(interior=12, boundary=6)),
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
