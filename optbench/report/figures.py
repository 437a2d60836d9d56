"""All figures of a report, and those of profiles, costs and learned solutions."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import LogNorm

from optbench import problems
from optbench.measure import cost_figures
from optbench.records import palette, plain_text
from optbench.records.frames import Frames
from optbench.records.palette import dashes, named, panels, save, write
from optbench.records.record import Record
from optbench.report import against_others, curves, heatmap, soonest, statistics
from optbench.report.captions import Table
from optbench.report.curves import FORMATS, lines
from optbench.training import solution_grid

PROFILED = 1e-3  # the target whose profile is drawn, or the smallest reached above it
SMALLEST = 1e-8  # a smaller error of a learned solution is drawn as this
CASES = 6  # that the title of a panel names
SHOWN = 6  # learned solutions of a case: all of 24 optimizers take half a minute
LONGEST = 48  # characters of a name in the name of a file
ERRORS = LogNorm(SMALLEST, 1)  # of |u - u*| in every figure, so that figures compare


def make(
    frames: Frames, records: Sequence[Record], tables: Sequence[Table], folder: Path
) -> list[Path]:
    """Draw all figures that the runs allow; their paths. `frames` are the records'."""
    by_name = {table.name: table for table in tables}
    grid = heatmap.grid(by_name["headline"])
    figures = [
        heatmap.draw(grid, folder),
        soonest.draw(by_name[soonest.NAME], grid, folder),
        *(curves.errors(frames, axis, folder) for axis in curves.AXES),
        against_others.draw(frames, folder),
        profiles(frames, folder),
        step_cost(frames, folder),
        *cost_over_width(frames, folder),
        *solutions(records, folder),
    ]
    return [path for paths in figures for path in paths]


def profiles(frames: Frames, folder: Path) -> list[Path]:
    """Draw the share of cases that a solver does within a ratio of the fastest's time.

    It counts where the median over its seeds reaches the target.

    A panel has the cases that the same solvers ran.
    """
    reached: Any = statistics.reached(frames._replace(runs=named(frames.runs)))
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
    grid.set_axis_labels("seconds with compilation, over the fastest's", "share of cases")
    return save(grid, folder, "profiles", FORMATS)


def profile(reached: Any) -> pd.DataFrame:
    """Give a panel's curves, to PROFILED or to the smallest target reached above it."""
    target = max(PROFILED, reached.dropna(subset=["seconds"])["target"].min())
    rows = statistics.to_target(reached, target)
    table = statistics.by_case(rows, "total_seconds")
    data, everybody = statistics.profile(table), table.columns.to_frame(index=False)
    data = pd.concat(
        [everybody.assign(ratio=1.0, share=0.0), data], ignore_index=True
    )  # those too that never get there
    last = (
        data.sort_values("share", kind="stable")
        .groupby(statistics.SOLVER, sort=False)
        .tail(1)
    )
    data = pd.concat(
        [data, last.assign(ratio=max(statistics.FAR, data["ratio"].max()))]
    )  # a share stays to the right
    cases = [*dict.fromkeys(reached["case"])]
    more = [f"and {len(cases) - CASES} more"] if len(cases) > CASES else []
    panel = "\n".join([*cases[:CASES], *more, f"to {target:.0e}"])
    return data.rename(columns={"label": "optimizer"}).assign(panel=panel)


