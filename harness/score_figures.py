"""Figures over seeds: errors over seconds and steps with bands, performance profiles, what a step costs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns

from harness import cost_figures, scores
from harness.frames import Frames
from harness.plots import dashes, panels, save, styles
from problems.own import slug

FORMATS = ("pdf", "svg")
GRID = 60  # places on the horizontal axis at which runs are compared
PROFILED = 1e-3  # the target whose profile is drawn, or the smallest that anybody reaches above it
AXES = {"seconds": "optimizer seconds", "step": "steps"}


def make(frames: Frames, folder: Path) -> list[Path]:
    """All figures that the runs allow; their paths."""
    figures = [errors(frames, axis, folder) for axis in AXES]
    figures += [profiles(frames, folder), step_cost(frames, folder), *cost_over_width(frames, folder)]
    return [path for paths in figures for path in paths]


def errors(frames: Frames, axis: str, folder: Path) -> list[Path]:
    """The relative L2 error over seconds or steps: the median over seeds, a band from quartile to quartile."""
    data = on_grid(frames, axis)
    if data.empty:
        return []
    grid = sns.relplot(
        data,
        x=axis,
        y="relative_l2",
        **styles(data),
        estimator="median",
        errorbar=("pi", 50),
        col="panel",
        col_wrap=min(3, len(set(data["panel"]))),
        kind="line",
        height=4,
    )
    grid.set(xscale="log", yscale="log").set_axis_labels(AXES[axis], "relative L2 error").set_titles("{col_name}")
    return save(grid, folder, f"error_over_{AXES[axis].split()[-1]}", FORMATS)


def on_grid(frames: Frames, axis: str) -> pd.DataFrame:
    """What each run had last recorded at common places, while it went on: medians need all seeds at one place."""
    runs: Any = frames.runs
    runs = runs.assign(panel=panels(runs))
    named = runs[["identity", "panel", "label", "framework", "seed", "floor"]].rename(columns={"label": "optimizer"})
    parts = []
    history: Any = frames.history[frames.history[axis] > 0].merge(named, on="identity")
    history = history.assign(relative_l2=history["relative_l2"].clip(lower=history["floor"]))
    for _, panel in history.groupby("panel", sort=False):
        places = np.geomspace(panel[axis].min(), panel[axis].max(), GRID)
        for _, run in panel.sort_values("step").groupby("identity", sort=False):
            x, y = run[axis].to_numpy(), run["relative_l2"].to_numpy()
            inside = places[(places >= x[0]) & (places <= x[-1] * (1 + 1e-9))]
            rows = {axis: inside, "relative_l2": y[np.searchsorted(x, inside, side="right") - 1]}
            parts.append(pd.DataFrame(rows).assign(**run.iloc[0][["panel", "optimizer", "framework", "seed"]]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def profiles(frames: Frames, folder: Path) -> list[Path]:
    """The share of runs that reach a target within a ratio of the fastest's time; all solvers ran a panel's cases."""
    data = pd.concat([profile(cases) for cases in scores.comparable(scores.reached(frames))])
    if data.empty:
        return []
    grid = sns.relplot(
        data,
        x="ratio",
        y="share",
        **styles(data),
        col="panel",
        kind="line",
        drawstyle="steps-post",
        errorbar=None,
        height=4.5,
    )
    grid.set(xscale="log", ylim=(0, 1.02)).set_titles("{col_name}")
    grid.set_axis_labels("seconds with compilation, over the fastest's", "share of runs")
    return save(grid, folder, "profiles", FORMATS)


def profile(reached: Any) -> pd.DataFrame:
    """A panel's curves: to PROFILED, or to the smallest target above it that anybody reaches."""
    target = max(PROFILED, reached.dropna(subset=["seconds"])["target"].min())
    data = scores.profile(scores.to_target(reached, target)).rename(columns={"label": "optimizer"})
    last = data.sort_values("ratio").groupby(["optimizer", "framework"], sort=False).tail(1)
    data = pd.concat([data, last.assign(ratio=max(scores.FAR, data["ratio"].max()))])  # a share stays to the right
    return data.assign(panel="\n".join([*dict.fromkeys(reached["case"]), f"to {target:.0e}"]))


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
    runs = runs.assign(step_seconds=runs["train_seconds"] / runs["steps"]).drop(columns="optimizer")
    runs = runs.rename(columns={"label": "optimizer"})
    lines = ["problem", "optimizer", "framework", "hyperparameters"]
    runs = runs[runs.groupby(lines)["parameters"].transform("nunique") > 1]
    for problem, rows in runs.groupby("problem"):
        measured = rows.groupby([*lines, "parameters"], sort=False)["step_seconds"].median().reset_index()
        name = f"cost_over_width_{slug(str(problem))}"
        yield cost_figures.cost_over_parameters(measured, cost_figures.NONE, folder, name=name, formats=FORMATS)
