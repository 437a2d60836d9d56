"""Figures of what a step costs: over the parameters, over the commits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from optbench.records import palette

SLOPES = (1, 2, 3)  # of the reference lines: seconds ∝ D, D², D³
GREY = "0.45"
MOST = 20  # commits that are named on an axis
NONE = pd.DataFrame()


def cost_over_parameters(
    measured: pd.DataFrame,
    fitted: pd.DataFrame,
    folder: Path,
    memory: float = np.nan,
    crossed: pd.DataFrame = NONE,
    name: str = "cost_over_parameters",
    formats: Sequence[str] = ("png", "svg"),
    title: str = "",
) -> list[Path]:
    """Draw seconds per step over D, one panel per framework, one line per optimizer.

    A cross ends a line at the D from which on there is no number; `memory` in bytes draws
    the D whose Gramian fills it. Gives the paths, none where no step was done.
    """
    data = measured.dropna(subset=["step_seconds"])
    if data.empty:
        return []
    colours = palette.colours(data)
    grid = sns.relplot(
        data,
        x="parameters",
        y="step_seconds",
        hue="optimizer",
        hue_order=list(colours),
        palette=colours,
        style="optimizer",
        style_order=list(colours),
        markers=palette.markers(data),
        dashes=False,
        col="framework",
        col_order=list(palette.dashes(data)),
        kind="line",
        height=5,
        aspect=1.15,
        legend=False,
    )
    grid.set(xscale="log", yscale="log").set_axis_labels("parameters D", "seconds per step")
    for framework, axes in grid.axes_dict.items():
        axes.set_title(framework, pad=18)
        crosses = ends(axes, measured[measured["framework"] == framework], colours)
        references(axes, fitted, memory)
        handles = [
            *_lines(data, fitted, framework),
            *crosses,
            *rings(axes, crossed, framework),
        ]
        axes.legend(
            handles=handles,
            title="exponent of D with its 95 % interval" if len(fitted) else None,
            ncols=2,
            fontsize="small",
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(-0.1, -0.13),
            frameon=False,
        )
    _entitle(grid, title)
    return palette.save(grid, folder, name, formats)


def _entitle(grid: sns.FacetGrid, title: str) -> None:
    """Put a title over all panels, if there is one."""
    if title:
        grid.figure.suptitle(title, y=1.05)


def ends(axes: Axes, measured: Any, colours: dict[str, str]) -> list[Line2D]:
    """Draw dotted lines from the largest networks to a cross at the next ones.

    Gives the legend's entry, if any.
    """
    style: Any = {"marker": "x", "markevery": [1], "linestyle": ":", "linewidth": 1}
    entries = []
    for optimizer, rows in measured.dropna(subset=["parameters"]).groupby("optimizer"):
        largest: Any = rows.dropna(subset=["step_seconds"]).nlargest(1, "parameters")
        if largest.empty:
            continue
        last, height = largest["parameters"].iloc[0], largest["step_seconds"].iloc[0]
        missing = rows["parameters"][
            rows["step_seconds"].isna() & (rows["parameters"] > last)
        ]
        if len(missing):
            axes.plot(
                [last, missing.min()],
                [height, height],
                color=colours[str(optimizer)],
                **style,
            )
            entries = [
                Line2D([0, 1], [0, 0], color=GREY, label="no number from here on", **style)
            ]
    return entries


def references(axes: Axes, fitted: pd.DataFrame, memory: float) -> None:
    """Draw lines of slope 1, 2, 3 from where the fits begin, and one at the memory's end.

    That is the D whose Gramian, D² float64 numbers, fills the memory.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    style = {"color": GREY, "linewidth": 0.8, "zorder": 0}
    for slope in SLOPES if len(fitted) else ():
        start = float(fitted["smallest"].to_numpy().min())
        end = min(right, start * (top / bottom) ** (1 / slope))
        height = bottom * (end / start) ** slope
        axes.plot([start, end], [bottom, height], linestyle="--", **style)
        axes.text(end, height, f"D{'¹²³'[slope - 1]} ", color=GREY, ha="right", va="top")
    if left < (filled := np.sqrt(memory / 8)) < right:
        axes.axvline(filled, linestyle=":", **style)
        words = f"a Gramian fills {memory / 1e9:.3g} GB"
        axes.text(
            filled, top, words, color=GREY, ha="center", va="bottom", fontsize="small"
        )
    axes.set(xlim=(left, right), ylim=(bottom, top))


