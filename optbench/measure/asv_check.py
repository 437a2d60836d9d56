"""What a run of asv left, and what is wrong with it: asv passes over torn files and missing numbers, and exits 0."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from pathlib import Path
from typing import Any

CALIBRATION = "calibration.Calibration.time_matmul"
SHOWN = 3  # cells of a benchmark that are named
MOVED = 0.15  # of the calibration kernel's time, from the first half of its samples to the second

Cell = tuple[str, tuple[str, ...]]  # a benchmark, its parameters in asv's words


class TornResult(ValueError):
    """A file of asv's that cannot be read; the message names it."""


@dataclass
class Check:
    """What a run left."""

    ran: int = 0
    skipped: list[Cell] = field(
        default_factory=list
    )  # not a number: its framework or the memory is missing
    missing: list[Cell] = field(default_factory=list)  # failed, or never begun
    problems: list[str] = field(default_factory=list)
    calibration: list[str] = field(
        default_factory=list
    )  # what the machine did meanwhile, a line a framework


def check(
    folder: Path,
    machine: str,
    commit: str,
    patterns: Sequence[str] = (),
    moved: float = MOVED,
) -> Check:
    """Compare what asv asked for with what a machine has of a commit; `patterns` are those of `asv run --bench`.

    Raises OSError where there is nothing of asv's.
    """
    done, results = Check(), {}
    asked = read(folder / "benchmarks.json")
    for file in sorted((folder / machine).glob("*.json")):
        try:
            results |= columns(read(file), commit)
        except TornResult as error:
            done.problems.append(str(error))
    selected = [
        (name, cell)
        for name, cell in cells(asked)
        if not patterns or _matches(patterns, label(name, cell))
    ]
    if not selected:
        done.problems.append(f"no benchmark matches {', '.join(patterns)}")
    for name, cell in selected:
        _judge(done, asked[name], results.get(name, {}), cell)
    _compare(done, results.get(CALIBRATION, {}), moved)
    return done


def read(file: Path) -> dict[str, Any]:
    """A JSON file of asv's, in which NaN stands bare; raises TornResult."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TornResult(f"{file}: torn: {error}") from error
    if not isinstance(found, dict):
        raise TornResult(f"{file}: torn: no table")
    return found


def columns(result: dict[str, Any], commit: str) -> dict[str, dict[str, Any]]:
    """A result file's columns by benchmark, trailing ones may be missing; nothing where it is of another commit."""
    if not str(result.get("commit_hash")).startswith(commit):
        return {}
    names = result["result_columns"]
    return {
        name: dict(zip(names, values, strict=False))
        for name, values in result["results"].items()
    }


def cells(asked: dict[str, Any]) -> Iterator[Cell]:
    """Every benchmark with every choice of its parameters."""
    for name, benchmark in asked.items():
        if isinstance(benchmark, dict):  # the file has a version too
            yield from ((name, cell) for cell in product(*benchmark["params"]))


def label(name: str, cell: tuple[str, ...]) -> str:
    """A cell in asv's words."""
    return f"{name}({', '.join(cell)})" if cell else name


def by_cell(found: dict[str, Any], column: str) -> dict[tuple[str, ...], Any]:
    """A column's values by parameters."""
    return dict(
        zip(product(*found.get("params") or []), found.get(column) or [], strict=False)
    )


def _matches(patterns: Sequence[str], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _judge(
    done: Check, benchmark: dict[str, Any], found: dict[str, Any], cell: tuple[str, ...]
) -> None:
    value = by_cell(found, "result").get(cell)
    if value is None or found.get("version") != benchmark["version"]:
        done.missing.append((benchmark["name"], cell))
    elif math.isnan(value):
        done.skipped.append((benchmark["name"], cell))
    else:
        done.ran += 1


def _compare(done: Check, found: dict[str, Any], moved: float) -> None:
    """The kernel's fastest sample in both halves of its samples: `make asv` takes one before and one after the rest."""
    samples = {
        cell: taken
        for cell, taken in by_cell(found, "samples").items()
        if taken and len(taken) > 1
    }
    if not samples:
        done.problems.append(
            f"{CALIBRATION} has no samples: run it too, with --record-samples"
        )
    for cell, taken in samples.items():
        half = len(taken) // 2
        before, after = min(taken[:half]), min(taken[half:])
        line = f"calibration, {', '.join(cell)}: {1e3 * before:.2f} ms, then {1e3 * after:.2f} ms"
        done.calibration.append(line)
        if max(before, after) > (1 + moved) * min(before, after):
            done.problems.append(
                f"{line}: the machine's speed moved by more than {moved:.0%}"
            )


def render(done: Check) -> str:
    """What a run left, in lines."""
    lines = [
        *done.calibration,
        *_grouped("skipped", done.skipped),
        *_grouped("failed or not run", done.missing),
    ]
    counts = f"{done.ran} measured, {len(done.skipped)} skipped, {len(done.missing)} failed or not run"
    return "\n".join([*lines, *done.problems, counts])


def _grouped(what: str, missing: list[Cell]) -> Iterator[str]:
    """A line a benchmark, which names the first of its cells."""
    for name, group in groupby(missing, key=lambda cell: cell[0]):
        labels = [label("", parameters) for _, parameters in group]
        more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        yield f"{what}: {name} {', '.join(labels[:SHOWN])}{more}"
