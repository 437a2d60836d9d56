"""What others have published beside ours: reached, not reached, or not comparable."""

import re

import pandas as pd
import pytest
from made_up_results import ran

from optbench import problems
from optbench.records.frames import from_records
from optbench.report import against_others, tables

THEIRS = pd.DataFrame(
    [
        ("poisson_sine_2d", 1e-2, "Adam", "", "", "arXiv 1", ""),
        ("poisson_sine_2d", 1e-6, "SSBroyden", "D = 2,011", "", "arXiv 2", ""),
        ("poisson_sine_2d", 1e-9, "other", "", "", "arXiv 3", "the domain is a circle"),
        ("wave_1d", 1e-3, "Adam", "", "", "arXiv 1", ""),
    ],
    columns=["problem", "error", "method", "network", "budget", "source", "differs"],
)
RUNS = [
    *(ran("good", [1, error], seed) for seed, error in enumerate((1e-5, 2e-4, 3e-3))),
    *(ran("lucky", [1, error], seed) for seed, error in enumerate((1e-8, 0.5, 0.6))),
    ran("lost", [1, 1e-12]).model_copy(update={"status": "diverged"}),
]


@pytest.fixture
def theirs(monkeypatch):
    monkeypatch.setattr(against_others, "published", lambda: THEIRS)


def test_the_best_median_is_held_against_every_published_error(theirs):
    data = against_others.compare(from_records(RUNS))
    assert data["label"].tolist() == ["good"] * 3
    assert data["median"].tolist() == [2e-4] * 3
    assert data["verdict"].tolist() == [
        "reached",
        "not reached",
        "not comparable: the domain is a circle",
    ]
    assert (data["low"].iloc[0], data["high"].iloc[0]) == (1e-5, 3e-3)
    shown = tables.beside_others(data).shown
    assert shown["ours"].tolist() == ["2.0e-04"] * 3
    assert shown["their network"].tolist() == ["–", "D = 2,011", "–"]


def test_nothing_is_shown_where_nobody_published_on_the_problem(theirs, tmp_path):
    records = [ran("good", [1, 0.1], problem="heat_sine_1d")]
    other = from_records(records)
    assert against_others.compare(other).empty
    assert against_others.draw(other, tmp_path) == []
    made = {table.name for table in tables.make(other, records)}
    assert "headline" in made
    assert against_others.NAME not in made


def test_the_figure_is_drawn_the_same_each_time(theirs, tmp_path):
    frames = from_records(RUNS)
    made = against_others.draw(frames, tmp_path)
    assert [file.name for file in made] == ["against_others.pdf", "against_others.svg"]
    content = [file.read_bytes() for file in made]
    assert [file.read_bytes() for file in against_others.draw(frames, tmp_path)] == content
    # the smallest of those on the same problem, not of all
    assert b"SSBroyden" in content[1]
    assert b"arXiv 3" not in content[1]


def test_every_published_row_has_a_problem_of_ours_an_error_and_a_source():
    theirs = against_others.published()
    assert set(theirs["problem"]) <= set(problems.names())
    assert theirs["error"].between(1e-17, 1).all()
    assert theirs["method"].str.len().gt(0).all()
    named = re.compile(r"arXiv \d{4}\.\d{5}|doi \S+|https://\S+")
    assert all(named.search(source) for source in theirs["source"])
    assert not theirs.duplicated(["problem", "method", "source", "differs"]).any()
