"""A run of asv, from this machine's name to the published page: what asv leaves undone.

asv names a machine by its host, passes over torn files and missing numbers with exit code
0, and publishes a page that fetches scripts from public networks.
"""

import platform
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby, product
from pathlib import Path

from optbench import implementations
from optbench.implementations import devices
from optbench.measure import asv_results, git
from optbench.measure.asv_results import Column, Description, Parameters, Result
from optbench.records.files import replace
from optbench.records.plain_text import visible
from optbench.records.provenance import class_beside, gpus
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

HASH = re.compile(r"[0-9a-f]{7,64}")

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
    notes: list[str] = field(default_factory=list)  # what was not judged


class Unclear(RuntimeError):
    """What is to be looked at cannot be told; the message says why in one line."""


def this_machine(folder: Path) -> str:
    """Name this machine by what its frameworks compute on, as a folder of results does.

    Raises Unclear where they compute on different devices, for asv files both under one
    name, or where a GPU is there and no framework works that could be asked.
    """
    answers = devices.ask_all(implementations.FRAMEWORKS)
    on = {name: answer.device for name, answer in answers.items() if answer.device}
    if len(set(on.values())) > 1:
        each = ", ".join(f"{name} on {device}" for name, device in on.items())
        raise Unclear(
            f"the frameworks compute on different devices here, {each}: asv would file "
            "both under one name; hide the accelerator with CUDA_VISIBLE_DEVICES="
        )
    if not on and gpus():
        why = "; ".join(filter(None, (answer.error for answer in answers.values())))
        raise Unclear(f"whether asv measures the GPU or the CPU cannot be told: {why}")
    names = (known.name for known in asv_results.machines(folder))
    return class_beside(names, next(iter(on.values()), "cpu"))


def register(folder: Path) -> str:
    """Write this machine into asv's own file and give its name; needs asv.

    The name is the class of its hardware, never that of its host. Raises InvalidRecord
    where that file is torn or none of asv's: it is left as it is.
    """
    from asv.machine import Machine, MachineCollection
    from asv.util import UserError

    file, name = Path(MachineCollection.get_machine_file_path()), this_machine(folder)
    if file.is_file():
        asv_results.read(file)
    try:
        # `asv machine --machine NAME` would keep no field that it can guess
        MachineCollection.save(
            name, Machine.get_defaults() | {"machine": name, "os": platform.system()}
        )
    except UserError as error:
        raise InvalidRecord(" ".join(str(error).split())) from error
    return name


def commit(folder: Path, machine: str, name: str) -> str:
    """Give the hash of a commit that git knows, or that there are results of.

    What is a hash is taken as it is. Raises Unclear for any other name, or where results of
    several commits begin with it.
    """
    try:
        return git.commit(Path(), name)
    except git.Refused as error:
        found: dict[str, None] = {}
        files = asv_results.results(folder / machine)
        for _, result in asv_results.readable(files, lambda _: None):
            found[result.commit] = None
        fitting = [known for known in found if known.startswith(name)]
        if len(fitting) == 1:
            return fitting[0]
        if not fitting and HASH.fullmatch(name):
            return name
        some = _some(fitting or list(found))
        raise Unclear(
            f"{error}; give --commit the first digits of its hash: "
            f"{machine} has results of {some}"
        ) from error


def check(
    folder: Path,
    machine: str,
    commit: str,
    patterns: Sequence[str] = (),
    moved: float = MOVED,
    environment: str = "",
) -> Check:
    """Compare what asv was to measure with what a machine has of a commit.

    `patterns` are those of `asv run --bench`. One environment is judged: the one that
    `asv_results.chosen` takes of those whose name contains `environment`. Raises OSError
    where there is nothing of asv's.
    """
    outcome = Check()
    benchmarks = asv_results.benchmarks(folder)
    selected = [
        (name, cell)
        for name, description in benchmarks.items()
        for cell in product(*description.parameters)
        if not patterns or any(re.search(it, label(name, cell)) for it in patterns)
    ]
    if not selected:
        outcome.issues.append(f"no benchmark matches {', '.join(patterns)}")
    files = asv_results.results(folder / machine)
    readable = asv_results.readable(files, lambda why: outcome.issues.append(str(why)))
    found = [result for _, result in readable if environment in result.environment]
    at = {one.environment: one for one in found if one.commit.startswith(commit)}
    states = {
        name: {cell: _state(benchmarks, result, cell) for cell in selected}
        for name, result in at.items()
    }
    commits = Counter(result.environment for result in found)
    judged = asv_results.chosen(
        {
            name: (*_asked(list(cells.values())), commits[name])
            for name, cells in states.items()
        }
    )
    cells = states[judged] if judged else dict.fromkeys(selected, "not run")
    for cell, state in cells.items():
        if state == "measured":
            outcome.ran += 1
        elif state == "skipped":
            outcome.skipped.append(cell)
        else:
            outcome.missing.append(cell)
    outcome.notes += _unjudged(judged, states)
    if judged:
        columns = at[judged].benchmarks
        outcome.notes += _other_versions(
            benchmarks, columns, {name for name, _ in selected}
        )
        _compare(outcome, columns.get(CALIBRATION), moved)
    else:
        known = _some(list(dict.fromkeys(result.commit for result in found)))
        where = f" in an environment called {environment}" if environment else ""
        outcome.issues.append(
            f"{machine} has no results of commit {commit[:8]}{where}; "
            f"it has those of {known}"
        )
    return outcome


