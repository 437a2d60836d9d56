"""What every figure shares: colours, markers, dashes, how a file is written."""

import io
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from optbench.records import files

mpl.use("agg")  # files alone: no display is needed

# one colour per optimizer in every figure, told apart by the colour-blind too; an optimizer
# that is not here gets a grey
COLOURS: dict[str, str] = dict(
    zip(
        (
            "sgd",
            "adam",
            "lbfgs",
            "lbfgs_wolfe",
            "engd",
            "engd_per_layer",
            "engd_diagonal",
            "kfac",
            "kfac_star",
            "engd_woodbury",
            "hessian_free",
            "spring",
        ),
        # the palette has ten: a dark brown and a navy are farther from these, and from each
        # other, than any two of them
        [*sns.color_palette("colorblind", 10).as_hex(), "#602000", "#000060"],
        strict=True,
    )
)
COLOURS["adam_lbfgs"] = "#000000"  # a preset of optbench/campaign/presets.py
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
SHAPES = "oXsPD^vp*h<>"  # one marker per optimizer, in the order of the colours
DASHES: dict[str, Any] = {"torch": "", "torch-compiled": (6, 1.5), "jax": (3, 1.5)}


def panels(runs: Any) -> Any:
    """Name the runs' panels: by the case, and D where the case's name does not say it.

    Where there are several campaigns or machines, by those too.
    """
    sizes = runs["parameters"].map("D = {:,}".format)
    sized = [size in case for case, size in zip(runs["case"], sizes, strict=True)]
    names = runs["case"].where(sized, runs["case"] + " (" + sizes + ")")
    places = runs["campaign"] + " on " + runs["machine"]
    return places + ": " + names if places.nunique() > 1 else names


def styles(data: pd.DataFrame) -> dict[str, Any]:
    """Give one colour per optimizer and one dash per framework, as in every figure."""
    palette, styles = colours(data), dashes(data)
    return {
        "hue": "optimizer",
        "hue_order": list(palette),
        "palette": palette,
        "style": "framework",
        "style_order": list(styles),
        "dashes": styles,
    }


def colours(data: pd.DataFrame) -> dict[str, str]:
    """Give every optimizer's colour, ours in their order, then others by name."""
    optimizers = set(data["optimizer"])
    return {
        name: COLOURS.get(name, "0.5")
        for name in [*COLOURS, *sorted(optimizers - set(COLOURS))]
        if name in optimizers
    }


def markers(data: pd.DataFrame) -> dict[str, str]:
    """Give every optimizer's marker; one that has no colour has a dot."""
    shapes: dict[str, str] = dict(zip(COLOURS, cycle(SHAPES), strict=False))
    return {name: shapes.get(name, ".") for name in colours(data)}


def dashes(data: pd.DataFrame) -> dict[str, Any]:
    """Give every framework's dash."""
    frameworks = set(data["framework"])
    return {
        name: DASHES.get(name, (5, 1))
        for name in [*DASHES, *sorted(frameworks - set(DASHES))]
        if name in frameworks
    }


def save(
    grid: sns.FacetGrid, folder: Path, name: str, formats: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write a grid of panels in some formats, and give the paths."""
    return write(grid.figure, folder, name, formats)


def write(figure: Figure, folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write a figure and forget it. The same numbers give the same bytes."""
    paths = [folder / f"{name}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        content = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(
                content,
                format=suffix,
                dpi=150,
                bbox_inches="tight",
                metadata=UNDATED.get(suffix),
            )
        files.replace(path, content.getvalue())
    plt.close(figure)
    return paths
