"""Figures over seeds: errors over seconds and steps with bands, performance profiles, what a step costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns

from optbench.measure import cost_figures
from optbench.problems.own import slug
from optbench.records.frames import Frames
from optbench.records.palette import colours, dashes, markers, panels, save
from optbench.report import statistics

FORMATS = ("pdf", "svg")
GRID, EVERY = (
    60,
    6,
)  # places on the horizontal axis at which runs are compared; of them that have a marker
PROFILED = (
    1e-3  # the target whose profile is drawn, or the smallest that anybody reaches above it
)
AXES = {"seconds": "optimizer seconds", "step": "steps"}


def make(frames: Frames, folder: Path) -> list[Path]:
    """All figures that the runs allow; their paths."""
    figures = [errors(frames, axis, folder) for axis in AXES]
    figures += [
        profiles(frames, folder),
        step_cost(frames, folder),
        *cost_over_width(frames, folder),
    ]
    return [path for paths in figures for path in paths]


def errors(frames: Frames, axis: str, folder: Path) -> list[Path]:
    """The relative L2 error over seconds or steps: the median over seeds, a band from quartile to quartile."""
    data = bands(frames, axis)
    if data.empty:
        return []
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
    solvers: Any = data.groupby(["panel", "framework", "optimizer"])
    for (panel, framework, optimizer), rows in solvers:
        band: Any = {"color": palette[optimizer], "alpha": 0.2, "linewidth": 0}
        grid.axes_dict[panel, framework].fill_between(
            rows[axis], rows["q25"], rows["q75"], **band
        )
    grid.set(xscale="log", yscale="log").set_axis_labels(AXES[axis], "relative L2 error")
    grid.set_titles("{row_name}, {col_name}")
    return save(grid, folder, f"error_over_{AXES[axis].split()[-1]}", FORMATS)


def lines(data: pd.DataFrame) -> dict[str, Any]:
    """A line an optimizer in its colour, with its marker: told apart in grey too."""
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
    """Quartiles over seeds of what was last recorded at common places, until the solver's first run is at its budget.

    A run that ended otherwise is worse than any number from then on; NaN is where a
    quartile is that.
    """
    runs: Any = frames.runs.assign(panel=panels(frames.runs))
    history: Any = frames.history[frames.history[axis] > 0].merge(
        runs[["identity", "panel", "floor"]], on="identity"
    )
    history = history.assign(
        error=history["relative_l2"].clip(lower=history["floor"])
    ).sort_values("step")
    curves = {
        name: rows[[axis, "error"]].to_numpy().T
        for name, rows in history.groupby("identity")
    }
    extents: Any = history.groupby("panel")[axis].agg(["min", "max"])
    parts = []
    for (panel, label, framework), solver in runs.groupby(
        ["panel", "label", "framework"], sort=False
    ):
        drawn = [curves[name] for name in solver["identity"] if name in curves]
        if not drawn:
            continue
        begin = max(x[0] for x, _ in drawn)
        ends = [
            curves[run.identity][0][-1]
            for run in solver.itertuples()
            if run.status == "finished"
        ]
        end = min(ends, default=max(x[-1] for x, _ in drawn))
        first, last = extents.loc[panel]
        places = np.geomspace(first, last, GRID)
        places = np.unique([*places[(places >= begin) & (places < end)], end])
        values = [
            _at(places, curves.get(run.identity), run.status) for run in solver.itertuples()
        ]
        found = pd.DataFrame(
            map(statistics.quartiles, np.transpose(values)),
            columns=["q25", "relative_l2", "q75"],
        )
        parts.append(
            found.assign(
                **{axis: places}, panel=panel, optimizer=label, framework=framework
            )
        )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _at(places: np.ndarray, curve: np.ndarray | None, status: str) -> np.ndarray:
    """What a run had last recorded at each place; infinite after an early end."""
    if curve is None:
        return np.full(len(places), np.inf)
    x, y = curve
    last = y[np.maximum(np.searchsorted(x, places, side="right") - 1, 0)]
    return last if status == "finished" else np.where(places > x[-1], np.inf, last)


def profiles(frames: Frames, folder: Path) -> list[Path]:
    """The share of runs that reach a target within a ratio of the fastest's time; all solvers ran a panel's cases."""
    reached: Any = statistics.reached(frames)
    if reached["seconds"].isna().all():
        return []
    data = pd.concat(
        [profile(cases) for cases in statistics.comparable(reached)], ignore_index=True
    )
    grid = sns.relplot(
        data,
        x="ratio",
        y="share",
        **lines(data),
        row="framework",
        row_order=list(dashes(data)),
        col="panel",
        drawstyle="steps-post",
        estimator=None,
        height=4,
    )
    grid.set(xscale="log", ylim=(-0.02, 1.02)).set_titles("{col_name}\n{row_name}")
    grid.set_axis_labels("seconds with compilation, over the fastest's", "share of runs")
    return save(grid, folder, "profiles", FORMATS)


def profile(reached: Any) -> pd.DataFrame:
    """A panel's curves: to PROFILED, or to the smallest target above it that anybody reaches."""
    target = max(PROFILED, reached.dropna(subset=["seconds"])["target"].min())
    table = statistics.to_target(reached, target)
    data, everybody = statistics.profile(table), table.columns.to_frame(index=False)
    data = pd.concat(
        [everybody.assign(ratio=1.0, share=0.0), data], ignore_index=True
    )  # who never gets there too
    last = (
        data.sort_values("share", kind="stable")
        .groupby(statistics.SOLVER, sort=False)
        .tail(1)
    )
    data = pd.concat(
        [data, last.assign(ratio=max(statistics.FAR, data["ratio"].max()))]
    )  # a share stays to the right
    panel = "\n".join([*dict.fromkeys(reached["case"]), f"to {target:.0e}"])
    return data.rename(columns={"label": "optimizer"}).assign(panel=panel)


