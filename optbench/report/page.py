"""report.html: a campaign's tables to sort and filter, its curves and every run behind a row, in one file."""

import json
import re
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from optbench.records import palette
from optbench.records.frames import Frames
from optbench.records.record import Record, Request
from optbench.report.formats import BOLD, Source, Table
from optbench.report.statistics import BEFORE

TEMPLATE = Path(str(files("optbench.report"))) / "template"
POINTS = 120  # rows of a run's history that the page has at most
DASHES = {
    name: list(dash) if dash else []
    for name, dash in {**palette.DASHES, "jax": (6, 3)}.items()
}


class Cell(NamedTuple):
    """A table's cell: what is read, and what it is sorted by: "" is no number, None sorts by the text."""

    text: str
    sort: float | str | None = None


class Filter(NamedTuple):
    """A column that the table can be filtered by."""

    name: str
    choices: list[str]


WORDS = (
    "case",
    "cases",
    "optimizer",
    "framework",
    "experiment",
    "hyperparameters",
    "the paper's run",
)
NUMBER = re.compile(r"[\d,]+(\.\d+)?(e[+-]\d+)?")
NUMBERS = {
    "relative L2": "relative_l2",
    "first": "first",
    "95 % interval": "low",
    "success": "finished",
    "steps": "steps",
    "ms/step": "ms_per_step",
    "total s": "total_seconds",
}


def render(
    frames: Frames, records: Sequence[Record], tables: Sequence[Table], source: Source
) -> str:
    """The page's text; the same for the same records."""
    errors, *others = tables
    statuses = frames.runs.groupby(["case", "label", "framework"])["status"].agg(
        lambda found: ", ".join(sorted(set(found)))
    )
    keys = [
        tuple(row)
        for row in errors.data[["case", "label", "framework"]].itertuples(index=False)
    ]
    shown = errors.shown.assign(status=[statuses[key] for key in keys])
    shown.insert(3, "status", shown.pop("status"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE), autoescape=True, undefined=StrictUndefined
    )
    by_key = _by_key(frames, records)
    entries = [_entry(key, *by_key[key]) for key in keys]
    return environment.get_template("report.html.jinja").render(
        title=f"PINN-OptBench: {source.campaign} {source.version} on {source.machine}",
        source=source.text,
        results_title=errors.title,
        filters=[
            Filter(
                name,
                sorted(
                    set(
                        ", ".join(shown[name]).split(", ")
                        if name == "status"
                        else shown[name]
                    )
                ),
            )
            for name in ("problem", "case", "optimizer", "framework", "status")
        ],
        columns=list(shown.columns),
        rows=_rows(errors.data, shown),
        tables=[_plain(table) for table in others],
        citation=citation(source),
        data=_embedded({"entries": entries, "colours": _colours(frames), "dashes": DASHES}),
        style=Markup(_text("uPlot.min.css") + _text("report.css")),
        uplot=Markup(_text("uPlot.iife.min.js")),
        script=Markup(_text("report.js")),
    )


def citation(source: Source) -> str:
    """What to write below a table of ours, and the entry of a bibliography."""
    return (
        f"{source.text}\n\n"
        f"@misc{{pinn_optbench_{source.campaign}_{source.date[:4]},\n"
        f"  title  = {{PINN-OptBench: matched PyTorch and JAX optimizers for physics-informed neural networks}},\n"
        f"  author = {{{{The PINN-OptBench contributors}}}},\n"
        f"  year   = {{{source.date[:4]}}},\n"
        f"  note   = {{Campaign {source.campaign} {source.version} on {source.machine}, commit {source.commit}, "
        f"raw data SHA-256 {source.digest[:16]}}}\n}}\n"
    )


def command(request: Request) -> str:
    """What repeats a run; one of stages is in no single command, but its campaign has it."""
    if request.stages:
        return f"optbench run campaign.toml --only {request.identity[:16]}"
    budget = (
        f"--steps {request.steps}" if request.steps else f"--seconds {request.seconds:g}"
    )
    words = ["optbench", "run", "--problem", request.problem, "--network", request.network]
    words += [
        "--optimizer",
        request.optimizer,
        "--framework",
        request.framework,
        "--seed",
        str(request.seed),
    ]
    words += [
        *budget.split(),
        "--interior",
        str(request.points.interior),
        "--boundary",
        str(request.points.boundary),
    ]
    words += [
        "--resample-every",
        str(request.resample_every),
        "--precision",
        request.precision,
    ]
    for name, value in request.hyperparameters.items():
        words += ["--set", f"{name}={json.dumps(value)}"] if value is not None else []
    return shlex.join(words)


