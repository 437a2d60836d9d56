"""report.html: a campaign's heat map, its curves, its tables and every run, in one file."""

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

from optbench import problems
from optbench.problems import own
from optbench.records import palette, plain_text
from optbench.records.frames import Frames
from optbench.records.record import Record, Request
from optbench.report import captions, heatmap, statistics
from optbench.report.captions import Source, Table
from optbench.report.statistics import BEFORE

TEMPLATE = Path(str(files("optbench.report"))) / "template"
MANY = 12  # columns of the heat map, from which on they are narrow
POINTS = 120  # rows of a run's history that the page has at most
DASHES = {
    name: list(dash) if dash else []
    for name, dash in {**palette.DASHES, "jax": (6, 3)}.items()
}


class Cell(NamedTuple):
    """A table's cell: what is read, and what it is sorted by.

    "" is no number, None sorts by the text.
    """

    text: str
    sort: float | str | None = None


class Filter(NamedTuple):
    """A column that the table can be filtered by."""

    name: str
    choices: list[str]


WORDS = (
    "commit",
    "first run",
    "last run",
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
    """Write the page; the same records give the same text. `frames` are the records'."""
    by_name = {table.name: table for table in tables}
    errors = by_name["errors"]
    statuses = frames.runs.groupby(["case", "label", "framework"])["status"].agg(
        lambda each: ", ".join(sorted(set(each)))
    )
    keys = [
        tuple(row)
        for row in errors.data[["case", "label", "framework"]].itertuples(index=False)
    ]
    shown = errors.shown.assign(status=[statuses[key] for key in keys])
    shown.insert(5, "status", shown.pop("status"))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
    )
    entries = _entries(keys, frames, records)
    return environment.get_template("report.html.jinja").render(
        title=f"PINN-OptBench: {source.campaign} {source.version} on {source.machine}",
        source=source.text,
        map=_map(heatmap.grid(by_name["headline"])),
        errors=errors,
        filters=_filters(shown),
        columns=list(shown.columns),
        rows=_rows(errors.data, shown),
        tables=[_plain(table) for table in tables if table is not errors],
        citation=citation(source),
        data=_embedded({"entries": entries, "colours": _colours(frames), "dashes": DASHES}),
        style=Markup(_text("uPlot.min.css") + _text("report.css")),
        uplot=Markup(_text("uPlot.iife.min.js")),
        script=Markup(_text("report.js")),
    )


def _visible(value: Any) -> Any:
    """Write texts so that they are equal wherever the page has them, spaces and all."""
    return plain_text.visible(value) if type(value) is str else value


def citation(source: Source) -> str:
    """Give the text to write below a table of ours, and the entry of a bibliography."""
    key = re.sub(r"[^A-Za-z0-9]+", "_", source.campaign)
    note = plain_text.latex(
        f"Campaign {source.campaign} {source.version} on {source.machine}, computed on "
        f"{source.devices}, {source.made_by}, raw data SHA-256 {source.digest[:16]}"
    )
    return (
        f"{source.text}\n\n"
        f"@misc{{pinn_optbench_{key}_{source.date[:4]},\n"
        "  title  = {PINN-OptBench: matched PyTorch and JAX optimizers for "
        "physics-informed neural networks},\n"
        f"  author = {{{{The PINN-OptBench contributors}}}},\n"
        f"  year   = {{{source.date[:4]}}},\n"
        f"  note   = {{{note}}}\n}}\n"
    )


def command(request: Request) -> str:
    """Give the command that repeats a run; where it has stages, its campaign's."""
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
    words += budget.split()
    for name, number in request.points.items():
        short = name in ("interior", "boundary")
        words += [f"--{name}", str(number)] if short else ["--points", f"{name}={number}"]
    for name, weight in request.weights.items():
        words += ["--weight", f"{name}={weight:g}"]
    for name in ("sampling", "march"):
        # a file of the user's own need not be here
        known = None if own.is_own(request.problem) else problems.get(request.problem)
        if (value := getattr(request, name)) != getattr(known, name, None):
            words += [f"--{name}", str(value)]
    words += [
        "--resample-every",
        str(request.resample_every),
        "--precision",
        request.precision,
    ]
    for name, value in request.hyperparameters.items():
        words += ["--set", f"{name}={json.dumps(value)}"] if value is not None else []
    return shlex.join(words)


def _filters(shown: pd.DataFrame) -> list[Filter]:
    choices = {
        name: set(shown[name]) for name in ("problem", "case", "optimizer", "framework")
    }
    choices["status"] = set(", ".join(shown["status"]).split(", "))
    return [Filter(name, sorted(values)) for name, values in choices.items()]


def _entries(
    keys: Sequence[tuple[str, ...]], frames: Frames, records: Sequence[Record]
) -> list[dict[str, Any]]:
    """Give the runs behind each row of the table of errors."""
    histories = dict(tuple(frames.floored().history.groupby("run")))
    groups: Any = frames.runs.sort_values("seed").groupby(["case", "label", "framework"])
    rows = {key: group.to_dict("records") for key, group in groups}
    return [
        {
            **dict(
                zip(("case", "optimizer", "framework"), map(_visible, key), strict=True)
            ),
            "runs": [
                _run(records[row["run"]], row, histories.get(row["run"]))
                for row in rows[key]
            ],
        }
        for key in keys
    ]


