"""A table to cite: numbers as CSV, text as Markdown and LaTeX, with a caption.

The caption says what the table shows and what it was made from.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from optbench.implementations.product_rates import in_words
from optbench.records import plain_text, store
from optbench.records.record import Record, runs_of

# characters of a column: a longer text is broken into lines, in wider ones where it is a
# sentence
NARROW, LONG = 16, 60
EXPONENT = re.compile(r"(?<=\de)-(?=\d)")  # a line must not end in one


@dataclass(frozen=True)
class Bold:
    """A cell of a table that begins in bold."""

    text: str
    rest: str = ""

    def __str__(self) -> str:
        """Give the text alone."""
        return self.text + self.rest


MARK = "†"
STOPPED = (
    f"{MARK}: at least one run stopped moving: it ended as stalled, or neither its loss "
    "nor its error changed over the last third of its steps or longer."
)


def mark(stopped: int) -> str:
    """Mark a number where some of its runs stopped moving."""
    return MARK if stopped else ""


def moved(first: float, last: float, steps: float) -> str:
    """Write the step after which nothing moved; of several runs, from which to which.

    It is one of so many steps, but in runs that stalled, which end there.
    """
    after = f"{first:,.0f}" if first == last else f"{first:,.0f} to {last:,.0f}"
    return f"{after} of {steps:,.0f}" if last < steps else after


class Source(NamedTuple):
    """What a folder's tables are made from."""

    campaign: str
    version: str
    machine: str
    devices: str  # that the frameworks computed on
    date: str  # of the last run that was started
    commits: tuple[str, ...]  # in the order of their first runs; + has uncommitted changes
    digest: str  # SHA-256 of the raw records
    rates: str = ""  # of the frameworks' own products, where there are several
    missing: int = 0  # runs that the campaign asks for and that are not done yet
    remarks: tuple[str, ...] = ()  # what a reader must know of the records

    @property
    def text(self) -> str:
        """All of it in one sentence."""
        missing = f"not complete: {self.missing} runs are missing"
        remarks = [*self.remarks, *([missing] if self.missing else [])]
        return (
            f"PINN-OptBench, campaign {self.campaign} {self.version} on {self.machine}, "
            f"computed on {self.devices}, {self.rates}{self.date}, {self.made_by}, raw "
            f"data SHA-256 {'; '.join([self.digest[:16], *remarks])}."
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


def source(
    records: Sequence[Record],
    folder: Path,
    missing: int = 0,
    unasked: int = 0,
) -> Source:
    """Say what records are made from; their files are in a folder.

    `missing` of the campaign's runs are not among them. Left out are `unasked` records that
    the campaign does not ask for.
    """
    commits = dict.fromkeys(
        (record.provenance.commit or "unknown")[:10]
        + ("+" if record.provenance.dirty else "")
        for record in sorted(records, key=lambda record: record.started)
    )
    digest = hashlib.sha256()
    for file in store.files_of(folder):
        content = file.read_bytes()
        if file.suffix != ".gz":  # text, whichever line ends git has given it
            content = content.replace(b"\r\n", b"\n")
        digest.update(file.name.encode() + b"\0" + content)
    labels, last = records[0].request.labels, max(record.started for record in records)
    made = [record.provenance for record in records]
    machines = Counter(each.machine for each in made)
    several = {"machines": machines, "models of CPU": Counter(each.cpu for each in made)}
    remarks = {
        "runs that shared cores with others, so that their seconds are no measure": sum(
            each.shared_cores for each in made
        ),
        "runs of an unknown commit": sum(each.commit is None for each in made),
        "runs with uncommitted changes (+)": sum(bool(each.dirty) for each in made),
        "records left out that the campaign does not ask for": unasked,
    }
    return Source(
        campaign=labels.campaign,
        version=labels.campaign_version,
        machine=next(iter(machines)) if len(machines) == 1 else "several machines",
        devices=devices(records),
        date=last[:10],
        commits=tuple(commits),
        digest=digest.hexdigest(),
        rates=rates(records),
        missing=missing,
        remarks=(
            *(f"{words}: {runs_of(of)}" for words, of in several.items() if len(of) > 1),
            *(f"{words}: {number}" for words, number in remarks.items() if number),
        ),
    )


def devices(records: Iterable[Record]) -> str:
    """Name what the frameworks computed on; of several devices, which computed on which.

    A run whose process died before it could say is left out.
    """
    frameworks: dict[str, set[str]] = {}
    for record in records:
        if device := record.provenance.device:
            frameworks.setdefault(device, set()).add(record.request.framework)
    if len(frameworks) < 2:
        return next(iter(frameworks), "an unknown device")
    each = (
        f"{on} ({', '.join(sorted(names))})" for on, names in sorted(frameworks.items())
    )
    return " and ".join(each)


def rates(records: Iterable[Record]) -> str:
    """Say how fast each framework multiplies matrices, by medians over its runs.

    Nothing where fewer than two frameworks have told.
    """
    told: dict[str, dict[str, list[float]]] = {}
    for record in records:
        for shape, rate in record.provenance.product_rates.items():
            told.setdefault(record.request.framework, {}).setdefault(shape, []).append(rate)
    if len(told) < 2:
        return ""
    each = (
        f"{framework} {in_words({shape: median(them) for shape, them in by.items()})}"
        for framework, by in sorted(told.items())
    )
    return f"the frameworks' own products in Gflop/s: {', '.join(each)}; "


def texts(table: Table, source: Source) -> dict[str, str]:
    """Give what the table's three files hold, by their names; numbers to eight digits."""
    caption = f"{table.title} {source.text}"
    rows = _without_repeats(table.shown)
    markdown = tabulate(
        _written(rows, plain_text.markdown, "**{}**"),
        headers="keys",
        tablefmt="pipe",
        showindex=False,
        disable_numparse=True,
    )
    numbers = plain_text.csv(table.data, "{:.8g}".format)
    return {
        f"{table.name}.csv": f"{plain_text.comment(caption)}\n{numbers}",
        f"{table.name}.md": f"{markdown}\n\n{plain_text.markdown(caption)}\n",
        f"{table.name}.tex": latex(rows, caption, table.name),
    }


def latex(rows: pd.DataFrame, caption: str, name: str) -> str:
    """Set a table over as many pages in landscape as it needs.

    It needs the packages booktabs and longtable.
    """
    columns = (
        "".join(map(_column, rows.columns, rows.astype(str).to_numpy().T))
        if len(rows)
        else "l" * rows.shape[1]
    )
    text = _written(rows, plain_text.latex, r"\textbf{{{}}}").to_latex(
        index=False,
        escape=False,
        longtable=True,
        caption=plain_text.latex(caption),
        label=f"tab:{name}",
        column_format=columns,
    )
    text = EXPONENT.sub(r"\\mbox{-}", text)
    widths = r"\setlength{\tabcolsep}{3pt}\setlength{\LTcapwidth}{\textwidth}"
    return f"{{\\footnotesize{widths}\n{text}}}\n"


def _written(rows: Any, write: Callable[[str], str], bold: str) -> pd.DataFrame:
    """Write headings and cells as a format has them; `bold` is its template."""

    def cell(value: Any) -> str:
        if isinstance(value, Bold):
            return bold.format(write(value.text)) + write(value.rest)
        return write(str(value))

    return rows.map(cell).rename(columns=write)


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
