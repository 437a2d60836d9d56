"""What every figure shares: colours, markers, dashes, how a file is written."""

import io
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib import font_manager
from matplotlib.figure import Figure

from optbench.records import files, plain_text

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
COLOURS |= {
    "adam_lbfgs": "#000000",  # the first of the presets of optbench/campaign/presets.py
    # each of these is at least 17 in CIELAB from all others, also as the colour-blind see
    # them (Machado et al. 2009, deuteranopia and protanopia); the first thirteen are 11
    "ssbroyden": "#0000ff",
    "trust_region": "#a54b2d",
    "levenberg_marquardt": "#0fe1a5",
    "bfgs": "#6969ff",
    "ssbfgs": "#6996ff",
    "soap": "#693c3c",
    "muon": "#ffb469",
    "nystrom_newton": "#4b1eb4",
    "adam_ssbroyden": "#2d3c96",
    "adam_lbfgs_nystrom": "#4b3c5a",
    "soap_trust_region": "#696987",
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
SHAPES = "oXsPD^vp*h<>"  # one marker per optimizer, in the order of the colours
DASHES: dict[str, Any] = {"torch": "", "torch-compiled": (6, 1.5), "jax": (3, 1.5)}
# columns that people named, and how many characters of a name a figure has room for
NAMES = {"campaign": 28, "case": 60, "label": 28, "optimizer": 28, "framework": 28}
MOST = 60  # panels that a figure has
DOTS, PIXELS = 150, 60_000  # per inch; that the side of a picture has at most


def named(runs: Any) -> pd.DataFrame:
    """Write the names in a frame as a figure shows them."""
    columns = {
        name: runs[name].map(lambda each, longest=longest: text(each, longest))
        for name, longest in NAMES.items()
        if name in runs
    }
    return runs.assign(**columns)


def text(name: str, longest: int = NAMES["case"]) -> str:
    """Write a name in a figure: a $ begins no mathematics, _ hides nothing.

    A character that the font does not have is its number; a long name is cut.
    """
    shown = "".join(
        character if ord(character) in _glyphs() else plain_text.number(character)
        for character in plain_text.visible(name)
    )
    # a legend leaves out what begins with _
    shown = f" {shown}" if shown.startswith("_") else shown
    return plain_text.shortened(shown, longest).replace("$", r"\$")


@cache
def _glyphs() -> Mapping[Any, Any]:
    """Give the characters that figures can show."""
    return font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()


def first(data: Any) -> tuple[Any, str]:
    """Keep as many panels as a figure has room for, and say what is left out."""
    names = [*dict.fromkeys(data["panel"])]
    if len(names) <= MOST:
        return data, ""
    return data[data["panel"].isin(names[:MOST])], f"The first {MOST} of {len(names)} cases"


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
    grid: sns.FacetGrid,
    folder: Path,
    name: str,
    formats: Sequence[str] = ("png", "svg"),
    note: str = "",
) -> list[Path]:
    """Write a grid of panels in some formats, with a note below; give the paths."""
    grid.figure.text(0, 0, note, va="top", fontsize=12)
    return write(grid.figure, folder, name, formats)


def write(figure: Figure, folder: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Write a figure and forget it. The same numbers give the same bytes."""
    paths = [folder / f"{name}.{suffix}" for suffix in formats]
    dots = min(DOTS, PIXELS / max(figure.get_size_inches()))
    for path, suffix in zip(paths, formats, strict=True):
        content = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": name}):
            figure.savefig(
                content,
                format=suffix,
                dpi=dots,
                bbox_inches="tight",
                metadata=UNDATED.get(suffix),
            )
        files.replace(path, content.getvalue())
    plt.close(figure)
    return paths
