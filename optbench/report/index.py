"""results/README.md: what is published, and the commands that made it.

A README of any folder shows a campaign's heat map and its short table between two marks,
each on a line of its own: `<!-- headline FOLDER -->` and `<!-- /headline -->`.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from optbench.campaign import results_folder
from optbench.campaign.results_folder import TRIALS, Results
from optbench.measure import asv_results
from optbench.records import files
from optbench.records.plain_text import markdown
from optbench.report import against_others, heatmap, report, soonest
from optbench.tuning.output import CHOSEN

HEAD = """# Results

Written by `optbench index {place}`. `<campaign>/<machine>/` holds what is published: raw
records in `runs/`, and what `optbench report` makes of them: `tables/` (CSV, Markdown,
LaTeX), `figures/` (PDF, SVG) and `report.html`: a heat map, the curves behind each of its
cells, tables to sort and filter, and every run with the command that repeats it.
`optbench verify` checks all of it. To cite a table, quote the caption below it. `local/` is
where runs on your own machine are written: git ignores it, and it is never published.
"""
MARKED = re.compile(r"(<!-- headline (\S+) -->\n).*?(<!-- /headline -->)", re.DOTALL)
README, NOTE = "README.md", "NOTE.md"  # NOTE: of a campaign, where it has one
OTHERS = "The smallest error that others have published on each problem beside ours"
OURS, SCALE = "local", "scale"  # never published; what `optbench scale` writes


def write(place: Path) -> Path:
    """Write the index of a folder of results, and give its path.

    Raises InvalidRecord where a record in it is torn or edited.
    """
    files.replace(place / README, text(place, str(place)))
    return place / README


def text(place: Path, called: str) -> str:
    """Give the index of a folder of results that its commands call by a name."""
    parts = [
        HEAD.format(place=called),
        *_campaigns(place, called),
        *_costs(place, called),
        *_benchmarks(place, called),
    ]
    if len(parts) == 1:
        parts.append("Nothing is published yet.\n")
    return "\n".join(parts)


def fill(readme: Path) -> Path:
    """Put heat maps and short tables between a README's marks, and give its path.

    The folders that the marks name are relative to the README. Raises FileNotFoundError
    where a folder has no report.
    """
    files.replace(readme, filled(readme))
    return readme


def filled(readme: Path) -> str:
    """Give a README with heat maps and short tables between its marks."""
    return MARKED.sub(
        lambda found: f"{found[1]}{_shown(readme.parent, found[2])}{found[3]}",
        readme.read_text(encoding="utf-8"),
    )


def _shown(base: Path, there: str) -> str:
    text = _headline(base / there, there)
    if not text:
        raise FileNotFoundError(f"{base / there}: no report; `optbench report` makes it")
    return text


def _headline(folder: Path, there: str) -> str:
    """Give a report's heat map and short table, or nothing where there is no report.

    `there` is the folder as the file names it in which they stand.
    """
    table = folder / report.TABLES / "hardest.md"
    if not table.is_file():
        return ""
    pictures = {
        heatmap.NAME: "Heat map: the median error of each optimizer on each case",
        soonest.NAME: "Heat map: how soon each optimizer is at an error of 1e-3",
    }
    shown = "".join(
        _picture(folder, there, name, words) for name, words in pictures.items()
    )
    return f"{shown}{table.read_text(encoding='utf-8')}"


def _picture(folder: Path, there: str, name: str, words: str) -> str:
    """Show a figure of a report, where it has this one."""
    file = f"{report.FIGURES}/{name}.svg"
    return f"![{words}]({quote(there)}/{file})\n\n" if (folder / file).is_file() else ""


def _campaigns(place: Path, called: str) -> Iterator[str]:
    try:
        folders = results_folder.find(place)
    except FileNotFoundError:
        return
    published = [
        results
        for results in folders
        if OURS not in results.folder.relative_to(place).parts
    ]
    for results in sorted(published, key=_rank):
        yield _kind(results)(results.whole(), place, called)


def _rank(results: Results) -> tuple[bool, int]:
    """Put campaigns before what has no report, and the one with most runs first."""
    return _kind(results) is not _campaign, -len(results.records)


def _kind(results: Results) -> Callable[[Results, Path, str], str]:
    if results.is_tuning:
        return _tuning
    return _scale if results.folder.parent.name == SCALE else _campaign


def _tuning(results: Results, place: Path, called: str) -> str:
    folder, name = results.folder, results.folder.parent.parent.name
    there = quote(folder.relative_to(place).as_posix())
    return (
        f"## {markdown(name)}: tuning on {folder.name}\n\n[every trial]({there}/{TRIALS}), "
        f"[what was chosen]({there}/{CHOSEN}); [how](../docs/guides/tuning.md).\n"
    )


def _campaign(results: Results, place: Path, called: str) -> str:
    folder, records = results.folder, results_folder.in_order(results)
    name, there = folder.parent.name, folder.relative_to(place).as_posix()
    counts = _counted(record.status for record in records)
    done = (
        f"{len(records)} of {len(results.requests)}"
        if len(records) < len(results.requests)
        else str(len(records))
    )
    headline = _headline(folder, there) or "No report yet: the campaign is under way.\n"
    return (
        f"## {markdown(name)} on {folder.name}\n\n{_note(folder)}{headline}\n"
        f"{_picture(folder, there, against_others.NAME, OTHERS)}"
        f"{done} runs: {counts}. {_links(folder, place)}.\n\n"
        f"Made by\n\n```\noptbench run {shlex.quote(name)} --results {called}\n"
        f"optbench report {shlex.quote(str(Path(called) / name))}\n```\n"
    )


def _note(folder: Path) -> str:
    """Give what a reader must know of a campaign, written by hand beside its machines."""
    note = folder.parent / NOTE
    return f"{note.read_text(encoding='utf-8').strip()}\n\n" if note.is_file() else ""


def _scale(results: Results, place: Path, called: str) -> str:
    folder = results.folder
    there = folder.relative_to(place).as_posix()
    heading = f"## How a step's cost grows with D on {folder.name}\n\n"
    if not (folder / "scale.csv").is_file():
        done = f"{len(results.records)} of {len(results.requests)}"
        return f"{heading}Under way: {done} runs of `optbench scale`.\n"
    measured = pd.read_csv(folder / "scale.csv")
    most, counts = measured["parameters"].max(), _counted(measured["status"])
    return (
        f"{heading}![cost over parameters]({there}/cost_over_parameters.png)\n\n"
        f"{len(measured)} runs up to D = {most:,}: {counts}. "
        f"[Every measurement]({there}/scale.csv), [exponents]({there}/exponents.csv), "
        f"[crossovers]({there}/crossovers.csv); `optbench scale`, "
        "[what it says](../docs/notebook.md).\n"
    )


def _counted(statuses: Iterable[str]) -> str:
    return ", ".join(
        f"{count} {status}" for status, count in Counter(statuses).most_common()
    )


def _links(folder: Path, place: Path) -> str:
    names = {
        report.PAGE: "The page",
        f"{report.TABLES}/headline.md": "all optimizers on all cases",
        report.TABLES: "tables",
        report.FIGURES: "figures",
        results_folder.CAMPAIGN: "the campaign",
    }
    there = quote(folder.relative_to(place).as_posix())
    return ", ".join(
        f"[{words}]({there}/{name})"
        for name, words in names.items()
        if (folder / name).exists()
    )


def _costs(place: Path, called: str) -> Iterator[str]:
    for folder in asv_results.machines(place / "asv"):
        files = asv_results.results(folder)
        table = folder / "step_cost.md"
        text = _demoted(table.read_text(encoding="utf-8")) if table.is_file() else ""
        figures = [f"![{name}](asv/{folder.name}/{name}.png)" for name in _figures(folder)]
        yield (
            f"## What a step costs on {folder.name}\n\n{len(files)} commits measured by "
            "asv: `make asv`, [the guide](../docs/guides/asv.md); tables and figures by "
            f"`optbench asv {called}/asv --out {called}/asv`.\n\n{text}\n"
            + "\n".join(figures)
            + "\n"
        )


def _figures(folder: Path) -> Sequence[str]:
    names = ("cost_over_parameters", "time_over_commits", "work_over_commits")
    return [name for name in names if (folder / f"{name}.png").is_file()]


def _demoted(text: str) -> str:
    """Turn headings into plain lines: the section has one."""
    return re.sub(r"^#+ (.*)$", r"\1:", text, flags=re.MULTILINE)


def _benchmarks(place: Path, called: str) -> Iterator[str]:
    files = sorted((place / "bench").glob("*.json"))
    if files:
        links = ", ".join(
            f"[{markdown(file.stem)}](bench/{quote(file.name)})" for file in files
        )
        yield (
            f"## Frameworks side by side\n\n{links}: what pytest-benchmark measured, "
            f"`make bench JSON={called}/bench/<machine>.json`; "
            "[how](../benchmarks/README.md).\n"
        )