def rings(axes: Axes, crossed: pd.DataFrame, framework: str) -> list[Line2D]:
    """Draw a ring at each crossover of two lines; give their entries in the legend."""
    style: Any = {
        "marker": "o",
        "markersize": 10,
        "fillstyle": "none",
        "color": "black",
        "linestyle": "",
    }
    entries = []
    for crossover in (
        crossed.dropna(subset=["parameters"]).to_dict("records") if len(crossed) else ()
    ):
        if crossover["framework"] == framework:
            D = crossover["parameters"]
            axes.plot([D], [crossover["seconds"]], **style)
            label = f"{crossover['below']} = {crossover['above']} at D ≈ {rounded(D)}"
            entries.append(Line2D([], [], label=label, **style))
    return entries


def rounded(D: float) -> str:
    """Round to two digits: a crossover is between two widths."""
    return f"{float(f'{D:.2g}'):,.0f}"


def _lines(data: pd.DataFrame, fitted: pd.DataFrame, framework: str) -> list[Line2D]:
    """Give a legend's lines, each with the optimizer's exponent."""
    markers = palette.markers(data)
    return [
        Line2D(
            [],
            [],
            color=colour,
            marker=markers[name],
            label=f"{name} {power(fitted, name, framework)}",
        )
        for name, colour in palette.colours(data).items()
    ]


def power(fitted: pd.DataFrame, optimizer: str, framework: str) -> str:
    """Give the exponent of D with its interval; nothing where there is no fit."""
    if fitted.empty:
        return ""
    rows: Any = fitted[
        (fitted["optimizer"] == optimizer) & (fitted["framework"] == framework)
    ]
    return "".join(
        f"{fit['exponent']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]"
        for fit in rows.to_dict("records")
    )


def frameworks_over_parameters(
    measured: pd.DataFrame, fitted: pd.DataFrame, folder: Path, title: str = ""
) -> list[Path]:
    """Draw seconds per step over D, one panel per optimizer, one dash per framework.

    Gives the paths, none where no step was done.
    """
    data = measured.dropna(subset=["step_seconds"])
    if data.empty:
        return []
    grid = _panels(data, x="parameters", y="step_seconds", marker="o")
    grid.set(xscale="log", yscale="log").set_axis_labels("parameters D", "seconds per step")
    for optimizer, axes in grid.axes_dict.items():
        axes.set_title(optimizer)
        powers = {name: power(fitted, optimizer, name) for name in palette.dashes(data)}
        words = "\n".join(
            f"{name} D^{exponent}" for name, exponent in powers.items() if exponent
        )
        axes.text(
            0.98,
            0.03,
            words,
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize="x-small",
        )
    _entitle(grid, title)
    return palette.save(grid, folder, "frameworks_over_parameters")


def over_commits(
    history: pd.DataFrame, what: str, name: str, folder: Path, title: str = ""
) -> list[Path]:
    """Draw a benchmark's values relative to those of the first commit.

    There is one panel per optimizer and one dash per framework; a line is the geometric
    mean over the problems, its band their range. Gives the paths, none where there is
    nothing.
    """
    if history.empty:
        return []
    places, commits = pd.factorize(history["commit"])
    data = history.assign(place=places)
    grid = _panels(
        data,
        x="place",
        y="relative",
        marker="o",
        estimator=geometric_mean,
        errorbar=("pi", 100),
    )
    grid.set(ylim=(0, None)).set_axis_labels(
        "commit", f"{what},\nrelative to the first commit"
    ).set_titles("{col_name}")
    for axes in grid.axes_dict.values():
        every = range(0, len(commits), 1 + len(commits) // MOST)
        axes.set_xticks(every, [commits[place][:8] for place in every], rotation=90)
        axes.axhline(1, color=GREY, linewidth=0.8, zorder=0)
    _entitle(grid, title)
    return palette.save(grid, folder, name)


def geometric_mean(values: Any) -> float:
    """Give exp of the mean logarithm: halves and doubles cancel."""
    return float(np.exp(np.mean(np.log(values))))


def _panels(data: pd.DataFrame, **options: Any) -> sns.FacetGrid:
    """Draw one panel per optimizer in its colour, one dash per framework."""
    colours, dashes = palette.colours(data), palette.dashes(data)
    grid = sns.relplot(
        data,
        hue="optimizer",
        hue_order=list(colours),
        palette=colours,
        style="framework",
        style_order=list(dashes),
        dashes=dashes,
        col="optimizer",
        col_order=list(colours),
        col_wrap=min(5, len(colours)),
        kind="line",
        height=2.6,
        legend=False,
        **options,
    )
    handles = [
        Line2D([], [], color="black", dashes=dash or (None, None), label=name)
        for name, dash in dashes.items()
    ]
    grid.figure.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    return grid
