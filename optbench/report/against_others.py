"""Ours beside the relative errors that others have published on the same problems.

Their networks, points, budgets and machines differ, so that a row says how far a method
came, and not how fast. Where their problem itself is another one it says so, and the two
numbers are not compared.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from optbench import problems
from optbench.records import palette
from optbench.records.frames import Frames
from optbench.records.record import ANSWERS
from optbench.report import statistics
from optbench.report.curves import FORMATS
from optbench.report.statistics import CASE, SOLVER

PUBLISHED = Path(str(files("optbench.benchmarks"))) / "published_results.csv"
NAME = "against_others"  # of the table and the figure
REACHED, MISSED = "reached", "not reached"
ROW, WIDTH = 0.3, 11.0  # inches
LONGEST = 90  # characters of a source in the figure


def published() -> pd.DataFrame:
    """Read what others have published: one row per result, in the order of the file.

    Columns: problem, error, method, network, budget, source, and `differs`, what their
    problem has otherwise than ours. A text is empty where the source does not say it.
    """
    return pd.read_csv(PUBLISHED).fillna("")


def smallest(theirs: Any) -> Any:
    """Keep each problem's smallest error: on the same problem where there is one.

    The column `other` says that there is none.
    """
    rows = theirs.assign(other=theirs["differs"] != "")
    rows = rows.sort_values(["other", "error"], kind="stable")
    return rows.drop_duplicates("problem")


def in_words(theirs: Any) -> str:
    """Write published results, the smallest error first."""
    return "; ".join(
        f"{row.error:.1e} with {row.method}"
        + (f", {row.network}" if row.network else "")
        + f" ({row.source})"
        + (f", where {row.differs}" if row.differs else "")
        for row in theirs.sort_values("error", kind="stable").itertuples()
    )


def compare(frames: Frames) -> pd.DataFrame:
    """Put the best of our medians on each problem beside every published result on it.

    There is one row per published result on a problem of ours, in the registry's order and
    then theirs. `verdict` says whether our median is as small, or what differs in their
    problem.
    """
    ours = best(frames)
    order = {name: number for number, name in enumerate(problems.names())}
    data: Any = ours.merge(published(), on="problem")
    data = data.sort_values(
        "problem", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )
    verdict = np.where(data["median"] <= data["error"], REACHED, MISSED)
    return data.assign(
        verdict=np.where(
            data["differs"] == "", verdict, "not comparable: " + data["differs"]
        )
    )


def best(frames: Frames) -> pd.DataFrame:
    """Give the solver with the smallest median error of each problem, with all its errors.

    A run that has no answer counts as later than everything. Columns: problem, case, label,
    framework, parameters, seconds, runs, median, low, high.
    """
    runs: Any = frames.floored().runs
    final = runs["relative_l2"].where(runs["status"].isin(ANSWERS), np.inf).fillna(np.inf)
    solvers = runs.assign(final=final).groupby(["problem", *CASE, *SOLVER], sort=False)
    rows = solvers.agg(
        parameters=("parameters", "first"),
        seconds=("train_seconds", "median"),
        runs=("final", "size"),
        low=("final", "min"),
        high=("final", "max"),
        median=("final", lambda errors: statistics.medians(errors.to_numpy())),
    ).reset_index()
    rows = rows[np.isfinite(rows["median"])]
    return rows.loc[rows.groupby("problem", sort=False)["median"].idxmin()]


def shown(data: Any) -> pd.DataFrame:
    """Write the rows for people: theirs, then ours."""
    return pd.DataFrame(
        {
            "problem": data["problem"],
            "their method": data["method"],
            "their network": data["network"].replace("", "–"),
            "their budget": data["budget"].replace("", "–"),
            "their error": data["error"].map("{:.1e}".format),
            "ours": data["median"].map("{:.1e}".format),
            "our optimizer": [
                f"{label} in {framework}"
                for label, framework in zip(data["label"], data["framework"], strict=True)
            ],
            "D": data["parameters"].map("{:,}".format),
            "seconds": data["seconds"].map("{:.0f}".format),
            "theirs reached?": data["verdict"],
            "source": data["source"],
        }
    )


def draw(frames: Frames, folder: Path) -> list[Path]:
    """Draw the smallest published error of each problem beside ours; the paths, or none.

    Ours is the median of the best solver, with a line from the smallest to the largest of
    its seeds.
    """
    ours, theirs = best(frames), published()
    order = [name for name in problems.names() if name in set(ours["problem"])]
    if not set(order) & set(theirs["problem"]):
        return []
    figure, axes = plt.subplots(
        figsize=(WIDTH, 1.4 + ROW * len(order)), layout="constrained"
    )
    rows = ours.set_index("problem").loc[order]
    places = {name: -number for number, name in enumerate(order)}
    at = [places[name] for name in order]
    axes.hlines(at, rows["low"], rows["high"].clip(upper=1e3), color="C0", linewidth=2)
    axes.plot(rows["median"], at, "o", color="C0", label="this suite, the median")
    some = smallest(theirs[theirs["problem"].isin(order)])
    for other, words in ((False, "published"), (True, "published, on a problem like it")):
        rows = some[some["other"] == other]
        look: Any = {"markerfacecolor": "white" if other else "black", "color": "black"}
        if len(rows):
            axes.plot(rows["error"], rows["problem"].map(places), "D", label=words, **look)
    for row in some.itertuples():
        words = f"{row.method}, {row.source}".split(", as ")[0]
        axes.text(
            1.02,
            places[row.problem],
            palette.text(words.replace("https://", ""), LONGEST),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
    axes.set_yticks(at, [palette.text(name) for name in order])
    axes.set(xscale="log", xlabel="relative L2 error")
    axes.margins(y=0.03)
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return palette.write(figure, folder, NAME, FORMATS)
