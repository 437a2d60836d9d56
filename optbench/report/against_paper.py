"""Ours beside the paper's recorded runs: the same problem, network and optimizer.

The paper's error is absolute, a root mean square, so everything here is: no number is a
relative one.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.records.frames import Frames
from optbench.records.record import ANSWERS
from optbench.report import statistics
from optbench.report.statistics import CASE, SOLVER

RECORDED = Path(str(files("optbench.benchmarks"))) / "paper_results.csv"
TARGETS = (1e-2, 1e-3, 1e-4)  # of the absolute error
BATCH = ("interior_points", "boundary_points", "resample_every")
SAME = ["problem", "network", "optimizer"]
# of statistics.times, with a pair of columns per target
COLUMNS = {"seconds": "seconds_to", "reached": "reached"}


def compare(frames: Frames) -> pd.DataFrame:
    """Join ours and the paper's runs of the same problem, network and optimizer.

    There is one row per case, solver and recorded run, and none where there is no such run.
    Ours are medians over seeds, `reached_…` of `runs` reached a target; NaN is later than
    the budget, theirs too.
    """
    recorded = pd.read_csv(RECORDED, dtype={"fault": str}).fillna({"fault": ""})
    recorded = recorded.rename(
        columns={name: f"paper_{name}" for name in recorded.columns if name not in SAME}
    )
    return ours(frames).merge(recorded, on=SAME, how="inner")


def ours(frames: Frames) -> pd.DataFrame:
    """Give medians over seeds of runs whose error counts, and when targets were reached.

    There is one row per case and solver.
    """
    runs: Any = frames.runs
    # the paper's problems have two terms of weight 1
    columns = [*runs, *(name for name in BATCH if name not in runs)]
    runs = runs[runs["weights"] == ""].reindex(columns=columns)
    medians = {"rms": "rms", "seconds": "train_seconds", "steps": "steps"}
    finished = {
        name: runs[column].where(runs["status"].isin(ANSWERS))
        for name, column in medians.items()
    }
    groups = runs.assign(**finished).groupby(
        [*CASE, *SAME, *SOLVER, "hyperparameters_from"], sort=False
    )
    first = {name: (name, "first") for name in BATCH}
    counts = {"runs": ("run", "size"), "finished": ("rms", "count")}
    rows = groups.agg(
        **counts, **first, **{name: (name, "median") for name in medians}
    ).reset_index()
    times: Any = statistics.times(statistics.reached(frames, TARGETS, "rms"))
    for target in TARGETS:
        named = times[times["target"] == target].rename(
            columns={name: _at(column, target) for name, column in COLUMNS.items()}
        )
        rows = rows.merge(
            named[[*CASE, *SOLVER, *(_at(column, target) for column in COLUMNS.values())]]
        )
    return rows


def shown(data: Any) -> pd.DataFrame:
    """Write the numbers for people: theirs | ours."""
    text = data[["case", "paper_experiment", *SOLVER]].rename(
        columns={"label": "optimizer", "paper_experiment": "experiment"}
    )
    text["experiment"] = text["experiment"].str.partition("_")[0]
    columns = {
        "absolute error": ("rms", ".1e"),
        "seconds": ("seconds", ",.0f"),
        "steps": ("steps", ",.0f"),
    }
    for title, (name, form) in columns.items():
        text[title] = [
            _both(theirs, ours, form)
            for theirs, ours in zip(data[f"paper_{name}"], data[name], strict=True)
        ]
    batches = [
        data[[f"{of}{name}" for name in BATCH]].itertuples(index=False)
        for of in ("paper_", "")
    ]
    text["points, redrawn every"] = [
        " | ".join(
            f"{interior}+{boundary}, {every or 'never'}"
            for interior, boundary, every in pair
        )
        for pair in zip(*batches, strict=True)
    ]
    text["finished"] = [f"{row.finished}/{row.runs}" for row in data.itertuples()]
    for target in TARGETS:
        name = _at("seconds_to", target)
        pairs = zip(
            data[f"paper_{name}"],
            data[name],
            data[_at("reached", target)],
            data["runs"],
            strict=True,
        )
        text[f"s to {target:.0e}"] = [
            f"{_both(theirs, ours, '.3g')} ({reached}/{runs})"
            for theirs, ours, reached, runs in pairs
        ]
    return text.assign(
        hyperparameters=data["hyperparameters_from"],
        **{"the paper's run": data["paper_fault"]},
    )


def _at(name: str, target: float) -> str:
    return f"{name}_{target:.0e}".replace("e-0", "e-")


def _both(theirs: float, ours: float, form: str) -> str:
    return " | ".join(
        "–" if pd.isna(value) else format(value, form) for value in (theirs, ours)
    )
