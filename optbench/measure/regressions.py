"""Two commits' steps measured in turn on this machine: `optbench regressions BASE HEAD`.

Of each commit its `implementations` and `problems` are measured, by this clone's
`optbench`: what measures must not change with what is measured. The base is measured twice,
which tells what equal commits differ by.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import track

from optbench.campaign.campaign import find, read
from optbench.measure.commit_process import Asked, Measured
from optbench.measure.verdicts import (
    TREES,
    Times,
    Verdict,
    counted,
    parted,
    table,
    timed,
    unmeasured,
    unsteady,
)
from optbench.records.provenance import commit_hash

CODE = Path(__file__).parents[2]  # this clone
OF_THE_COMMIT, OF_THIS_CLONE = ("implementations", "problems"), ("optbench", "benchmarks")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# whatever JAX compiles: a process takes a third of the time, and equal programs are the
# same machine code
CACHED = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


class NotMeasured(RuntimeError):
    """There is nothing to judge; the message says why in one line."""


@contextmanager
def trees(base: str, head: str) -> Iterator[dict[str, Path]]:
    """Folders with both commits' code beside this clone's `optbench`, until the end of the block."""
    with TemporaryDirectory() as folder:
        found = {
            "base": _export(base, Path(folder, "base")),
            "head": _export(head, Path(folder, "head")),
        }
        yield found | {"again": found["base"]}


def _export(commit: str, folder: Path) -> Path:
    git = ["git", "-C", str(CODE), "archive", commit, "--", *OF_THE_COMMIT]
    archive = subprocess.run(git, capture_output=True, check=False)
    if archive.returncode:
        raise NotMeasured(f"{commit}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as content:
        content.extractall(folder, filter="data")
    for package in OF_THIS_CLONE:
        shutil.copytree(
            CODE / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def run(
    base: str, head: str, asked: Sequence[Asked], rounds: int, console: Console
) -> list[Times]:
    """Measure both commits: for each of `asked` (a framework each) `rounds` processes a tree, in turn.

    Before them a process for each commit counts work and accuracy, which are exact: once is
    enough. It fills the cache of compiled programs too: those that are timed all load
    theirs.

    Raises NotMeasured where a commit is unknown or a process ends without an answer.
    """
    every = [Times(one.framework, {tree: [] for tree in TREES}, {}) for one in asked]
    pairs = list(zip(asked, every, strict=True))
    turns = [
        *product([True], pairs, ("base", "head")),
        *product([False] * rounds, pairs, TREES),
    ]
    with trees(base, head) as folders:
        for counts, (one, times), tree in track(
            turns, "processes", console=console, transient=True
        ):
            wanted = asdict(one) | (
                {"counted": True, "seconds": 0.0} if counts else {"counted": False}
            )
            found = _measure(folders[tree], wanted)
            if counts:
                times.counts[tree] = found
            else:
                times.processes[tree].append(found)
    return every


def _measure(folder: Path, wanted: dict) -> Measured:
    environment = {
        **os.environ,
        **ONE_THREAD,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    environment |= {**CACHED, "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "compiled")}
    command = [sys.executable, "-m", "optbench.measure.commit_process", json.dumps(wanted)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        *_, why = done.stderr.strip().splitlines() or [
            f"exit status {done.returncode}"
        ]  # a killed one says nothing
        raise NotMeasured(f"a process of {wanted['framework']} failed: {why}")
    return Measured(**json.loads(done.stdout))


def judge(every: Sequence[Times]) -> tuple[list[Verdict], list[str]]:
    """All verdicts, and why some optimizers or times cannot be judged."""
    verdicts, unjudged = list(parted(every)), []
    for times in every:
        verdicts += counted(times.framework, times.counts["base"], times.counts["head"])
        unjudged += unmeasured(times)
        if moved := unsteady(times):
            unjudged.append(moved)
        else:
            verdicts += timed(times)
    return verdicts, unjudged


def settings() -> dict[str, dict[str, Any]]:
    """Hyperparameters by optimizer: those of the first case of `quick.toml`, sequences of optimizers left out."""
    tables = read(find("quick")).case[0].optimizers or {}
    return {
        label: dict(table.model_extra or {})
        for label, table in tables.items()
        if not table.stages
    }


def write(
    folder: Path, base: str, head: str, every: Sequence[Times], verdicts: Sequence[Verdict]
) -> list[str]:
    """Keep all samples and the table of verdicts; says where."""
    name = "..".join(commit_hash(commit)[:8] for commit in (base, head))
    (folder / name).mkdir(parents=True, exist_ok=True)
    found = {
        times.framework: {
            tree: list(map(asdict, done)) for tree, done in times.processes.items()
        }
        for times in every
    }
    samples, verdict = folder / name / "samples.json", folder / name / "verdicts.csv"
    samples.write_text(json.dumps(found), encoding="utf-8")
    table(verdicts).to_csv(verdict, index=False)
    return [f"written: {samples}", f"written: {verdict}"]
