"""asv's JSON, read: as one tidy frame, and a cell at a time.

As asv 0.6 writes it: `<results>/benchmarks.json` names the benchmarks and their parameters,
`<results>/<machine>/machine.json` the machine, every other JSON file there holds one commit
in one environment.
"""

import ast
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from optbench.records.plain_text import visible
from optbench.records.store import InvalidRecord

FORMAT = 2  # of asv's result files
NAMED = re.compile(r"py3\.\d+|(?:jax|torch)[\d.]*\d")  # of an environment
COLUMNS = (
    "machine",
    "memory",  # bytes of the machine's, NaN where asv does not know
    "commit",
    "date",  # of the commit
    "environment",
    "benchmark",
    "version",  # of the benchmark; values of different versions are not comparable
    "current",  # whether benchmarks.json describes this version with these parameters
    "unit",
    "status",
    # of the samples of a `time_` benchmark; the value of a `track_` benchmark; or NaN
    "median",
    "q25",
    "q75",
    "samples",  # a list, None where asv kept none
)

Parameters = tuple[str, ...]  # of a cell, in asv's words
Refusal = InvalidRecord | OSError  # why a file is not read, in a line

MEMORY = re.compile(
    r"(\d+(?:,\d{3})*(?:\.\d+)?)\s*(?:([KMGT])(i?)B?|(B|bytes))?\b.*", re.IGNORECASE
)
# below the first, a number without a unit is no machine's bytes and may be asv's KiB; from
# the second on it is no machine's KiB; between them, and below a GiB in KiB, it may be more
# than one
KIB, BYTES, LEAST = 2**30, 2**32, 2**20
# what every system takes as the name of one folder
FOLDER = re.compile(r"(?![. ])[^\x00-\x1f\x7f\ud800-\udfff/\\:*?\"<>|]+(?<![. ])")
LONGEST = 200  # bytes of such a name


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
    date: pd.Timestamp  # of the commit
    environment: str
    benchmarks: dict[str, Column]


@dataclass(frozen=True)
class Description:
    """What benchmarks.json says of a benchmark."""

    names: list[str]  # of its parameters
    parameters: list[list[str]]
    version: str | None = None
    unit: str | None = None

    def names_fit(self, column: Column) -> bool:
        """Tell by their values whether a result's parameters are these, in this order."""
        ours, theirs = self.parameters, column.parameters
        return len(self.names) == len(ours) == len(theirs) and all(
            set(one) & set(other) for one, other in zip(ours, theirs, strict=True)
        )

    def describes(self, column: Column) -> bool:
        """Tell whether a result is of this version, with these parameters."""
        return self.version == column.version and self.names_fit(column)


GONE = Description([], [])  # of a benchmark that is not there any more


@dataclass(frozen=True)
class Machine:
    """What machine.json says."""

    name: str
    memory: float  # bytes, NaN where that cannot be told


def load(path: Path, leave_out: Callable[[str], None] | None = None) -> pd.DataFrame:
    """Read the results below a folder, or of one file, by date: one row per cell.

    After `COLUMNS` comes one column per parameter; one that a benchmark does not have is
    NA. A parameter called like a column is `param <name>`. `status` is that of `Value`.

    `leave_out` is told in a line of each file that is left out; without it, or where
    nothing is left, such a file is an error.

    Raises:
        FileNotFoundError: there are no results, or no benchmarks.json beside the machines'
            folders.
        InvalidRecord: a file is torn or in another format, two are of one commit in one
            environment, or two machines have one name.
    """
    there = path.absolute()
    files = (
        [there]
        if there.is_file()
        else [file for folder in machines(there) for file in results(folder)]
    )
    if not files:
        raise FileNotFoundError(
            f"no asv results in {path}: "
            "<machine>/machine.json and files beside it are looked for"
        )
    rows: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    folders: dict[str, Path] = {}
    for file, content in readable(files, refused.append):
        try:
            known = machine(file.parent)
            folder = folders.setdefault(known.name.casefold(), file.parent)
            if folder != file.parent:
                raise InvalidRecord(
                    f"{file.parent}: {known.name} is the machine of {folder} too, and two "
                    "machines of one name are not put together"
                )
            rows += _rows(content, known, benchmarks(file.parent.parent))
        except (InvalidRecord, OSError) as error:
            refused.append(error)
    if refused and (leave_out is None or not rows):
        raise refused[0]
    if not rows:
        raise FileNotFoundError(f"no asv results in {path}: its files hold no values")
    if leave_out:
        for line in dict.fromkeys(map(str, refused)):
            leave_out(line)
    frame = pd.DataFrame(rows)
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


def readable(
    files: Iterable[Path], refuse: Callable[[Refusal], None]
) -> Iterator[tuple[Path, Result]]:
    """Read result files, and refuse those that are torn or another one's double."""
    firsts: dict[tuple[Path, str, str], Path] = {}
    for file in files:
        try:
            content = result(file)
            key = file.parent, content.commit, content.environment
            first = firsts.setdefault(key, file)
            if first != file:
                raise InvalidRecord(
                    f"{file}: {first.name} is of the same commit in the same environment"
                )
        except (InvalidRecord, OSError) as error:
            refuse(error)
        else:
            yield file, content


def chosen(environments: Mapping[str, tuple[int, int, int]]) -> str | None:
    """Choose one of several environments by what each has: asked, failed, commits.

    It is the one in which the most cells were asked for, so that a part does not stand for
    the whole; of several such the one with the most failures, which another one's values
    do not mend; then the one with the most commits; then the first by name.
    """

    def rank(name: str) -> tuple[int | str, ...]:
        return (*(-count for count in environments[name]), name)

    return min(environments, key=rank, default=None)


