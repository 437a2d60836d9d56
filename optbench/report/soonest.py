"""Who comes to a relative L2 error of 1e-3 soonest: seconds over the fastest's, twice.

One clock counts the optimizer's steps alone and flatters who compiles for long. The other
counts set-up, compilation and warm-up too, and flatters who compiles little where a run is
short. So both are shown.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, to_hex

from optbench.records.palette import write
from optbench.report import heatmap, statistics
from optbench.report.captions import Bold, Table
from optbench.report.heatmap import MAP, Grid
from optbench.report.statistics import CASE

NAME = "soonest"  # of the table and the figure
TARGET = 1e-3
# the seconds of each clock, and the column of their ratios
RATIOS = {"seconds": "over_fastest", "total_seconds": "total_over_fastest"}
NORM = LogNorm(1, 100, clip=True)  # from 100 times the fastest on it is the lightest


def table(reached: Any, headline: Table) -> Table:
    """Show how many times as long as the fastest each solver takes on each case.

    Rows and columns are those of the headline. A ratio is infinite where at most half
    of the runs came to the target.
    """
    data: Any = statistics.times(statistics.to_target(reached, TARGET))
    for seconds, ratio in RATIOS.items():
        data[ratio] = data.groupby(CASE)[seconds].transform(
            lambda each: statistics.ratios(each.fillna(np.inf).to_numpy()[None])[0]
        )
    cells = {
        (row["label"], row["framework"], row["case"]): _cell(row)
        for row in data.to_dict("records")
    }
    shown = headline.shown[["optimizer", "framework"]]
    solvers = list(shown.itertuples(index=False, name=None))
    cases = [name for name in headline.shown if name not in shown]
    return Table(
        name=NAME,
        heading=f"Who is at {TARGET:.0e} soonest",
        title=(
            "Seconds until the relative L2 error was first recorded at or below "
            f"{TARGET:.0e}, over those of the fastest solver of the case; medians over "
            "seeds. Before the bar the optimizer's steps alone are counted, behind it "
            "set-up, compilation and warm-up too. Bold: the fastest by either clock. A "
            "dash stands where at most half of the runs came there."
        ),
        data=data,
        shown=shown.assign(
            **{
                case: [cells.get((*solver, case), "not run") for solver in solvers]
                for case in cases
            }
        ),
    )


def _cell(row: dict[str, Any]) -> str | Bold:
    ratios = [row[ratio] for ratio in RATIOS.values()]
    if not np.isfinite(ratios).any():
        return "–"
    words = " | ".join(map(number, ratios))
    return Bold(words) if 1 in ratios else words


def number(ratio: float) -> str:
    """Write a ratio: 1 is the fastest's own."""
    if math.isinf(ratio):
        return "–"
    return "1" if ratio == 1 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def draw(table: Table, grid: Grid, folder: Path) -> list[Path]:
    """Draw the table's numbers as a map beside that of the errors; its paths, or none.

    Of a cell's two lines the upper counts steps alone. Cases that one solver ran alone are
    left out, and those in which nobody came to the target in more than half of the runs.
    """
    came = table.data[list(RATIOS)].notna().any(axis=1)
    several = table.data["case"].duplicated(keep=False)
    data: Any = table.data[came & several]
    reached = data[["case", "framework"]].drop_duplicates().to_numpy().tolist()
    rows = [row for row in grid.rows if list(row) in reached]
    if not rows:
        return []
    found = {
        (row["label"], row["case"], row["framework"]): row
        for row in table.data.to_dict("records")
    }
    values = [
        [found.get((name, *row), {}).get(ratio, np.inf) for name in grid.optimizers]
        for row in rows
        for ratio in RATIOS.values()
    ]
    shown = np.where(np.isfinite(values), values, np.nan)
    axes, size = heatmap.sheet(grid, rows, shown, NORM)
    for (y, x), ratio in np.ndenumerate(np.array(values)):
        if (grid.optimizers[x], *rows[y // 2]) not in found:
            heatmap.hatch(axes, x, y)
            continue
        colour = heatmap.ink("#ffffff" if math.isinf(ratio) else to_hex(MAP(NORM(ratio))))
        look: Any = {"ha": "center", "va": "center", "color": colour}
        look["fontweight"] = "bold" if ratio == 1 else "normal"
        axes.text(x + 0.5, y + 0.53, number(ratio), fontsize=0.75 * size, **look)
    fastest: Any = data.groupby("case")[list(RATIOS)].min()
    for y, (case, _) in enumerate(rows):
        for line, seconds in enumerate(fastest.loc[case]):
            words = f"{seconds:.3g} s"
            axes.text(
                len(grid.optimizers) + 0.2,
                2 * y + line + 0.53,
                words,
                va="center",
                fontsize=8,
            )
    tuned = f"; {heatmap.TUNED}: tuned on this case" * bool(grid.tuned)
    axes.set_xlabel(
        f"seconds to {TARGET:.0e} over the fastest's, which stand on the right\n"
        "upper line: the optimizer's steps alone; lower line: with set-up and compilation"
        + tuned,
        fontsize=11,
    )
    return write(axes.figure, folder, NAME, heatmap.FORMATS)
