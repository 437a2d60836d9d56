"""A table to cite: numbers as CSV, text as Markdown and LaTeX, with a caption that says what it was made from."""

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
    commit: str
    digest: str  # SHA-256 of the raw records
    missing: int = 0  # runs that the campaign asks for and that are not done yet

    @property
    def text(self) -> str:
        """In one sentence."""
        return (
            f"PINN-OptBench, campaign {self.campaign} {self.version} on {self.machine}, {self.date}, "
            f"commit {self.commit}, raw data SHA-256 {self.digest[:16]}"
            f"{f'; not complete: {self.missing} runs are missing' if self.missing else ''}."
        )


class Table(NamedTuple):
    """One table: its numbers, and how people read them."""

    name: str
    title: str
    data: pd.DataFrame
    shown: pd.DataFrame


def source(records: Sequence[Record], folder: Path, missing: int = 0) -> Source:
    """Of records and the folder that their files are in; `missing` of the campaign's runs are not among them."""
    commits = {
        (record.provenance.commit or "unknown")[:10]
        + ("+" if record.provenance.dirty else "")
        for record in records
    }
    digest = hashlib.sha256()
    for file in sorted((folder / "runs").glob("*.json")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    labels, last = records[0].request.labels, max(record.started for record in records)
    told = labels.campaign, labels.campaign_version, records[0].provenance.machine
    return Source(*told, last[:10], ", ".join(sorted(commits)), digest.hexdigest(), missing)


def texts(table: Table, source: Source) -> dict[str, str]:
    """What the table's three files hold, by their names; numbers to eight digits."""
    caption = f"{table.title} {source.text}"
    rows = _without_repeats(table.shown)
    markdown = tabulate(
        rows, headers="keys", tablefmt="pipe", showindex=False, disable_numparse=True
    )
    return {
        f"{table.name}.csv": f"# {caption}\n{table.data.to_csv(index=False, float_format='%.8g')}",
        f"{table.name}.md": f"{markdown}\n\n{caption}\n",
        f"{table.name}.tex": latex(rows, caption, table.name),
    }


def latex(rows: pd.DataFrame, caption: str, name: str) -> str:
    """A table over as many pages as it needs, each in landscape; it needs the packages booktabs and longtable."""
    escaped = caption.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&")
    columns = (
        "".join(map(_column, rows.columns, rows.astype(str).to_numpy().T))
        if len(rows)
        else "l" * rows.shape[1]
    )
    given = {
        "longtable": True,
        "caption": escaped,
        "label": f"tab:{name}",
        "column_format": columns,
    }
    text = rows.to_latex(index=False, escape=True, **given)
    for character, command in LATEX.items():
        text = text.replace(character, command)
    text = EXPONENT.sub(r"\\mbox{-}", BOLD.sub(r"\\textbf{\1}", text))
    return f"{{\\footnotesize\\setlength{{\\tabcolsep}}{{3pt}}\\setlength{{\\LTcapwidth}}{{\\textwidth}}\n{text}}}\n"


def _column(name: str, cells: Iterable[str]) -> str:
    longest = max(map(len, (name, *cells)))
    return "l" if longest <= NARROW else f"p{{{7 if longest <= LONG else 12}em}}"


def _without_repeats(shown: Any) -> pd.DataFrame:
    """A case's or target's name on its first row alone."""
    if shown.empty:
        return shown
    column = shown.columns[0]
    return shown.assign(
        **{column: shown[column].where(shown[column] != shown[column].shift(), "")}
    )