def in_short(environment: str, others: Collection[str] = ()) -> str:
    """Name an environment, as far as others are told from it.

    asv's names have every package in them: shown are Python, the frameworks, and what not
    all of the others have.
    """
    shared = set.intersection(*(set(name.split("-")) for name in others or [environment]))
    words = environment.split("-")
    return (
        ", ".join(
            word
            for word in words
            if word not in shared or (word != words[0] and NAMED.fullmatch(word))
        )
        or environment
    )


def benchmarks(folder: Path) -> dict[str, Description]:
    """Read what benchmarks there are: asv's description of each, by name."""
    file = folder / "benchmarks.json"
    descriptions = read(file)
    try:
        return {  # the file has a version too
            name: Description(
                names=[str(each) for each in description.get("param_names") or ()],
                parameters=[
                    list(map(str, each)) for each in description.get("params") or ()
                ],
                version=_text(description.get("version")),
                unit=_text(description.get("unit")),
            )
            for name, description in descriptions.items()
            if isinstance(description, dict)
        }
    except TypeError as error:
        raise InvalidRecord(f"{file}: no description of benchmarks: {error}") from error


def machine(folder: Path) -> Machine:
    """Read a machine's name and memory.

    Raises InvalidRecord for a name that cannot be a folder's: its tables would be written
    elsewhere.
    """
    file = folder / "machine.json"
    content = read(file)
    name = content.get("machine")
    if (
        not isinstance(name, str)
        or not FOLDER.fullmatch(name)
        or len(name.encode()) > LONGEST
    ):
        raise InvalidRecord(
            f"{file}: machine {str(name)[:LONGEST]!r} cannot name a folder, which "
            f'has no / \\ : * ? " < > | and at most {LONGEST} bytes'
        )
    return Machine(name, memory(content.get("ram")))


def memory(ram: Any) -> float:
    """Give the bytes of a machine's memory, which asv lets be any text; NaN if unclear.

    asv writes bytes, and wrote KiB on Linux for years, neither with a unit: which of them
    a number is, its size tells, except where both are a machine's.
    """
    match = MEMORY.fullmatch(str(ram).strip())
    if not match:
        return math.nan
    digits, prefix, binary, unit = match.groups()
    number = float(digits.replace(",", ""))
    if prefix:
        # what is in kB comes from the kernel, which means KiB
        base = 1024 if binary or prefix in "kK" else 1000
        return number * base ** ("KMGT".index(prefix.upper()) + 1)
    if unit or number >= BYTES:
        return number
    return 1024 * number if LEAST <= number < KIB else math.nan


def result(file: Path) -> Result:
    """Read a result file; raises InvalidRecord where it is torn or in another format."""
    content = read(file)
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
        commit, environment = content["commit_hash"], content["env_name"]
        if not (isinstance(commit, str) and isinstance(environment, str)):
            raise TypeError(f"commit {commit!r}, environment {environment!r}")
        if not math.isfinite(content["date"]):
            raise ValueError(f"date {content['date']}")
        date: Any = pd.Timestamp(content["date"], unit="ms", tz="UTC")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRecord(
            f"{file}: no asv result: {type(error).__name__} {error}"
        ) from error
    return Result(commit=commit, date=date, environment=environment, benchmarks=columns)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _column(values: dict[str, Any]) -> Column:
    """Read a benchmark's columns, lists in the order of the parameters' product or None."""
    parameters = values["params"] or []
    cells = list(product(*parameters))
    columns = (
        values.get(name) or [None] * len(cells)
        for name in ("result", "stats_q_25", "stats_q_75", "samples")
    )
    by_cell = {
        cell: Value(
            median=_float(median),
            q25=_float(q25),
            q75=_float(q75),
            samples=None if samples is None else list(map(float, samples)),
        )
        for cell, median, q25, q75, samples in zip(cells, *columns, strict=True)
    }
    return Column(_text(values.get("version")), parameters, by_cell)


def _rows(
    content: Result, machine: Machine, descriptions: Mapping[str, Description]
) -> Iterator[dict[str, Any]]:
    """Give the rows of a result file."""
    for benchmark, column in content.benchmarks.items():
        description = descriptions.get(benchmark, GONE)
        names = _names(description, column)
        for cell, value in column.cells.items():
            yield {
                "machine": machine.name,
                "memory": machine.memory,
                "commit": visible(content.commit),
                "date": content.date,
                "environment": visible(content.environment),
                "benchmark": visible(benchmark),
                "version": column.version,
                "current": benchmark in descriptions and description.describes(column),
                "unit": description.unit,
                "status": value.status,
                "median": value.median,
                "q25": value.q25,
                "q75": value.q75,
                "samples": value.samples,
                **dict(zip(names, map(_parameter, cell), strict=True)),
            }


def _names(description: Description, column: Column) -> list[str]:
    """Name a result's parameters: none like a column of ours, no two alike."""
    if description.names_fit(column):
        names = description.names
    else:
        # a benchmark that is gone, or had other parameters: asv's own names
        names = [f"param{number}" for number, _ in enumerate(column.parameters, 1)]
    unlike: list[str] = []
    for name in names:
        while name in (*COLUMNS, *unlike):
            name = f"param {name}"
        unlike.append(name)
    return unlike


def _float(value: Any) -> float | None:
    """Read a number; one that is infinite is none."""
    return None if value is None or math.isinf(value := float(value)) else value


def _parameter(text: str) -> Any:
    """Read a parameter, which asv writes with `repr`; what is no literal stays a string."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str | int | float) else text


def read(file: Path) -> dict[str, Any]:
    """Read a JSON file of asv's, in which NaN and Infinity are bare words."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text)
        if "\\ud" in text.lower():  # half a character can be read but not written
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRecord(f"{file}: torn or no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidRecord(f"{file}: no asv file")
    return content
