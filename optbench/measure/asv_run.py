"""A run of asv, from this machine's name to the published page: what asv leaves undone.

asv names a machine by its host, passes over torn files and missing numbers with exit code
0, and publishes a page that fetches scripts from public networks.
"""

import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby, product
from pathlib import Path

from optbench.measure import asv_results
from optbench.measure.asv_results import Column, Parameters
from optbench.records.files import replace
from optbench.records.provenance import machine_class
from optbench.records.store import InvalidRecord

CALIBRATION = "calibration.Calibration.time_matmul"
SHOWN = 3  # cells of a benchmark that are named
MOVED = 0.15  # of the calibration's time, from the first half of its samples to the second
VENDOR = Path(str(files("optbench.benchmarks"))) / "site"
# a script or a style sheet from elsewhere: the tag up to its address, the address's last
# part
ELSEWHERE = re.compile(
    r'(<script src|<link rel="stylesheet" href)="https?://[^"]*/([^"/]+)"[^>]*>'
)

Cell = tuple[str, Parameters]  # a benchmark and its parameters


@dataclass
class Check:
    """What a run left."""

    ran: int = 0
    # not a number: its framework or the memory is missing
    skipped: list[Cell] = field(default_factory=list)
    missing: list[Cell] = field(default_factory=list)  # failed, or never begun
    issues: list[str] = field(default_factory=list)
    # what the machine did meanwhile, one line per framework
    calibration: list[str] = field(default_factory=list)


def register() -> str:
    """Write this machine into asv's own file and give its name; needs asv.

    The name is the class of its hardware, never that of its host.
    """
    from asv.machine import Machine, MachineCollection

    name = machine_class()
    # `asv machine --machine NAME` would keep no field that it can guess
    MachineCollection.save(
        name, Machine.get_defaults() | {"machine": name, "os": platform.system()}
    )
    return name


def check(
    folder: Path,
    machine: str,
    commit: str,
    patterns: Sequence[str] = (),
    moved: float = MOVED,
) -> Check:
    """Compare what asv was to measure with what a machine has of a commit.

    `patterns` are those of `asv run --bench`. Raises OSError where there is nothing of
    asv's.
    """
    outcome, measured = Check(), {}
    benchmarks = asv_results.benchmarks(folder)
    for file in asv_results.results(folder / machine):
        try:
            result = asv_results.result(file)
        except InvalidRecord as error:
            outcome.issues.append(str(error))
        else:
            if result.commit.startswith(commit):
                measured |= result.benchmarks
    selected = [
        (name, cell)
        for name, description in benchmarks.items()
        for cell in product(*description["params"])
        if not patterns or any(re.search(it, label(name, cell)) for it in patterns)
    ]
    if not selected:
        outcome.issues.append(f"no benchmark matches {', '.join(patterns)}")
    for name, cell in selected:
        column = measured.get(name)
        value = column and column.cells.get(cell)
        if (
            column is None
            or value is None
            or value.status == "failed"
            or column.version != benchmarks[name]["version"]
        ):
            outcome.missing.append((name, cell))
        elif value.status == "skipped":
            outcome.skipped.append((name, cell))
        else:
            outcome.ran += 1
    _compare(outcome, measured.get(CALIBRATION), moved)
    return outcome


def label(name: str, cell: Parameters) -> str:
    """Name a cell as asv does."""
    return f"{name}({', '.join(cell)})" if cell else name


def _compare(outcome: Check, column: Column | None, moved: float) -> None:
    """Compare the calibration's fastest samples: half of them come last."""
    samples = {
        cell: value.samples
        for cell, value in (column.cells if column else {}).items()
        if value.samples and len(value.samples) > 1
    }
    if not samples:
        outcome.issues.append(
            f"{CALIBRATION} has no samples: run it too, with --record-samples"
        )
    for cell, seconds in samples.items():
        half = len(seconds) // 2
        before, after = min(seconds[:half]), min(seconds[half:])
        line = (
            f"calibration, {', '.join(cell)}: "
            f"{1e3 * before:.2f} ms, then {1e3 * after:.2f} ms"
        )
        outcome.calibration.append(line)
        if max(before, after) > (1 + moved) * min(before, after):
            outcome.issues.append(
                f"{line}: the machine's speed moved by more than {moved:.0%}"
            )


def render(outcome: Check) -> str:
    """Say in lines what a run left."""
    skipped, missing = outcome.skipped, outcome.missing
    counts = (
        f"{outcome.ran} measured, {len(skipped)} skipped, {len(missing)} failed or not run"
    )
    return "\n".join(
        [
            *outcome.calibration,
            *_grouped("skipped", skipped),
            *_grouped("failed or not run", missing),
            *outcome.issues,
            counts,
        ]
    )


def _grouped(what: str, cells: list[Cell]) -> Iterator[str]:
    """Give one line per benchmark, which names the first of its cells."""
    for name, group in groupby(cells, key=lambda cell: cell[0]):
        labels = [label("", parameters) for _, parameters in group]
        more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        yield f"{what}: {name} {', '.join(labels[:SHOWN])}{more}"


def carry(site: Path) -> list[str]:
    """Put the files that asv's page would fetch beside it: it then opens offline.

    Gives their names; raises OSError where one is missing.
    """
    page = site / "index.html"
    text = page.read_text(encoding="utf-8")
    names = [local(name) for _, name in ELSEWHERE.findall(text)]
    (site / "vendor").mkdir(exist_ok=True)
    for file in VENDOR.iterdir():
        shutil.copy(file, site / "vendor")
    replace(page, ELSEWHERE.sub(lambda tag: f'{tag[1]}="vendor/{local(tag[2])}">', text))
    return names


def local(name: str) -> str:
    """Name our file for one of the page's, which may not be minified.

    Raises FileNotFoundError where there is none.
    """
    for candidate in (name, name.replace(".min", "")):
        if (VENDOR / candidate).is_file():
            return candidate
    raise FileNotFoundError(f"asv's page asks for {name}, which is not in {VENDOR}")
