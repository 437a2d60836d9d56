"""The heat map: the median error of every optimizer on every case in every framework.

Its numbers are those of the table `headline`. The page shows it in HTML, and `draw` makes
the figure. Lightness alone tells the order: it can be read in grey too.
"""

import math
import re
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
WIDTH, HEIGHT = 10.4, 5.0  # inches at most: an SVG of about 1,000 by 500 pixels
ROW = 0.33
LONGEST = 40  # characters of a name


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
    def sentence(self) -> str:
        """The cell in words."""
        who = f"{self.optimizer}, {self.framework}, on {self.case}: "
        if math.isnan(self.median):
            return f"{who}only {self.finished} of {self.runs} runs finished"
        ends = ("∞" if math.isnan(end) else f"{end:.1e}" for end in (self.low, self.high))
        words = [f"{who}median error {self.median:.1e}"]
        if self.runs >= statistics.LEAST:
            words.append(f"95 % interval {' to '.join(ends)}")
        words.append(f"{self.finished} of {self.runs} runs finished")
        if self.stopped:
            steps = captions.moved(self.moved_first, self.moved_last, self.steps)
            words.append(f"in {self.stopped} of them nothing moved after step {steps}")
        return ", ".join(words)


class Grid(NamedTuple):
    """Rows, columns and cells; a cell that was not run is not there."""

    optimizers: list[str]
    cases: list[str]
    frameworks: list[str]
    cells: dict[tuple[str, str, str], Cell]  # by optimizer, case and framework

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
    """Arrange the table's numbers in its own order of optimizers, frameworks and cases."""
    optimizers, frameworks = (
        list(dict.fromkeys(headline.shown[name])) for name in ("optimizer", "framework")
    )
    rows: Any = headline.data.rename(columns={"label": "optimizer", "bold": "best"})
    rows = rows[list(Cell._fields)]
    cells = [Cell(**row) for row in rows.to_dict("records")]
    return Grid(
        optimizers=optimizers,
        cases=[name for name in headline.shown if name not in ("optimizer", "framework")],
        frameworks=frameworks,
        cells={(cell.optimizer, cell.case, cell.framework): cell for cell in cells},
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

    A number is the power of ten of the error: so it is read on a phone. Each case has one
    column per framework.
    """
    keys = [(case, framework) for case in grid.cases for framework in grid.frameworks]
    cells = [[grid.cells.get((name, *key)) for key in keys] for name in grid.optimizers]
    medians = pd.DataFrame(
        [[cell.median if cell else np.nan for cell in row] for row in cells]
    )
    labels = [label(text(case, LONGEST)) for case in grid.cases]
    height = min(HEIGHT, 1.5 + ROW * len(grid.optimizers))
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    scale = min(1, (height - 1.5) / ROW / len(grid.optimizers))  # of letters in low rows
    norm = grid.norm
    limits: Any = {"norm": norm, "vmin": norm.vmin, "vmax": norm.vmax}
    look: Any = {"linewidths": 0.6, "linecolor": "white", "cbar": False}
    sns.heatmap(medians, ax=axes, cmap=MAP, **limits, **look)
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            if cell is None:
                axes.add_patch(_box(x, y, 0, hatch="////", edgecolor="0.75", linewidth=0))
            else:
                _write(axes, grid, cell, x, y, scale)
    width = len(grid.frameworks)
    for number in range(1, len(grid.cases)):
        axes.axvline(number * width, color="white", linewidth=6)
    middles = [width * (number + 0.5) for number in range(len(grid.cases))]
    longest = max(len(line) for lines in labels for line in lines.split("\n"))
    room = 72 * 0.75 * WIDTH / len(grid.cases)  # points, for letters of 0.66 em
    size = min(15, room / (0.66 * longest))
    axes.set_xticks(middles, labels, rotation=0, fontsize=size)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    rows = [number + 0.5 for number in range(len(grid.optimizers))]
    optimizers = [text(name, LONGEST) for name in grid.optimizers]
    axes.set_yticks(rows, optimizers, rotation=0, fontsize=16 * scale)
    words = "power of ten of the error"
    if width > 1:
        words = f"{' | '.join(map(text, grid.frameworks))}: {words}"
    if any(cell.stopped for cell in grid.cells.values()):
        words = f"{words} ({captions.MARK}: runs that stopped moving)"
    axes.set_xlabel(words, fontsize=15)
    return write(figure, folder, NAME, FORMATS)


def label(case: str) -> str:
    """Write the name of a case over a narrow column: "log-FP", "9d" and "D=769"."""
    words = re.split(
        r", | (?=\d)", case.replace("D = ", "D=").replace("the paper's", "paper")
    )
    return "\n".join(re.sub(r"-([A-Z])\w+-([A-Z])\w+", r"-\1\2", word) for word in words)


def _write(axes: Any, grid: Grid, cell: Cell, x: int, y: int, scale: float) -> None:
    """Write a cell's number, its count where not all runs finished, and frame the best."""
    colour = ink(grid.colour(cell))
    look: Any = {"ha": "center", "va": "center", "color": colour}
    if math.isnan(cell.median):
        axes.text(x + 0.5, y + 0.5, cell.share, fontsize=12 * scale, **look)
        return
    power = f"{math.log10(max(cell.median, 1e-300)):.0f}".replace("-0", "0")
    power += captions.mark(cell.stopped)
    look["fontweight"] = "bold" if cell.best else "normal"
    middle, size = (0.33, 14) if cell.share else (0.53, 17)
    axes.text(x + 0.5, y + middle, power.replace("-", "−"), fontsize=size * scale, **look)
    if cell.share:
        axes.text(x + 0.5, y + 0.78, cell.share, fontsize=9 * scale, **look)
    if cell.best:
        axes.add_patch(_box(x, y, 0.08, edgecolor=colour, linewidth=1.8))


def _box(x: int, y: int, inset: float, **look: Any) -> Rectangle:
    side = 1 - 2 * inset
    return Rectangle((x + inset, y + inset), side, side, fill=False, **look)
