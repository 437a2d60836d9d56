"""A table to cite: numbers as CSV, text as Markdown and LaTeX, with a caption.

The caption says what the table shows and what it was made from.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from optbench.records.record import Record

LATEX = {
    "–": "--",
    "…": r"\ldots{}",
    "≤": r"$\le$",
    "×": r"$\times$",
    "|": r"\textbar{}",
}  # what pdflatex does not know, or prints as a dash
# characters of a column: a longer text is broken into lines, in wider ones where it is a
# sentence
NARROW, LONG = 16, 60
EXPONENT = re.compile(r"(?<=\de)-(?=\d)")  # a line must not end in one
BOLD = re.compile(r"\*\*(.+?)\*\*")  # as Markdown has it


class Source(NamedTuple):
    """What a folder's tables are made from."""

    campaign: str
    version: str
    machine: str
    date: str  # of the last run that was started
    commits: tuple[str, ...]  # in the order of their first runs; + has uncommitted changes
    digest: str  # SHA-256 of the raw records
    missing: int = 0  # runs that the campaign asks for and that are not done yet

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        missing = f"; not complete: {self.missing} runs are missing" if self.missing else ""
        return (
            f"PINN-OptBench, campaign {self.campaign} {self.version} on {self.machine}, "
            f"{self.date}, {self.made_by}, raw data SHA-256 {self.digest[:16]}{missing}."
        )

    @property
    def made_by(self) -> str:
        """The commit; of several the first, the last and where all of them are listed."""
        if len(self.commits) == 1:
            return f"commit {self.commits[0]}"
        ends = f"{self.commits[0]}…{self.commits[-1]}"
        return f"{len(self.commits)} commits ({ends}, all in tables/commits.csv)"


class Table(NamedTuple):
    """One table: its numbers, and how people read them."""

    name: str  # of its files
    heading: str  # on the page
    title: str
    data: pd.DataFrame
    shown: pd.DataFrame


def source(records: Sequence[Record], folder: Path, missing: int = 0) -> Source:
    """Say what records are made from; their files are in a folder.

    `missing` of the campaign's runs are not among them.
    """
    commits = dict.fromkeys(
        (record.provenance.commit or "unknown")[:10]
        + ("+" if record.provenance.dirty else "")
        for record in sorted(records, key=lambda record: record.started)
    )
    digest = hashlib.sha256()
    for file in sorted((folder / "runs").glob("*.json")):
        # whichever line ends git has given it
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(file.name.encode() + b"\0" + content)
    labels, last = records[0].request.labels, max(record.started for record in records)
    return Source(
        campaign=labels.campaign,
        version=labels.campaign_version,
        machine=records[0].provenance.machine,
        date=last[:10],
        commits=tuple(commits),
        digest=digest.hexdigest(),
        missing=missing,
    )


def texts(table: Table, source: Source) -> dict[str, str]:
    """Give what the table's three files hold, by their names; numbers to eight digits."""
    caption = f"{table.title} {source.text}"
    rows = _without_repeats(table.shown)
    markdown = tabulate(
        rows, headers="keys", tablefmt="pipe", showindex=False, disable_numparse=True
    )
    numbers = table.data.to_csv(index=False, float_format="%.8g", lineterminator="\n")
    return {
        f"{table.name}.csv": f"# {caption}\n{numbers}",
        f"{table.name}.md": f"{markdown}\n\n{caption}\n",
        f"{table.name}.tex": latex(rows, caption, table.name),
    }


def latex(rows: pd.DataFrame, caption: str, name: str) -> str:
    """Set a table over as many pages in landscape as it needs.

    It needs the packages booktabs and longtable.
    """
    escaped = caption.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&")
    columns = (
        "".join(map(_column, rows.columns, rows.astype(str).to_numpy().T))
        if len(rows)
        else "l" * rows.shape[1]
    )
    text = rows.to_latex(
        index=False,
        escape=True,
        longtable=True,
        caption=escaped,
        label=f"tab:{name}",
        column_format=columns,
    )
    for character, command in LATEX.items():
        text = text.replace(character, command)
    text = EXPONENT.sub(r"\\mbox{-}", BOLD.sub(r"\\textbf{\1}", text))
    widths = r"\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\textwidth}"
    return f"{{\\footnotesize{widths}\n{text}}}\n"


def _column(name: str, cells: Iterable[str]) -> str:
    longest = max(map(len, (name, *cells)))
    return "l" if longest <= NARROW else f"p{{{7 if longest <= LONG else 12}em}}"


def _without_repeats(shown: Any) -> pd.DataFrame:
    """Leave the name of a case, a target or a group of cases on its first row alone."""
    if shown.empty:
        return shown
    columns = {shown.columns[0], "cases"} & set(shown)
    first = {name: shown[name] != shown[name].shift() for name in columns}
    return shown.assign(**{name: shown[name].where(first[name], "") for name in columns})
