"""The heat map: its numbers are the table's, and lightness alone tells their order."""

import re

import numpy as np
import pandas as pd
import pytest
from made_up_results import folder_of

from optbench.records import store
from optbench.records.frames import from_records
from optbench.report import heatmap, report, tables
from optbench.report.captions import Bold


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The tables of a folder of results, and the folder."""
    folder = folder_of(tmp_path_factory.mktemp("results"))
    records = [record for _, record in store.records(folder)]
    return {table.name: table for table in tables.make(from_records(records), records)}


@pytest.fixture(scope="module")
def grid(made):
    return heatmap.grid(made["headline"])


def cell(median, finished=5, best=False):
    return heatmap.Cell("a, b", "x", "jax", median, median, median, finished, 5, best)


def test_the_numbers_are_those_of_the_table(made, grid):
    data = made["headline"].data
    assert len(grid.cells) == len(data) == 10
    for row in data.to_dict("records"):
        found = grid.cells[row["label"], row["case"], row["framework"]]
        assert (
            found.median == row["median"] or np.isnan([found.median, row["median"]]).all()
        )
        assert (found.finished, found.runs) == (row["finished"], row["runs"])
        assert found.best == row["bold"]
    assert grid.optimizers == ["quick", "slow", "broken"]
    assert grid.frameworks == ["torch", "jax"]


def test_what_was_not_run_is_not_there_and_what_did_not_finish_says_so(grid):
    assert ("broken", grid.cases[0], "torch") not in grid.cells
    lost = grid.cells["broken", grid.cases[0], "jax"]
    assert (lost.number, lost.share) == ("", "0/3")
    assert "only 0 of 3 runs finished" in lost.sentence
    assert grid.colour(lost) == "#ffffff"


@pytest.mark.parametrize(
    ("median", "text"),
    [(1.58e-8, "1.6e-8"), (1.0, "1.0"), (32.4, "3.2e1"), (4.3e-1, "4.3e-1"), (0.0, "0.0")],
)
def test_a_number_is_short(median, text):
    assert cell(median).number == text
    assert cell(median).share == ""
    assert cell(median, finished=4).share == "4/5"


def test_a_cell_says_an_interval_of_five_seeds_and_since_when_nothing_moved():
    assert "95 % interval" in cell(0.5).sentence
    few = cell(0.5)._replace(runs=4, finished=4)
    assert few.sentence == "x, jax, on a, b: median error 5.0e-01, 4 of 4 runs finished"
    stopped = cell(0.5)._replace(stopped=2, moved_first=21, moved_last=238, steps=6e4)
    assert stopped.number == "5.0e-1†"
    assert stopped.sentence.endswith(
        "in 2 of them nothing moved after step 21 to 238 of 60,000"
    )


def lightness(colour):
    """L* of CIELAB."""
    y = heatmap.luminance(colour)
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def test_lightness_alone_tells_the_order(grid):
    errors = np.geomspace(grid.norm.vmin, heatmap.LARGEST, 100)
    values = [lightness(grid.colour(cell(error))) for error in errors]
    steps = np.diff(values)
    assert (steps > 0).all()
    assert steps.max() < 2 * np.median(steps)  # perceptually uniform, or nearly
    assert grid.colour(cell(50.0)) == grid.colour(cell(1.0))


def test_text_keeps_its_contrast(grid):
    for error in np.geomspace(grid.norm.vmin, heatmap.LARGEST, 100):
        colour = grid.colour(cell(error))
        light, dark = sorted(
            (heatmap.luminance(colour), heatmap.luminance(heatmap.ink(colour))),
            reverse=True,
        )
        assert (light + 0.05) / (dark + 0.05) >= 4.5
    assert heatmap.ink("#ffffff") == "#000000"


def test_names_of_cases_are_short():
    assert heatmap.lines("Poisson 2d, D = 257, the paper's") == (
        "Poisson 2d",
        "D=257, paper",
    )


def headline(*rows):
    """A headline of (case, optimizer, framework, median)."""
    names = ["case", "label", "framework", "median"]
    data = pd.DataFrame(rows, columns=names).assign(
        low=1.0, high=1.0, finished=1, runs=1, bold=False, stopped=0, tuned=False
    )
    data = data.assign(moved_first=np.nan, moved_last=np.nan, steps=9.0)
    shown = data[["label", "framework"]].drop_duplicates()
    shown = shown.rename(columns={"label": "optimizer"})
    cases = dict.fromkeys(data["case"], "")
    return tables.Table(
        name="headline", heading="", title="", data=data, shown=shown.assign(**cases)
    )


def test_optimizers_are_in_the_order_of_their_mean_rank():
    grid = heatmap.grid(
        headline(
            ("a", "worst", "jax", 0.3),
            ("a", "best", "jax", 0.1),
            ("a", "second", "jax", 0.2),
            ("b", "worst", "jax", np.nan),  # none finished
            ("b", "best", "jax", 0.2),
            ("b", "second", "jax", 0.1),
            ("c", "best", "jax", 0.1),
            ("c", "second", "jax", 0.2),  # and `worst` was not run
        )
    )
    assert grid.optimizers == ["best", "second", "worst"]


def test_a_case_has_a_row_for_each_framework_in_which_it_was_run():
    grid = heatmap.grid(
        headline(("a", "x", "torch", 0.3), ("b", "x", "jax", 0.1), ("a", "x", "jax", 0.2))
    )
    assert grid.rows == [("a", "torch"), ("a", "jax"), ("b", "jax")]


def test_a_row_of_the_figure_is_as_high_however_many_there_are(grid, tmp_path):
    names = {path.name for path in heatmap.draw(grid, tmp_path)}
    assert names == {"heatmap.pdf", "heatmap.svg"}
    cells = {
        (optimizer, f"{case} {number}", framework): each
        for (optimizer, case, framework), each in grid.cells.items()
        for number in range(10)
    }
    sizes = []
    for shown in (
        grid,
        grid._replace(cells=cells, cases=list(dict.fromkeys(case for _, case, _ in cells))),
    ):
        heatmap.draw(shown, tmp_path)
        text = (tmp_path / "heatmap.svg").read_text()
        sizes.append(map(float, re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2]))
    (width, height), (wide, high) = sizes
    more = len(cells) / len(grid.cells) * len(grid.rows) - len(grid.rows)
    assert wide == pytest.approx(width, rel=0.1)
    assert high - height == pytest.approx(72 * heatmap.ROW * more, rel=0.05)


def test_the_interval_of_the_best_is_in_the_tables_from_five_seeds_on():
    row = {"median": 1e-3, "low": 1e-4, "high": np.nan, "finished": 4, "runs": 5}
    row |= {"bold": True, "stopped": 0}
    assert str(tables._cell(row)) == "1.0e-03 (4/5) [1.0e-04, –]"
    assert str(tables._cell(row | {"runs": 4})) == "1.0e-03"
    assert str(tables._cell(row | {"bold": False})) == "1.0e-03 (4/5)"


def test_the_short_table_has_the_hardest_cases_and_the_best_on_them():
    names = [f"case {number}" for number in range(6)]
    rows = [
        {
            "case": name,
            "label": f"o{label}",
            "framework": framework,
            # o8 wins the last case alone, and is the last on all others
            "median": 10.0 ** (number - 9)
            * (label + 2 if label < 8 else 99 if number < 5 else 1)
            * (1 if framework == "jax" else 3),
            "finished": 4,
            "runs": 4,
            "bold": framework == "jax" and label == (8 if number == 5 else 0),
            "stopped": 0,
            "tuned": number == 5,
        }
        for number, name in enumerate(names)
        for label in range(9)
        for framework in ("torch", "jax")
    ]
    shown = pd.DataFrame({"optimizer": [f"o{label}" for label in range(9)]}).assign(
        framework="jax", **dict.fromkeys(names, "")
    )
    wide = tables.Table(
        name="headline", heading="", title="", data=pd.DataFrame(rows), shown=shown
    )
    short = tables.hardest(wide)
    assert list(short.shown) == ["optimizer", *names[2:]]
    assert list(short.shown["optimizer"]) == ["o0", "o1", "o2", "o3", "o4", "o5", "o8"]
    assert short.shown.iloc[-1]["case 5"] == Bold("1.0e-04")
    assert set(short.data["framework"]) == {"jax"}
    assert "The 4 hardest cases: those on which the best" in short.title
    assert short.title.endswith("Hyperparameters were tuned on: case 5.")


def test_what_only_some_optimizers_ran_does_not_order_them():
    """The paper's hyperparameters are for the paper's optimizers alone."""
    ran = [
        ("a", name, "jax", error) for name, error in (("x", 1e-3), ("y", 1e-2), ("z", 1))
    ]
    grid = heatmap.grid(headline(*ran, *(("b", name, "jax", 1e-9) for name in ("z", "y"))))
    assert grid.optimizers == ["x", "y", "z"]


def test_a_small_campaign_is_in_the_short_table_as_a_whole(made):
    short = made["hardest"]
    assert list(short.shown["optimizer"]) == ["quick", "slow", "broken"]
    assert short.title.startswith(
        "All cases. All optimizers, in the order of their mean rank"
    )
    assert (short.shown.iloc[2, 1:] == "– (0/3)").all()


def test_every_table_of_a_report_has_a_heading_of_its_own(made):
    headings = [table.heading for table in made.values()]
    assert all(headings)
    assert len(set(headings)) == len(headings)
    assert report.TABLES == "tables"
