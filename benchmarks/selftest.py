"""Whether what is planted is found, and nothing else: `make asv-selftest`.

In a temporary clone, commits follow on HEAD: some change nothing, one does a pass too many,
one is faster and wrong, one takes three times as long. `optbench regressions` judges each
against the one before; `asv find` seeks the last.
"""

import csv
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

CLONE = Path(__file__).parent.parent
WORDS = ("-c", "user.name=selftest", "-c", "user.email=selftest@localhost")


@dataclass(frozen=True)
class Planted:
    """A commit that replaces one text of a file."""

    name: str
    file: str
    old: str
    new: str
    # the kind of verdict that must name it; none for a commit that changes nothing
    found_by: str = ""
    where: str = ""  # the framework and optimizer that it changes

    def is_found(self, named: list[str]) -> bool:
        """Tell whether it is named by what it must be, and nothing else is named."""
        if not self.found_by:
            return not named
        return all(self.where in line for line in named) and any(
            line.startswith(self.found_by) for line in named
        )


JUDGED = (
    Planted(
        "neutral",
        "implementations/torch/optimizers/kfac.py",
        "KFAC with momentum",
        "KFAC with a momentum",
    ),
    Planted(
        "a forward pass too many, torch",
        "implementations/torch/optimizers/kfac.py",
        "        summary = partial(summarize, self, state.preconditioner)  # 1\n",
        "        objective.losses(params, batch)\n"
        "        summary = partial(summarize, self, state.preconditioner)  # 1\n",
        found_by="work",
        where="torch kfac",
    ),
    Planted(
        "neutral",
        "implementations/jax/optimizers/kfac.py",
        "KFAC with momentum",
        "KFAC with a momentum",
    ),
    Planted(
        "the boundary's factors skipped, jax",
        "implementations/jax/optimizers/kfac.py",
        "[pairs[name][layer] for name in conditions]",
        "[pairs[INTERIOR][layer] for name in conditions]",
        found_by="accuracy",
        where="jax kfac",
    ),
)
SOUGHT = (
    Planted(
        "neutral",
        "implementations/torch/optimizers/sgd.py",
        '"""Do one step',
        '"""Do a single step',
    ),
    Planted(
        "three gradients instead of one, torch",
        "implementations/torch/optimizers/sgd.py",
        "        losses, gradient = objective.gradient(params, batch)\n",
        "        for _ in range(3):\n"
        "            losses, gradient = objective.gradient(params, batch)\n",
        found_by="asv find",
    ),
    Planted(
        "neutral",
        "implementations/torch/optimizers/sgd.py",
        '"""Do a single step',
        '"""Do one step',
    ),
)


def plant(clone: Path, planted: Planted) -> str:
    """Commit it, and give the hash; raises ValueError where the text is not there once."""
    file = clone / planted.file
    text = file.read_text(encoding="utf-8")
    if text.count(planted.old) != 1:
        raise ValueError(
            f"{planted.file} does not have this text once, so nothing is planted: "
            f"{planted.old.strip()}"
        )
    file.write_text(text.replace(planted.old, planted.new), encoding="utf-8")
    git(clone, "commit", "--quiet", "--all", "--message", planted.name)
    return git(clone, "rev-parse", "HEAD")


def git(clone: Path, *words: str) -> str:
    """Call git; give what it prints."""
    return subprocess.run(
        ["git", *WORDS, *words], cwd=clone, check=True, capture_output=True, text=True
    ).stdout.strip()


def judge(clone: Path, base: str, head: str) -> list[str]:
    """Ask `optbench regressions` what is worse: kind, framework, optimizer."""
    # two processes per tree: what is planted is found by counts, which are exact
    options = [
        *("--optimizer", "kfac", "--rounds", "2", "--seconds", "0.3"),
        *("--output", str(clone / ".asv" / "judged")),
    ]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    command = [sys.executable, "-m", "optbench", "regressions", base, head, *options]
    process = subprocess.run(
        command, cwd=clone, env=environment, check=False, capture_output=True, text=True
    )
    (verdicts,) = re.findall(r"written: (.*verdicts\.csv)", process.stdout) or [None]
    if verdicts is None:
        raise RuntimeError(process.stderr.strip())
    with Path(verdicts).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[""]]
    named = [
        f"{row['by']}: {row['what']}, {row['framework']} {row['optimizer']} "
        f"({row['head / base']})"
        for row in rows
    ]
    if process.returncode == 2 and not named:
        return ["not measured: " + process.stderr.strip().splitlines()[-1]]
    return named


def find(clone: Path, base: str, head: str) -> str:
    """Give the commit that `asv find` names for the SGD step in PyTorch."""
    machine = subprocess.run(
        [sys.executable, "-m", "optbench", "asv-machine"],
        capture_output=True,
        text=True,
        check=True,
    )
    benchmark = r"step\.Step\.time_step\('torch', 'sgd', 'poisson_sine_2d'\)"
    words = [
        *("find", "--machine", machine.stdout.strip()),
        *("--skip-save", f"{base}..{head}", benchmark),
    ]
    process = subprocess.run(
        [sys.executable, "-m", "asv", *words],
        cwd=clone,
        check=False,
        capture_output=True,
        text=True,
    )
    (commit,) = re.findall(r"Greatest regression found: ([0-9a-f]+)", process.stdout) or [
        f"none: {process.stdout[-200:]}"
    ]
    return commit


def main(runs: int) -> int:
    """Plant, judge so many times, look for the slow one.

    Gives 1 where anything is not as it must be.
    """
    rows, wrong = [], 0
    with TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        git(CLONE, "clone", "--quiet", str(CLONE), str(clone))
        start = git(clone, "rev-parse", "HEAD")
        commits = [start, *(plant(clone, planted) for planted in JUDGED)]
        for run in range(1, runs + 1):
            for planted, base, head in zip(JUDGED, commits, commits[1:], strict=False):
                named = judge(clone, base, head)
                right = planted.is_found(named)
                wrong += not right
                words = "; ".join(named) or "nothing"
                rows.append(
                    [run, planted.name, planted.found_by or "nothing", words, right]
                )
                print(f"run {run}, {planted.name}: {words}", flush=True)
        sought = [plant(clone, planted) for planted in SOUGHT]
        slow = find(clone, commits[-1], sought[-1])
        right = sought[1].startswith(slow)
        wrong += not right
        rows.append(["", SOUGHT[1].name, "asv find", f"{slow} of {sought[1][:8]}", right])
    headers = ("run", "planted", "must be named by", "was named", "right")
    print(tabulate(rows, headers, tablefmt="pipe"))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