def step_cost(frames: Frames, folder: Path) -> list[Path]:
    """Seconds a step by optimizer and framework, a panel a case: medians over seeds and their quartiles."""
    runs: Any = frames.runs
    data = runs[runs["steps"] > 0].assign(
        seconds=lambda rows: rows["train_seconds"] / rows["steps"],
        panel=panels,
    )
    if data.empty:
        return []
    grid = sns.catplot(
        data,
        x="seconds",
        y="label",
        hue="framework",
        hue_order=list(dashes(data)),
        palette=sns.color_palette("gray", 4)[::2][: len(dashes(data))],
        col="panel",
        col_wrap=min(3, len(set(data["panel"]))),
        kind="point",
        estimator="median",
        errorbar=("pi", 50),
        linestyle="none",
        markers=list("os^")[: len(dashes(data))],
        dodge=0.4 if len(dashes(data)) > 1 else False,
        height=4,
    )
    grid.set(xscale="log").set_axis_labels("seconds a step", "").set_titles("{col_name}")
    return save(grid, folder, "step_cost", FORMATS)


def cost_over_width(frames: Frames, folder: Path) -> Iterator[list[Path]]:
    """Seconds a step over D, medians over seeds, a figure a problem; a line has the same hyperparameters."""
    runs: Any = frames.runs[frames.runs["steps"] > 0]
    runs = runs.assign(step_seconds=runs["train_seconds"] / runs["steps"]).drop(
        columns="optimizer"
    )
    runs = runs.rename(columns={"label": "optimizer"})
    lines = ["problem", "optimizer", "framework", "hyperparameters"]
    runs = runs[runs.groupby(lines)["parameters"].transform("nunique") > 1]
    for problem, rows in runs.groupby("problem"):
        measured = (
            rows.groupby([*lines, "parameters"], sort=False)["step_seconds"]
            .median()
            .reset_index()
        )
        name = f"cost_over_width_{slug(str(problem))}"
        yield cost_figures.cost_over_parameters(
            measured, cost_figures.NONE, folder, name=name, formats=FORMATS
        )
