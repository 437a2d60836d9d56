"""A page of the site for each problem: equation, pictures, every published result.

The site makes the pages; docs/gallery.md has what is written by hand.
"""

import re
from pathlib import Path
from typing import Any

import gallery_page as gallery
import pandas as pd

from optbench.records import store
from optbench.records.frames import from_records
from optbench.records.record import Record
from optbench.report import curves, figures

# whose curves are shown; where they do not have the problem, those of all campaigns
SHOWN = ("standard", "best")
CURVES, LEARNED = "curves.png", "learned.svg"
SECTION = r"^## .+\n(?P<family>(?:(?!^#).*\n)*)(?:(?!^## ).*\n)*?"
SECTION += r"^### (?P<title>.+?) \{{ #{name} \}}\n(?P<own>(?:(?!^###? ).*\n?)*)"


def page(name: str, folder: Path, errors: pd.DataFrame | None) -> str:
    """Write a problem's page with the pictures that `draw` left in a folder."""
    text = gallery.PAGE.read_text(encoding="utf-8")
    found = re.search(SECTION.format(name=name), text, re.MULTILINE)
    if found is None:
        raise ValueError(f"docs/gallery.md has no section {name}")
    parts = [f"# {found['title']}\n", found["family"].strip(), "", found["own"].strip(), ""]
    if (folder / LEARNED).is_file():
        parts += [
            "## What was learned\n",
            f"![The solution, what the best run learned and its error]({name}/{LEARNED})\n",
        ]
    if (folder / CURVES).is_file():
        parts += [
            "## Error over time\n",
            "A line is a run, a panel a case. The seconds are those of the optimizer's "
            "steps alone.\n",
            f"![The relative L2 error of every run over its seconds]({name}/{CURVES})\n",
        ]
    rows: Any = None if errors is None else errors[errors["problem"] == name]
    parts += ["## Every published result\n"]
    if rows is None or rows.empty:
        return "\n".join([*parts, "There is none yet.\n"])
    return "\n".join(
        [
            *parts,
            "The relative L2 error at the end of the budget is the median over the runs. A "
            "dash stands where most of them did not finish.\n",
            gallery.markdown(
                [
                    {
                        "campaign": row["campaign"],
                        "case": row["case"],
                        "optimizer": f"`{row['label']}`",
                        "framework": row["framework"],
                        "relative L2": _number(row["relative_l2"], ".1e"),
                        "runs": f"{row['runs']}",
                        "steps": _number(row["steps"], ",.0f"),
                        "seconds": _number(row["train_seconds"], ".0f"),
                    }
                    for row in rows.sort_values(
                        ["campaign", "case", "relative_l2"], kind="stable"
                    ).to_dict("records")
                ]
            ),
            "",
        ]
    )


def _number(value: float, form: str) -> str:
    return "–" if pd.isna(value) else format(value, form)


def draw(name: str, folder: Path) -> None:
    """Draw the curves of a problem's runs, and what the best of them learned."""
    records = published(name)
    if not records:
        return
    frames = from_records(records)
    runs = frames.runs
    cases = runs["campaign"] + ": " + runs["case"].str.removeprefix(f"{name}, ")
    short = runs.assign(case=cases, campaign="", machine="")
    curves.draw(frames._replace(runs=short), folder)
    with_surface = [record for record in records if record.surface]
    if with_surface:
        best = min(with_surface, key=lambda record: record.relative_l2)
        (made,) = figures.solutions([best], folder)
        for file in made:
            if file.suffix == ".svg":
                file.replace(folder / LEARNED)


def published(name: str) -> list[Record]:
    """Read the records of a problem in the campaigns whose curves are shown."""
    files = sorted(gallery.ROOT.glob(f"results/*/*/runs/{name}-*"))
    chosen = [file for file in files if file.parents[2].name in SHOWN]
    return [record for file in chosen or files for _, record in store.records(file)]
