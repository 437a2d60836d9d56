"""The heat map: the median error of every optimizer on every case in every framework.

Its numbers are those of the table `headline`. The page shows it in HTML, and `draw` makes
the figure. Lightness alone tells the order: it can be read in grey too.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm, to_hex, to_rgb
from matplotlib.patches import Rectangle

from optbench.records.palette import text, write
from optbench.report import captions, statistics
from optbench.report.captions import Table

NAME = "heatmap"
FORMATS = ("pdf", "svg")
LARGEST = 1.0  # an error of this size or more has the lightest colour: nothing was learned
MAP = colormaps["viridis"]  # perceptually uniform, from dark to light
INKS = ("#000000", "#ffffff")
WIDTH, ROW = 10.4, 0.3  # inches: an SVG is about 1,000 pixels wide
LONGEST = 40  # characters of a name
TUNED = "‡"

Row = tuple[str, str]  # of a map: a case and a framework


class Cell(NamedTuple):
    """What one optimizer reached on one case in one framework."""

    case: str
    optimizer: str
    framework: str
    median: float  # not a number where most runs did not finish
    low: float
    high: float
    finished: int
    runs: int
    best: bool  # of the case, or its interval reaches the best
    stopped: int = 0  # runs in which nothing moved any more, the steps after which
    moved_first: float = math.nan
    moved_last: float = math.nan
    steps: float = math.nan

    @property
    def number(self) -> str:
        """The median as it is read in a small cell, marked where runs stopped moving.

        Empty where there is none.
        """
        if math.isnan(self.median):
            return ""
        digits, _, power = f"{self.median:.1e}".partition("e")
        number = f"{digits}e{int(power)}" if int(power) else digits
        return number + captions.mark(self.stopped)

    @property
    def share(self) -> str:
        """How many runs finished, where not all did."""
        return "" if self.finished == self.runs else f"{self.finished}/{self.runs}"

    @property
    def interval(self) -> str:
        """The interval of the median; empty where there are too few runs for one."""
        if self.runs < statistics.LEAST:
            return ""
        ends = ("∞" if math.isnan(end) else f"{end:.1e}" for end in (self.low, self.high))
        return " to ".join(ends)

    @property
    def sentence(self) -> str:
        """The cell in words."""
        who = f"{self.optimizer}, {self.framework}, on {self.case}: "
        if math.isnan(self.median):
            return f"{who}only {self.finished} of {self.runs} runs finished"
        words = [f"{who}median error {self.median:.1e}"]
        if self.interval:
            words.append(f"95 % interval {self.interval}")
        words.append(f"{self.finished} of {self.runs} runs finished")
        if self.stopped:
            steps = captions.moved(self.moved_first, self.moved_last, self.steps)
            words.append(f"in {self.stopped} of them nothing moved after step {steps}")
        return ", ".join(words)


class Grid(NamedTuple):
    """Optimizers, cases and cells; a cell that was not run is not there."""

    optimizers: list[str]
    cases: list[str]
    frameworks: list[str]
    cells: dict[tuple[str, str, str], Cell]  # by optimizer, case and framework
    tuned: set[str]  # cases on which hyperparameters were tuned

    @property
    def rows(self) -> list[Row]:
        """The cases, each with the frameworks in which it was run."""
        ran = {(case, framework) for _, case, framework in self.cells}
        rows = [(case, framework) for case in self.cases for framework in self.frameworks]
        return [row for row in rows if row in ran]

    @property
    def norm(self) -> LogNorm:
        """From the power of ten below the smallest median to LARGEST."""
        medians = [cell.median for cell in self.cells.values() if cell.median > 0]
        smallest = min([*medians, LARGEST / 10])
        return LogNorm(10.0 ** math.floor(math.log10(smallest)), LARGEST, clip=True)

    def colour(self, cell: Cell) -> str:
        """Return the colour of a cell; white where it has no number."""
        if math.isnan(cell.median):
            return "#ffffff"
        return to_hex(MAP(self.norm(max(cell.median, 1e-300))))

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """The powers of ten of the legend, the smallest first, and their colours."""
        powers = range(round(math.log10(self.norm.vmin or LARGEST)), 1)
        ends = [(power, 10.0**power) for power in powers]
        return [
            (f"1e{power}" if power else "1 or more", to_hex(MAP(self.norm(value))))
            for power, value in ends
        ]


def grid(headline: Table) -> Grid:
    """Arrange the table's numbers: cases in its order, optimizers by their mean rank.

    Ranks are of the rows that all optimizers ran, where there are such. What an optimizer
    did not run or not finish ranks last.
    """
    rows: Any = headline.data.rename(columns={"label": "optimizer", "bold": "best"})
    by_row = rows.pivot(index="optimizer", columns=["case", "framework"])
    by_row = by_row.reindex(dict.fromkeys(headline.shown["optimizer"]))
    by_all = by_row["runs"].notna().all()
    medians = by_row["median"].loc[:, by_all if by_all.any() else ~by_all]
    ranks = medians.rank(na_option="bottom").mean(axis=1)
    cells = [Cell(**row) for row in rows[list(Cell._fields)].to_dict("records")]
    return Grid(
        optimizers=ranks.sort_values(kind="stable").index.tolist(),
        cases=[name for name in headline.shown if name not in ("optimizer", "framework")],
        frameworks=list(dict.fromkeys(headline.shown["framework"])),
        cells={(cell.optimizer, cell.case, cell.framework): cell for cell in cells},
        tuned={*rows["case"][rows["tuned"]]},
    )


def ink(colour: str) -> str:
    """Return black or white, whichever has the larger contrast with a colour."""
    light = luminance(colour) + 0.05
    return INKS[0] if light / 0.05 >= 1.05 / light else INKS[1]


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, from 0 to 1 (WCAG 2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in to_rgb(colour)
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def lines(case: str) -> tuple[str, str]:
    """Break the name of a case into two short lines."""
    first, _, rest = case.partition(", ")
    return first, rest.replace("D = ", "D=").replace("the paper's", "paper")


def draw(grid: Grid, folder: Path) -> list[Path]:
    """Draw the map for a README or a paper, in few words and large type; its paths.

    A number is the power of ten of the error, and beside a row stands its smallest median
    with the interval.
    """
    rows = grid.rows
    cells = [[grid.cells.get((name, *row)) for name in grid.optimizers] for row in rows]
    medians = [[cell.median if cell else np.nan for cell in row] for row in cells]
    axes, size = sheet(grid, rows, medians, grid.norm)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is None:
                hatch(axes, x, y)
            else:
                _write(axes, grid, cell, x, y, size)
        finished = [cell for cell in row if cell and not math.isnan(cell.median)]
        if finished:
            best = min(finished, key=lambda cell: cell.median)
            words = f"{best.median:.1e}" + f"  [{best.interval}]" * bool(best.interval)
            axes.text(len(row) + 0.2, y + 0.53, words, va="center", fontsize=9)
    words = "power of ten of the median error; on the right the smallest of the row"
    if any(cell.stopped for cell in grid.cells.values()):
        words = f"{words} ({captions.MARK}: runs that stopped moving)"
    if grid.tuned:
        words = f"{words}\n{TUNED}: hyperparameters were tuned on this case"
    axes.set_xlabel(words, fontsize=11)
    return write(axes.figure, folder, NAME, FORMATS)


def sheet(grid: Grid, rows: Sequence[Row], values: Any, norm: LogNorm) -> tuple[Any, float]:
    """Colour the values of rows by optimizers, with their names; axes, points of a letter.

    Each row has one line of values, or the same number of several.
    """
    lines = len(values) // len(rows)
    _, axes = plt.subplots(
        figsize=(WIDTH, 1.9 + ROW * max(1, 0.62 * lines) * len(rows)), layout="constrained"
    )
    limits: Any = {"norm": norm, "vmin": norm.vmin, "vmax": norm.vmax, "cbar": False}
    look: Any = {"linewidths": 0.6, "linecolor": "white"}
    sns.heatmap(pd.DataFrame(values), ax=axes, cmap=MAP, **limits, **look)
    frameworks = Counter(case for case, _ in rows)
    names = [
        text(case, LONGEST)
        + (f", {text(framework)}" if frameworks[case] > 1 else "")
        + (f" {TUNED}" if case in grid.tuned else "")
        for case, framework in rows
    ]
    places = [lines * (number + 0.5) for number in range(len(rows))]
    axes.set_yticks(places, names, rotation=0, fontsize=10)
    for number in range(1, len(rows) * (lines > 1)):
        axes.axhline(lines * number, color="white", linewidth=4)
    columns = [number + 0.5 for number in range(len(grid.optimizers))]
    labels = [text(name, LONGEST) for name in grid.optimizers]
    axes.set_xticks(columns, labels, rotation=90, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    return axes, min(12, 72 * 0.66 * WIDTH / len(grid.optimizers) / 2.6)


def hatch(axes: Any, x: int, y: int) -> None:
    """Mark a cell that was not run."""
    look: Any = {"hatch": "////", "edgecolor": "0.75", "linewidth": 0, "fill": False}
    axes.add_patch(Rectangle((x, y), 1, 1, **look))


def _write(axes: Any, grid: Grid, cell: Cell, x: int, y: int, size: float) -> None:
    """Write a cell's number, its count where not all runs finished, and frame the best."""
    colour = ink(grid.colour(cell))
    look: Any = {"ha": "center", "va": "center", "color": colour}
    if math.isnan(cell.median):
        axes.text(x + 0.5, y + 0.5, cell.share, fontsize=0.75 * size, **look)
        return
    power = f"{math.log10(max(cell.median, 1e-300)):.0f}".replace("-0", "0")
    power += captions.mark(cell.stopped)
    look["fontweight"] = "bold" if cell.best else "normal"
    size *= min(1, 2.4 / len(power))  # a frame has room for two letters and a bit
    middle, size = (0.33, 0.8 * size) if cell.share else (0.53, size)
    axes.text(x + 0.5, y + middle, power.replace("-", "−"), fontsize=size, **look)
    if cell.share:
        axes.text(x + 0.5, y + 0.78, cell.share, fontsize=0.65 * size, **look)
    if cell.best:
        axes.add_patch(
            Rectangle(
                (x + 0.08, y + 0.08),
                0.84,
                0.84,
                fill=False,
                edgecolor=colour,
                linewidth=1.6,
            )
        )
