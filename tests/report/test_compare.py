"""Beside published runs: the same cases, the same seconds, the place that errors give."""

import numpy as np
import pytest
from made_up_results import ran

from optbench.cli import results
from optbench.records import palette, store
from optbench.records.frames import from_records
from optbench.report import compare

THEIRS = [
    ran("slow", [1, 0.9, 0.8, 0.7, 0.01]),
    ran("quick", [1, 0.1, 0.09, 0.08, 0.07]),
    ran("elsewhere", [1, 1e-9], network="tanh_5"),
]


def test_errors_are_those_of_the_same_seconds():
    mine = from_records([ran("slow", [1, 0.5, 0.2], seconds=2.0)])
    found = compare.beside(mine, from_records(THEIRS))
    assert found.table[["place", "label", "median"]].to_numpy().tolist() == [
        [1, "quick", 0.09],
        [2, "yours: slow", 0.2],
        [3, "slow", 0.8],
    ]
    assert found.table["seconds"].tolist() == [2.0] * 3
    assert found.table["ours"].tolist() == [False, True, False]
    assert found.table[["low", "high"]].isna().all(axis=None)
    assert found.alone == []
    said = compare.text(found)
    assert "after 2 optimizer seconds" in said
    assert "2 of 3" in said
    assert "elsewhere" not in said
    # the figure has whole runs, each with its own history
    runs, history = found.frames
    assert sorted(runs["label"]) == ["quick", "slow", "yours: slow"]
    assert history.groupby("run").size().sort_values().tolist() == [3, 5, 5]
    assert set(history["run"]) == set(runs["run"])
    # in one panel, and the user's in a colour of its own
    assert palette.panels(runs).nunique() == 1
    assert dict(zip(runs["label"], runs["optimizer"], strict=True)) == {
        "yours: slow": "yours: slow",
        "slow": "sgd",
        "quick": "sgd",
    }


def test_a_run_that_diverged_is_last_and_five_seeds_have_an_interval():
    mine = [ran("mine", [1, 0.02 + seed / 1000], seed) for seed in range(5)]
    lost = ran("lost", [1, 1e-9]).model_copy(update={"status": "diverged"})
    found = compare.beside(from_records(mine), from_records([*THEIRS, lost])).table
    assert found["label"].tolist() == ["slow", "yours: mine", "quick", "lost"]
    row = found.iloc[1]
    assert (row["median"], row["runs"]) == (0.022, 5)
    assert 0.02 <= row["low"] < row["median"] < row["high"] <= 0.024
    assert np.isinf(found.iloc[3]["median"])
    assert found.iloc[3]["place"] == 4


@pytest.mark.parametrize(
    "other",
    [
        {"network": "tanh_4_4"},
        {"points": {"interior": 8, "boundary": 6}},
        {"resample_every": 5},
        {"dtype": "float32"},
    ],
)
def test_another_case_is_not_compared(other):
    mine = from_records([ran("mine", [1, 0.5]), ran("mine", [1, 0.5], **other)])
    found = compare.beside(mine, from_records(THEIRS))
    assert found.table["label"].tolist().count("yours: mine") == 1
    if "network" in other:
        assert len(found.alone) == 1
        assert "nobody has published this case" in compare.text(found)
    with pytest.raises(compare.NothingInCommon, match=r"none of .* is a case") as caught:
        compare.beside(from_records([ran("mine", [1, 0.5], **other)]), from_records(THEIRS))
    assert "\n" not in str(caught.value)


def test_the_command_writes_a_table_and_a_figure(tmp_path, capsys):
    for folder, records in (("mine", [ran("mine", [1, 0.05])]), ("theirs", THEIRS)):
        for record in records:
            store.write(store.path(tmp_path / folder, record.request), record)
    out = tmp_path / "out"
    results.compare([tmp_path / "mine"], tmp_path / "theirs", out)
    said = capsys.readouterr().out
    assert "yours: mine" in said
    assert sorted(file.name for file in out.iterdir()) == [
        "compare.md",
        "curves.png",
        "curves.svg",
    ]
    assert all(f"written: {file}" in said for file in out.iterdir())
    assert (out / "compare.md").read_text().count("yours: mine") == 1