def _run(
    record: Record, row: dict[str, Any], history: pd.DataFrame | None
) -> dict[str, Any]:
    provenance = record.provenance
    moved = (
        {"nothing moved after step": f"{row['moved_until']:,.0f}"}
        if np.isfinite(row["moved_until"]) and record.status != "stalled"
        else {}
    )
    facts = {
        "relative L2": f"{record.relative_l2:.3e}",
        **_batches(record),
        "steps": f"{record.steps:,}",
        "seconds": ", ".join(
            f"{section} {seconds:.3g}" for section, seconds in record.clock.items()
        ),
        "hyperparameters": row["hyperparameters"],
        "from": row["hyperparameters_from"],
        **moved,
        "machine": f"{provenance.machine}, {provenance.device}",
        "commit": f"{provenance.commit}"
        + (" with uncommitted changes" if provenance.dirty else ""),
        "started": record.started,
        "identity": record.identity,
    }
    if provenance.shared_cores:
        facts["cores"] = "shared with another run: the seconds are no measure"
    stalls = {f"stage {stage} stalled": why for stage, why in record.stalled_stages.items()}
    if record.error:
        stalls["stalled" if record.status == "stalled" else "error"] = record.error
    facts = stalls | facts
    before = sum(row[name] for name in BEFORE if np.isfinite(row[name]))
    return {
        "seed": record.request.seed,
        "status": record.status,
        "facts": facts,
        "command": command(record.request),
        "history": [] if history is None else _history(history, before),
    }


def _batches(record: Record) -> dict[str, str]:
    """Give a run's batches in words, and its last losses, where it has other terms."""
    request = record.request
    if not request.weights and set(request.points) == {"interior", "boundary"}:
        return {}
    losses = record.history[-1].losses if record.history else {}
    each = ", ".join(f"{name} {loss:.3e}" for name, loss in losses.items())
    return {"batches": request.batches} | ({"losses": each} if each else {})


def _history(rows: Any, before: float) -> list[list[float]]:
    """Give step, optimizer seconds, seconds with set-up and compilation, and error.

    There are at most POINTS rows; `before` are the seconds of set-up and compilation.
    """
    rows = rows[np.isfinite(rows["relative_l2"])]
    if rows.empty:
        return []
    kept = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, POINTS).astype(int))]
    columns = kept["seconds"], kept["seconds"] + before, kept["relative_l2"]
    numbers = [[float(f"{value:.4g}") for value in column] for column in columns]
    return [list(row) for row in zip(kept["step"].tolist(), *numbers, strict=True)]


def _map(grid: heatmap.Grid) -> dict[str, Any]:
    """Give what the template draws of the heat map."""
    rows, ran = [], set(grid.rows)
    for optimizer in grid.optimizers:
        columns = []
        for case in grid.cases:
            cells = []
            for framework in grid.frameworks:
                if (case, framework) not in ran:
                    continue
                if cell := grid.cells.get((optimizer, case, framework)):
                    colour = grid.colour(cell)
                    cells.append((cell, colour, heatmap.ink(colour)))
                else:
                    cells.append(None)
            columns.append(cells)
        rows.append((optimizer, columns))
    return {
        "frameworks": grid.frameworks,
        "cases": [(case, heatmap.lines(case)) for case in grid.cases],
        "rows": rows,
        "legend": [(words, colour, heatmap.ink(colour)) for words, colour in grid.ticks],
        "many": len(grid.rows) > MANY,
        "partial": any(cell.share for cell in grid.cells.values()),
        "few": any(cell.runs < statistics.LEAST for cell in grid.cells.values()),
        "tuned": "; ".join(case for case in grid.cases if case in grid.tuned),
        "stopped": captions.STOPPED * any(cell.stopped for cell in grid.cells.values()),
        "absent": any(None in cells for _, columns in rows for cells in columns),
    }


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
    columns = list(table.shown)
    rows = [
        [_read(str(cell), column) for column, cell in zip(columns, row, strict=True)]
        for row in table.shown.to_numpy().tolist()
    ]
    cases = set(table.data["case"]) if "case" in table.data else set()
    # columns whose cells open runs by keyboard
    known = (cases | {"optimizer"}) & set(columns)
    return {
        "name": table.name,
        "heading": table.heading,
        "title": table.title,
        "columns": columns,
        "rows": rows,
        "opens": known if "optimizer" in columns else set(),
    }


def _read(text: str, column: str) -> Cell:
    """Make a cell that is sorted by the number that it begins with."""
    if column in WORDS:
        return Cell(text)
    number = NUMBER.match(text)
    return Cell(text, float(number[0].replace(",", "")) if number else "")


def _colours(frames: Frames) -> dict[str, str]:
    named: Any = frames.runs.assign(optimizer=frames.runs["label"])
    return {
        _visible(name): colour if colour.startswith("#") else "#808080"
        for name, colour in palette.colours(named).items()
    }


def _embedded(data: Any) -> Markup:
    """Write JSON that cannot end the element it stands in."""
    return Markup(
        json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    )


def _text(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")
