"""The figure that `optbench run` leaves: the relative L2 error over optimizer seconds."""

from pathlib import Path
from typing import Any

import seaborn as sns

from optbench.records.frames import Frames
from optbench.records.palette import panels, save, styles

FLOOR = "accuracy of the reference"


def error_over_seconds(frames: Frames, folder: Path) -> list[Path]:
    """Draw a panel a case, a colour an optimizer, a dash a framework; the PNG's and the SVG's path.

    A dotted line is the floor, the accuracy of a reference; an error below it is drawn
    there.

    Without a step that took time there is nothing to draw and no path.
    """
    described = frames.runs.assign(panel=panels(frames.runs))[
        ["identity", "panel", "optimizer", "framework", "floor"]
    ]
    data: Any = frames.history.merge(described, on="identity").query("seconds > 0")
    data = data.assign(relative_l2=data["relative_l2"].clip(lower=data["floor"]))
    if data.empty:
        return []
    grid = sns.relplot(
        data,
        x="seconds",
        y="relative_l2",
        **styles(data),
        units="identity",
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
    return save(grid, folder, "error_over_seconds")
