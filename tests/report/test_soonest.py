"""Who is at 1e-3 soonest: over the fastest of the case, on two clocks."""

import pytest
from made_up_results import ran

from optbench.records.frames import from_records
from optbench.report import heatmap, soonest, tables


def slow_to_compile(record, seconds):
    clock = record.clock | {"setup": 0.0, "compile": seconds, "warm_up": 0.0}
    return record.model_copy(update={"clock": clock})


RECORDS = [
    slow_to_compile(ran("soon", [1, 1, 1e-4]), 8.0),
    slow_to_compile(ran("late", [1, 1, 1, 1, 1e-3]), 1.0),
    *(ran("lucky", [1, error], seed) for seed, error in enumerate((1e-5, 0.1, 0.1))),
    ran("never", [1, 0.5]),
]


@pytest.fixture(scope="module")
def made():
    return {table.name: table for table in tables.make(from_records(RECORDS), RECORDS)}


def test_each_clock_has_its_own_fastest(made):
    shown = made["soonest"].shown
    cells = dict(zip(shown["optimizer"], shown.iloc[:, -1].map(str), strict=True))
    assert cells == {"soon": "1 | 2.0", "late": "2.0 | 1", "lucky": "–", "never": "–"}


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1.0, "1"), (1.04, "1.0"), (9.94, "9.9"), (9.96, "10"), (1234.5, "1,234")],
)
def test_a_ratio_is_short(ratio, text):
    assert soonest.number(ratio) == text
    assert soonest.number(float("inf")) == "–"


def test_the_figure_has_the_cases_on_which_most_runs_of_somebody_come_there(made, tmp_path):
    grid = heatmap.grid(made["headline"])
    drawn = soonest.draw(made["soonest"], grid, tmp_path)
    assert [path.name for path in drawn] == ["soonest.pdf", "soonest.svg"]
    alone, nobody, a_third_of_one = RECORDS[:1], RECORDS[-1:], RECORDS[2:]
    for records in (alone, nobody, a_third_of_one):
        other = {it.name: it for it in tables.make(from_records(records), records)}
        grid = heatmap.grid(other["headline"])
        assert soonest.draw(other["soonest"], grid, tmp_path) == []