def _by_key(
    frames: Frames, records: Sequence[Record]
) -> dict[tuple[str, ...], tuple[list[Record], Any]]:
    """The records of each row of the table, and their runs' rows."""
    by_identity = {record.identity: record for record in records}
    groups: Any = frames.runs.sort_values("seed").groupby(["case", "label", "framework"])
    return {
        key: ([by_identity[name] for name in rows["identity"]], rows)
        for key, rows in groups
    }


def _entry(key: tuple[str, ...], records: list[Record], rows: Any) -> dict[str, Any]:
    case, label, framework = key
    runs = [
        _run(record, row)
        for record, row in zip(records, rows.to_dict("records"), strict=True)
    ]
    return {"case": case, "optimizer": label, "framework": framework, "runs": runs}


def _run(record: Record, row: dict[str, Any]) -> dict[str, Any]:
    provenance = record.provenance
    facts = {
        "relative L2": f"{record.relative_l2:.3e}",
        "steps": f"{record.steps:,}",
        "seconds": ", ".join(
            f"{section} {seconds:.3g}" for section, seconds in record.clock.items()
        ),
        "hyperparameters": row["hyperparameters"],
        "from": row["hyperparameters_from"],
        "machine": f"{provenance.machine}, {provenance.device}",
        "commit": f"{provenance.commit}{' with uncommitted changes' if provenance.dirty else ''}",
        "started": record.started,
        "identity": record.identity,
    }
    if record.error:
        facts = {"error": record.error} | facts
    return {
        "seed": record.request.seed,
        "status": record.status,
        "facts": facts,
        "command": command(record.request),
        "history": _history(
            record, sum(row[name] for name in BEFORE if np.isfinite(row[name]))
        ),
    }


def _history(record: Record, before: float) -> list[list[float]]:
    """(step, optimizer seconds, seconds with set-up and compilation, relative L2) of at most so many rows."""
    rows = [row for row in record.history if np.isfinite(row.relative_l2)]
    kept = (
        [
            rows[index]
            for index in np.unique(np.linspace(0, len(rows) - 1, POINTS).astype(int))
        ]
        if rows
        else []
    )
    errors = [max(row.relative_l2, record.floor) for row in kept]
    return [
        [
            row.step,
            *(
                float(f"{value:.4g}")
                for value in (row.seconds, row.seconds + before, error)
            ),
        ]
        for row, error in zip(kept, errors, strict=True)
    ]


def _rows(data: pd.DataFrame, shown: pd.DataFrame) -> list[list[Cell]]:
    sorts = {column: data[name] for column, name in NUMBERS.items()}
    return [
        [
            Cell(str(value), _sort(sorts[column].iloc[number]) if column in sorts else None)
            for column, value in zip(shown.columns, row, strict=True)
        ]
        for number, row in enumerate(shown.itertuples(index=False))
    ]


def _sort(value: float) -> float | str:
    return float(value) if np.isfinite(value) else ""


def _plain(table: Table) -> dict[str, Any]:
    heading = table.name.replace("_", " ").capitalize()
    columns = list(table.shown)
    rows = [
        [
            _read(BOLD.sub(r"\1", str(cell)), column)
            for column, cell in zip(columns, row, strict=True)
        ]
        for row in table.shown.to_numpy().tolist()
    ]
    cases = set(table.data["case"]) if "case" in table.data else set()
    known = (cases | {"optimizer"}) & set(
        columns
    )  # columns whose cells open runs by keyboard
    return {
        "name": table.name,
        "heading": heading,
        "title": table.title,
        "columns": columns,
        "rows": rows,
        "opens": known,
    }


def _read(text: str, column: str) -> Cell:
    """A cell that is sorted by the number that it begins with."""
    if column in WORDS:
        return Cell(text)
    number = NUMBER.match(text)
    return Cell(text, float(number[0].replace(",", "")) if number else "")


def _colours(frames: Frames) -> dict[str, str]:
    named: Any = frames.runs.assign(optimizer=frames.runs["label"])
    return {
        name: colour if colour.startswith("#") else "#808080"
        for name, colour in palette.colours(named).items()
    }


def _embedded(data: Any) -> Markup:
    """JSON that cannot end the element it stands in."""
    return Markup(
        json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    )


def _text(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")
