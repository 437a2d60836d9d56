"""Two commits' steps measured in turn on this machine: `optbench regressions BASE HEAD`.

The `implementations` and `problems` of each commit are measured by this clone's `optbench`:
what measures must not change with what is measured. The base is measured twice, which tells
what equal commits differ by.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from optbench.measure import git
from optbench.measure.commit_process import Job, Measurements
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
from optbench.records import cores, files
from optbench.schedule.progress import line

CLONE = Path(__file__).parents[2]
OF_THE_COMMIT = ("implementations", "problems")
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
    """Lay both commits' code beside this clone's `optbench` until the end of the block."""
    with TemporaryDirectory() as folder:
        trees = {name: Path(folder, name) for name in ("base", "head")}
        for commit, tree in zip((base, head), trees.values(), strict=True):
            _lay(commit, tree)
        yield trees | {"again": trees["base"]}


def _lay(commit: str, tree: Path) -> None:
    """Make a tree as if the commit were installed and this clone's `optbench` over it."""
    try:
        known = git.commit(CLONE, commit)
        archive = git.ask(CLONE, "archive", known, "--", *OF_THE_COMMIT)
        packaged = bool(git.ask(CLONE, "ls-tree", known, "optbench"))
    except git.Refused as error:
        raise NotMeasured(str(error)) from error
    ours = shutil.ignore_patterns("__pycache__", *OF_THE_COMMIT)
    shutil.copytree(CLONE / "optbench", tree / "optbench", ignore=ours)
    with tarfile.open(fileobj=BytesIO(archive)) as content:
        content.extractall(packages(tree, packaged), filter="data")


def packages(tree: Path, packaged: bool) -> Path:
    """Give the folder of a commit's packages in a tree.

    It is `optbench` where the commit has that package, and one for top-level names before.
    """
    return tree / ("optbench" if packaged else "top-level")


def uncommitted() -> str | None:
    """Say in a line which measured packages hold work that no commit has, if any."""
    folders = [f"{folder}/" for folder in git.changed(CLONE, OF_THE_COMMIT)]
    has = "has" if len(folders) == 1 else "have"
    return (
        f"{' and '.join(folders)} {has} uncommitted changes, which are not measured"
        if folders
        else None
    )


def place(output: Path, base: str, head: str) -> Path:
    """Name the folder that two commits' samples and verdicts are kept in.

    Raises NotMeasured where a commit is unknown.
    """
    try:
        hashes = [git.commit(CLONE, commit)[:8] for commit in (base, head)]
    except git.Refused as error:
        raise NotMeasured(str(error)) from error
    return output / "..".join(hashes)


def run(
    base: str, head: str, jobs: Sequence[Job], rounds: int, console: Console
) -> list[Times]:
    """Measure both commits: for each job, one per framework, so many processes per tree.

    They take turns. Before them a process for each commit counts work and accuracy, which
    are exact: once is enough. It fills the cache of compiled programs too: those that are
    timed all load theirs.

    Raises NotMeasured where a commit is unknown or a process ends without an answer.
    """
    frameworks = [Times(job.framework, {tree: [] for tree in TREES}, {}) for job in jobs]
    pairs = list(zip(jobs, frameworks, strict=True))
    turns = [
        *product([True], pairs, ("base", "head")),
        *product([False] * rounds, pairs, TREES),
    ]
    with (
        trees(base, head) as folders,
        cores.claimed(1, partial(line, console)) as claim,
        # an older commit's process takes the last core that it may use
        cores.pinned_to(claim.cores),
    ):
        for counts, (job, times), tree in track(
            turns, "processes", console=console, transient=True
        ):
            if counts:
                counting = replace(job, counted=True, seconds=0.0)
                times.counts[tree] = measure(folders[tree], counting)
            else:
                timing = replace(job, counted=False)
                times.processes[tree].append(measure(folders[tree], timing))
    return frameworks


def measure(tree: Path, job: Job) -> Measurements:
    """Do a job in a process of its own; raises NotMeasured where that fails."""
    environment = {
        **os.environ,
        **cores.thread_environment(1),
        "PYTHONPATH": f"{tree}{os.pathsep}{packages(tree, packaged=False)}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **CACHED,
        "JAX_COMPILATION_CACHE_DIR": str(tree.parent / "compiled"),
    }
    words = ["-m", "optbench.measure.commit_process", json.dumps(asdict(job))]
    process = subprocess.run(
        [sys.executable, *words],
        cwd=tree,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if process.returncode:  # one that was killed says nothing
        silent = f"exit status {process.returncode}"
        *_, reason = process.stderr.strip().splitlines() or [silent]
        raise NotMeasured(f"a process of {job.framework} failed: {reason}")
    return Measurements(**json.loads(process.stdout))


def judge(frameworks: Sequence[Times]) -> tuple[list[Verdict], list[str]]:
    """Give all verdicts, and why some optimizers or times cannot be judged."""
    verdicts, unjudged = list(parted(frameworks)), []
    for times in frameworks:
        verdicts += counted(times.framework, times.counts["base"], times.counts["head"])
        unjudged += unmeasured(times)
        if moved := unsteady(times):
            unjudged.append(moved)
        else:
            verdicts += timed(times)
    return verdicts, unjudged


def write(
    place: Path, frameworks: Sequence[Times], verdicts: Sequence[Verdict]
) -> list[str]:
    """Keep all samples and the table of verdicts; give lines that say where."""
    processes = {
        times.framework: {
            tree: list(map(asdict, measurements))
            for tree, measurements in times.processes.items()
        }
        for times in frameworks
    }
    samples, verdict = place / "samples.json", place / "verdicts.csv"
    files.replace(samples, json.dumps(processes))
    files.replace(verdict, table(verdicts).to_csv(index=False, lineterminator="\n"))
    return [f"written: {samples}", f"written: {verdict}"]
