"""asv's JSON, read: as one tidy frame, and a cell at a time.

As asv 0.6 writes it: `<results>/benchmarks.json` names the benchmarks and their parameters,
`<results>/<machine>/machine.json` the machine, every other JSON file there holds one commit
in one environment.
"""

import ast
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from optbench.records.store import InvalidRecord

FORMAT = 2  # of asv's result files
COLUMNS = (
    "machine",
    "memory",  # bytes of the machine's, NaN where asv does not know
    "commit",
    "date",  # of the commit
    "environment",
    "benchmark",
    "version",  # of the benchmark; values of different versions are not comparable
    "unit",
    "status",
    # of the samples of a `time_` benchmark; the value of a `track_` benchmark; or NaN
    "median",
    "q25",
    "q75",
    "samples",  # a list, None where asv kept none
)

Parameters = tuple[str, ...]  # of a cell, in asv's words


@dataclass(frozen=True)
class Value:
    """What a benchmark has for one choice of its parameters."""

    median: float | None  # None where it failed, NaN where it was skipped
    q25: float | None
    q75: float | None
    samples: list[float] | None

    @property
    def status(self) -> Literal["measured", "skipped", "failed"]:
        """Skipped by the benchmark, or because it was not selected."""
        if self.median is None:
            return "failed"
        return "skipped" if math.isnan(self.median) else "measured"


@dataclass(frozen=True)
class Column:
    """What one result file has of a benchmark."""

    version: str | None  # of the benchmark
    parameters: list[list[str]]
    cells: dict[Parameters, Value]


@dataclass(frozen=True)
class Result:
    """A result file: one commit in one environment."""

    commit: str
    date: float  # of the commit, in milliseconds
    environment: str
    benchmarks: dict[str, Column]


def load(path: Path) -> pd.DataFrame:
    """Read the results below a folder, or of one file, by date: one row per cell.

    After `COLUMNS` comes one column per parameter; one that a benchmark does not have is
    NA. `status` is that of `Value`.

    Raises:
        FileNotFoundError: there are no results, or no benchmarks.json beside the machines'
            folders.
        InvalidRecord: a file is torn or in another format.
    """
    files = (
        [path]
        if path.is_file()
        else [file for folder in machines(path) for file in results(folder)]
    )
    if not files:
        raise FileNotFoundError(
            f"no asv results in {path}: "
            "<machine>/machine.json and files beside it are looked for"
        )
    frame = pd.DataFrame([row for file in files for row in _rows(file.absolute())])
    # what is None becomes NaN
    frame = frame.astype(dict.fromkeys(("median", "q25", "q75"), float))
    parameters = frame[[name for name in frame.columns if name not in COLUMNS]]
    frame = pd.concat(
        [frame.reindex(columns=COLUMNS), parameters.convert_dtypes()], axis=1
    )  # whole numbers stay whole
    return frame.sort_values("date", kind="stable", ignore_index=True)


def machines(path: Path) -> list[Path]:
    """List the machines' folders in a folder, itself included."""
    return sorted(file.parent for file in path.rglob("machine.json"))


def results(folder: Path) -> list[Path]:
    """List a machine's result files."""
    return sorted(
        file
        for file in folder.glob("*.json")
        if file.name not in ("machine.json", "benchmarks.json")
    )


def benchmarks(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what benchmarks there are: asv's description of each, by name."""
    descriptions = _read(folder / "benchmarks.json")
    return {  # the file has a version too
        name: description
        for name, description in descriptions.items()
        if isinstance(description, dict)
    }


def result(file: Path) -> Result:
    """Read a result file; raises InvalidRecord where it is torn or in another format."""
    content = _read(file)
    if content.get("version") != FORMAT:
        raise InvalidRecord(
            f"{file}: asv's format {content.get('version')}; "
            f"{FORMAT} is read, which `asv update` writes"
        )
    try:
        # trailing columns that hold nothing are left out
        columns = {
            name: _column(dict(zip(content["result_columns"], values, strict=False)))
            for name, values in content["results"].items()
        }
        commit, date, environment = (
            content[key] for key in ("commit_hash", "date", "env_name")
        )
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidRecord(
            f"{file}: no asv result: {type(error).__name__} {error}"
        ) from error
    return Result(commit=commit, date=date, environment=environment, benchmarks=columns)


def _column(values: dict[str, Any]) -> Column:
    """Read a benchmark's columns, lists in the order of the parameters' product or None."""
    parameters = values["params"]
    cells = list(product(*parameters))
    columns = (
        values.get(name) or [None] * len(cells)
        for name in ("result", "stats_q_25", "stats_q_75", "samples")
    )
    by_cell = {
        cell: Value(
            median=_float(median), q25=_float(q25), q75=_float(q75), samples=samples
        )
        for cell, median, q25, q75, samples in zip(cells, *columns, strict=True)
    }
    return Column(values.get("version"), parameters, by_cell)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Give the rows of a result file."""
    content, machine = result(file), _read(file.with_name("machine.json"))
    descriptions = benchmarks(file.parent.parent)
    try:
        about = {
            "machine": machine["machine"],
            "memory": float(machine.get("ram") or "nan"),
            "commit": content.commit,
            "date": pd.Timestamp(content.date, unit="ms", tz="UTC"),
            "environment": content.environment,
        }
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidRecord(
            f"{file}: no asv result: {type(error).__name__} {error}"
        ) from error
    for benchmark, column in content.benchmarks.items():
        description = descriptions.get(benchmark, {})
        names = description.get("param_names", [])
        if len(names) != len(column.parameters):
            # a benchmark that is gone, or had other parameters: asv's own names
            names = [f"param{number}" for number, _ in enumerate(column.parameters, 1)]
        for cell, value in column.cells.items():
            yield {
                **about,
                "benchmark": benchmark,
                "version": column.version,
                "unit": description.get("unit"),
                "status": value.status,
                "median": value.median,
                "q25": value.q25,
                "q75": value.q75,
                "samples": value.samples,
                **dict(zip(names, map(_parameter, cell), strict=True)),
            }


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _parameter(text: str) -> Any:
    """Read a parameter, which asv writes with `repr`; what is no literal stays a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON file, in which NaN and Infinity are bare words."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRecord(f"{file}: torn or no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidRecord(f"{file}: no asv file")
    return content