def _some(commits: Sequence[str]) -> str:
    """Name the first of some commits."""
    more = f" and {len(commits) - SHOWN} more" if len(commits) > SHOWN else ""
    return (", ".join(commit[:8] for commit in commits[:SHOWN]) or "none") + more


def _state(benchmarks: Mapping[str, Description], result: Result, cell: Cell) -> str:
    """Say what became of a cell: the status of its value, or "not run"."""
    name, parameters = cell
    column = result.benchmarks.get(name)
    if column is None or column.version != benchmarks[name].version:
        return "not run"
    value = column.cells.get(parameters)
    return value.status if value else "not run"


def _asked(states: Sequence[str]) -> tuple[int, int]:
    """Count the cells that were asked for, and those that failed."""
    count = Counter(states)
    return count["measured"] + count["failed"], count["failed"]


def _unjudged(
    judged: str | None, states: Mapping[str, Mapping[Cell, str]]
) -> Iterator[str]:
    """Name the environment that is judged, and what the others have, if there are any."""
    for name, cells in states.items() if len(states) > 1 else ():
        in_short = asv_results.in_short(name, states)
        if name == judged:
            yield f"judged: environment {in_short}"
        else:
            counts = Counter(cells.values())
            has = ", ".join(f"{number} {state}" for state, number in counts.items())
            yield f"not judged: environment {in_short}, {has}; --environment takes it"


def _other_versions(
    benchmarks: Mapping[str, Description], columns: Mapping[str, Column], names: set[str]
) -> Iterator[str]:
    """Say of which benchmarks there are results that do not count."""
    for name in sorted(names & set(columns)):
        ours, theirs = benchmarks[name], columns[name]
        if ours.version != theirs.version:
            yield (
                f"{name}: results of version {theirs.version} do not count, "
                f"benchmarks.json describes version {ours.version}"
            )
        elif not set(theirs.cells) & set(product(*ours.parameters)):
            yield f"{name}: its results have other parameters than benchmarks.json says"


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
    lines = [
        *outcome.calibration,
        *_grouped("skipped", skipped),
        *_grouped("failed or not run", missing),
        *outcome.notes,
        *outcome.issues,
        counts,
    ]
    return "\n".join(map(visible, lines))


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


def unshown(site: Path, folder: Path) -> Iterator[str]:
    """Say in lines which results in a folder a published site does not show.

    asv passes over commits that are not in the history, and over torn files, with exit code
    0. Raises FileNotFoundError where there are no results.
    """
    index = asv_results.read(site / "index.json")
    shown = set(index.get("revision_to_hash", {}).values())
    files = [
        file
        for machine in asv_results.machines(folder)
        for file in asv_results.results(machine)
    ]
    if not files:
        raise FileNotFoundError(f"no asv results in {folder}: which does the site show?")
    refused: list[asv_results.Refusal] = []
    found = asv_results.readable(files, refused.append)
    commits = list(dict.fromkeys(result.commit for _, result in found))
    if lost := [commit for commit in commits if commit not in shown]:
        line = (
            f"{len(lost)} of {len(commits)} commits are not in this history and not shown: "
            f"{_some(lost)}"
        )
        with suppress(git.Refused):
            if git.is_shallow(Path()):
                line += "; this clone's is cut off, git fetch --unshallow gets the rest"
        yield line
    yield from (f"not shown: {error}" for error in refused)


def local(name: str) -> str:
    """Name our file for one of the page's, which may not be minified.

    Raises FileNotFoundError where there is none.
    """
    for candidate in (name, name.replace(".min", "")):
        if (VENDOR / candidate).is_file():
            return candidate
    raise FileNotFoundError(f"asv's page asks for {name}, which is not in {VENDOR}")
