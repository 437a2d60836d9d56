"""Curves of the relative L2 error: a line per run, or medians over seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns

from optbench.records.frames import Frames
from optbench.records.palette import (
    colours,
    dashes,
    first,
    markers,
    named,
    panels,
    save,
    styles,
)
from optbench.records.record import ANSWERS
from optbench.report import statistics

NAME = "curves"  # of the figure with a line per run
FLOOR = "accuracy of the reference"
FORMATS = ("pdf", "svg")
GRID = 60  # places on the horizontal axis at which runs are compared
EVERY = 6  # of these places, those that have a marker
AXES = {"seconds": "optimizer seconds", "step": "steps"}


def draw(frames: Frames, folder: Path) -> list[Path]:
    """Draw a line per run over optimizer seconds; give the paths of the PNG and the SVG.

    There is one panel per case, one colour per optimizer, one dash per framework. A dotted
    line is the floor, the accuracy of a reference; an error below it is drawn there.
    Without a step that took time there is nothing to draw and no path.
    """
    runs = named(frames.runs)
    # drawn in the order of their identities, whatever the order of the records
    units = runs["identity"] + runs["run"].map(" {}".format)
    described, note = first(
        runs.assign(panel=panels(runs), unit=units)[
            ["run", "unit", "panel", "optimizer", "framework", "floor"]
        ]
    )
    data: Any = frames.floored().history.merge(described, on="run")
    data = data.query("seconds > 0")
    if data.empty:
        return []
    grid = sns.relplot(
        data,
        x="seconds",
        y="relative_l2",
        **styles(data),
        units="unit",
        estimator=None,
        col="panel",
        col_wrap=min(3, len(set(described["panel"]))),
        kind="line",
        height=4,
    )
    grid.set(xscale="log", yscale="log").set_axis_labels(
        "optimizer seconds", "relative L2 error"
    )
    grid.set_titles("{col_name}")
    for panel, floor in data.query("floor > 0").groupby("panel")["floor"].max().items():
        grid.axes_dict[panel].axhline(floor, color="0.3", linestyle=":", linewidth=1)
        grid.axes_dict[panel].annotate(
            FLOOR,
            (0.02, floor),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=8,
        )
    return save(grid, folder, NAME, note=note)


def errors(frames: Frames, axis: str, folder: Path) -> list[Path]:
    """Draw medians over seeds, with a band from quartile to quartile."""
    data = bands(frames._replace(runs=named(frames.runs)), axis)
    if data.empty:
        return []
    data, note = first(data)
    grid = sns.relplot(
        data,
        x=axis,
        y="relative_l2",
        **lines(data),
        markevery=EVERY,
        row="panel",
        col="framework",
        col_order=list(dashes(data)),
        errorbar=None,
        height=3.6,
        aspect=1.3,
    )
    palette = colours(data)
    # one run has no band, and each takes a figure of many panels a second
    several: Any = data[data["runs"] > 1]
    solvers: Any = several.groupby(["panel", "framework", "optimizer"])
    for (panel, framework, optimizer), rows in solvers:
        band: Any = {"color": palette[optimizer], "alpha": 0.2, "linewidth": 0}
        grid.axes_dict[panel, framework].fill_between(
            rows[axis], rows["q25"], rows["q75"], **band
        )
    grid.set(xscale="log", yscale="log").set_axis_labels(AXES[axis], "relative L2 error")
    grid.set_titles("{row_name}, {col_name}")
    return save(grid, folder, f"error_over_{AXES[axis].split()[-1]}", FORMATS, note)


def lines(data: pd.DataFrame) -> dict[str, Any]:
    """Give the looks of lines: each optimizer has a colour and, for grey, a marker."""
    palette = colours(data)
    order: Any = {
        "hue_order": list(palette),
        "style_order": list(palette),
        "palette": palette,
    }
    looks: Any = {
        "markers": markers(data),
        "dashes": False,
        "markersize": 5,
        "linewidth": 1,
    }
    return {"kind": "line", "hue": "optimizer", "style": "optimizer", **order, **looks}


def bands(frames: Frames, axis: str) -> pd.DataFrame:
    """Give the quartiles over seeds of what was last recorded at common places.

    A solver's curve ends where its first run is at its budget. One that stalled stays where
    it is; one that ended otherwise is worse than any number from then on. NaN is where a
    quartile is that.
    """
    runs: Any = frames.runs.assign(panel=panels(frames.runs))
    history: Any = frames.floored().history
    history = (
        history[history[axis] > 0]
        .merge(runs[["run", "panel"]], on="run")
        .sort_values("step")
    )
    curves = {
        name: rows[[axis, "relative_l2"]].to_numpy().T
        for name, rows in history.groupby("run")
    }
    extents: Any = history.groupby("panel")[axis].agg(["min", "max"])
    parts = []
    for (panel, label, framework), solver in runs.groupby(
        ["panel", "label", "framework"], sort=False
    ):
        drawn = [curves[name] for name in solver["run"] if name in curves]
        if not drawn:
            continue
        begin = max(x[0] for x, _ in drawn)
        ends = [
            curves[run.run][0][-1]
            for run in solver.itertuples()
            if run.status == "finished"
        ]
        end = min(ends, default=max(x[-1] for x, _ in drawn))
        first, last = extents.loc[panel]
        places = np.geomspace(first, last, GRID)
        places = np.unique([*places[(places >= begin) & (places < end)], end])
        values = [
            _at(places, curves.get(run.run), run.status) for run in solver.itertuples()
        ]
        quartiles = pd.DataFrame(
            map(statistics.quartiles, np.transpose(values)),
            columns=["q25", "relative_l2", "q75"],
        )
        who = {"panel": panel, "optimizer": label, "framework": framework}
        parts.append(quartiles.assign(**{axis: places}, **who, runs=len(solver)))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _at(places: np.ndarray, curve: np.ndarray | None, status: str) -> np.ndarray:
    """Give what a run had last recorded at each place; infinite after an early end."""
    if curve is None:
        return np.full(len(places), np.inf)
    x, y = curve
    last = y[np.maximum(np.searchsorted(x, places, side="right") - 1, 0)]
    return last if status in ANSWERS else np.where(places > x[-1], np.inf, last)
