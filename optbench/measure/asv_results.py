"""asv's result files as one tidy pandas frame: a row a benchmark, its parameters, a commit and a machine.

Read as asv 0.6 writes them: `<results>/benchmarks.json` names the parameters,
`<results>/<machine>/machine.json` the machine, every other JSON file there holds one commit
in one environment.
"""

import ast
import json
import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from optbench.records.store import InvalidRecord

FORMAT = 2  # of asv's result files
COLUMNS = (
    "machine",
    "memory",  # bytes of the machine's, NaN where asv was not told
    "commit",
    "date",  # of the commit
    "environment",
    "benchmark",
    "version",  # of the benchmark; values of different versions are not comparable
    "unit",
    "status",
    "median",  # of the samples of a `time_` benchmark; a `track_` benchmark's value; NaN where there is none
    "q25",
    "q75",
    "samples",  # a list, None where asv kept none
)


def load(path: Path) -> pd.DataFrame:
    """The results below a folder, or of one file, by date; after `COLUMNS` a column a parameter.

    `status` is "measured", "skipped" (by the benchmark, or because nobody asked for it) or
    "failed". A parameter that a benchmark does not have is NA.

    Raises:
        FileNotFoundError: there are no results, or no benchmarks.json beside the machines'
        folders. InvalidRecord: a file is torn or in another format.
    """
    files = (
        [path]
        if path.is_file()
        else [file for folder in machines(path) for file in results(folder)]
    )
    if not files:
        raise FileNotFoundError(
            f"no asv results in {path}: <machine>/machine.json and files beside it are looked for"
        )
    frame = pd.DataFrame([row for file in files for row in _rows(file.absolute())])
    parameters = frame[[name for name in frame.columns if name not in COLUMNS]]
    frame = pd.concat(
        [frame.reindex(columns=COLUMNS), parameters.convert_dtypes()], axis=1
    )  # whole numbers stay whole
    return frame.sort_values("date", kind="stable", ignore_index=True)


def machines(path: Path) -> list[Path]:
    """The machines' folders in a folder, itself included."""
    return sorted(file.parent for file in path.rglob("machine.json"))


def results(folder: Path) -> list[Path]:
    """A machine's result files."""
    return sorted(
        file
        for file in folder.glob("*.json")
        if file.name not in ("machine.json", "benchmarks.json")
    )


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The cells of a file."""
    found, machine = _read(file), _read(file.with_name("machine.json"))
    known = _read(file.parent.parent / "benchmarks.json")
    if found.get("version") != FORMAT:
        raise InvalidRecord(
            f"{file}: asv's format {found.get('version')}; {FORMAT} is read, which `asv update` writes"
        )
    try:
        about = {
            "machine": machine["machine"],
            "memory": float(machine.get("ram") or "nan"),
            "commit": found["commit_hash"],
            "date": pd.Timestamp(found["date"], unit="ms", tz="UTC"),
            "environment": found["env_name"],
        }
        for benchmark, values in found["results"].items():
            # trailing columns that hold nothing are left out
            columns = dict(zip(found["result_columns"], values, strict=False))
            named = known.get(benchmark, {})
            fields = {
                "benchmark": benchmark,
                "version": columns.get("version"),
                "unit": named.get("unit"),
            }
            yield from (
                about | fields | cell
                for cell in _cells(columns, named.get("param_names", []))
            )
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidRecord(
            f"{file}: no asv result: {type(error).__name__} {error}"
        ) from error


def _cells(columns: dict[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
    """A benchmark's parameters and values; each is a list in the order of the parameters' product, or None for all."""
    params = columns["params"]
    if len(names) != len(
        params
    ):  # a benchmark that is gone, or had other parameters: asv's own names
        names = [f"param{number}" for number in range(1, len(params) + 1)]
    cells = list(product(*params))
    values = (
        columns.get(name) or [None] * len(cells)
        for name in ("result", "stats_q_25", "stats_q_75", "samples")
    )
    for texts, median, q25, q75, samples in zip(cells, *values, strict=True):
        yield {
            "status": "failed"
            if median is None
            else "skipped"
            if math.isnan(median)
            else "measured",
            "median": _number(median),
            "q25": _number(q25),
            "q75": _number(q75),
            "samples": samples,
            **dict(zip(names, map(_parameter, texts), strict=True)),
        }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _parameter(text: str) -> Any:
    """A parameter as asv writes it, with `repr`; what is no literal stays a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _read(file: Path) -> dict[str, Any]:
    """A JSON file, in which NaN and Infinity are bare words; raises InvalidRecord where it is torn."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRecord(f"{file}: torn or no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidRecord(f"{file}: no asv file")
    return found