def step_cost(frames: Frames, folder: Path) -> list[Path]:
    """Draw seconds per step, medians over seeds and quartiles, with one panel per case."""
    runs: Any = named(frames.runs)
    data, note = palette.first(
        runs[runs["steps"] > 0].assign(
            seconds=lambda rows: rows["step_seconds"],
            panel=panels,
        )
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
    grid.set(xscale="log").set_axis_labels("seconds per step", "").set_titles("{col_name}")
    return save(grid, folder, "step_cost", FORMATS, note)


def cost_over_width(frames: Frames, folder: Path) -> Iterator[list[Path]]:
    """Draw seconds per step over D, medians over seeds, in one figure per problem.

    A line has the same hyperparameters.
    """
    runs: Any = named(frames.runs[frames.runs["steps"] > 0]).drop(columns="optimizer")
    runs = runs.rename(columns={"label": "optimizer"})
    names = ["problem", "optimizer", "framework", "hyperparameters"]
    runs = runs[runs.groupby(names)["parameters"].transform("nunique") > 1]
    part = file_names(map(str, runs["problem"]))
    for problem, rows in runs.groupby("problem"):
        measured = (
            rows.groupby([*names, "parameters"], sort=False)["step_seconds"]
            .median()
            .reset_index()
        )
        name = f"cost_over_width_{part[str(problem)]}"
        yield cost_figures.cost_over_parameters(
            measured, cost_figures.NONE, folder, name=name, formats=FORMATS
        )


def solutions(records: Sequence[Record], folder: Path) -> Iterator[list[Path]]:
    """Draw learned solutions beside the exact one, with their errors, one figure per case.

    Only problems with two inputs and one output have a surface. A row is an optimizer's run
    with the smallest seed, in JAX where that ran; only the SHOWN best of a case have one.
    """
    cases: dict[str, dict[str, Record]] = {}
    for record in sorted(
        records, key=lambda record: (record.request.seed, record.request.framework != "jax")
    ):
        if record.surface:
            request = record.request
            of = cases.setdefault(request.case, {})
            of.setdefault(request.labels.optimizer, record)
    part, most = file_names(cases), palette.MOST
    note = f"\n(the first {most} of {len(cases)} cases are drawn)" * (len(cases) > most)
    for case, by_label in sorted(cases.items())[:most]:
        title = palette.text(case) + note
        yield _solutions_of(title, by_label, folder, f"solution_{part[case]}")


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Give each name a part of a file's name that no other has, with upper case or not."""
    parts = {name: re.sub(r"\W+", "_", name) for name in names}
    times = Counter(part.lower() for part in parts.values())
    return {
        name: part
        if len(part) <= LONGEST and times[part.lower()] == 1
        else f"{part[:LONGEST]}_{plain_text.digest(name)}"
        for name, part in parts.items()
    }


def _solutions_of(
    title: str, by_label: dict[str, Record], folder: Path, name: str
) -> list[Path]:
    errors = {
        label: (np.nan_to_num(record.relative_l2, nan=np.inf), label)
        for label, record in by_label.items()
    }
    best = sorted(errors, key=errors.__getitem__)[:SHOWN]
    chosen = [(label, by_label[label]) for label in best]
    if len(by_label) > SHOWN:
        title += f"\n(the {SHOWN} smallest errors of {len(by_label)} optimizers)"
    problem = problems.get(chosen[0][1].request.problem)
    (left, bottom), (right, top) = problem.bounds
    look: Any = {"origin": "lower", "extent": (left, right, bottom, top), "aspect": "auto"}
    exact = solution_grid.as_image(problem, problem.solution(solution_grid.grid(problem)))
    scale: Any = {"vmin": np.nanmin(exact), "vmax": np.nanmax(exact), "cmap": "viridis"}
    figure, grid = plt.subplots(
        len(chosen), 3, figsize=(8.4, 2.4 * len(chosen)), squeeze=False, layout="compressed"
    )
    for row, (label, record) in zip(grid, chosen, strict=True):
        learned = solution_grid.as_image(problem, np.array(record.surface))
        row[0].imshow(exact, **look, **scale)
        row[0].set_title("exact", fontsize=9)
        figure.colorbar(
            row[1].imshow(learned, **look, **scale), ax=row[:2].tolist(), fraction=0.05
        )
        run = f"{record.request.framework}, seed {record.request.seed}"
        row[1].set_title(f"{palette.text(label)}, {run}", fontsize=9)
        error = row[2].imshow(
            np.maximum(np.abs(learned - exact), SMALLEST), **look, norm=ERRORS, cmap="magma"
        )
        figure.colorbar(error, ax=row[2], fraction=0.05)
        row[2].set_title(f"|u - u*|, relative L2 {record.relative_l2:.1e}", fontsize=9)
        for axes in row:
            axes.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    return write(figure, folder, name, FORMATS)
