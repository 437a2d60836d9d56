"""git, asked about a clone: its answer, or in one line why there is none."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

NO_COMMIT = "Needed a single revision"  # what git says of a name that no commit has


class Refused(RuntimeError):
    """git gave no answer; the message is its reason, in one line."""


def ask(clone: Path, *words: str) -> bytes:
    """Give what a command of git's prints in a clone; raises Refused."""
    try:
        done = subprocess.run(
            ["git", "-C", str(clone), *words],
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise Refused(f"git does not run: {error}") from error
    if done.returncode:  # what follows the first line is advice
        first, *_ = done.stderr.decode(errors="replace").strip().splitlines() or [
            f"git {words[0]} ended with code {done.returncode}"
        ]
        raise Refused(first.removeprefix("fatal: "))
    return done.stdout


def commit(clone: Path, name: str) -> str:
    """Give the hash of a commit; raises Refused, with the name, where there is none."""
    try:
        return ask(clone, "rev-parse", "--verify", f"{name}^{{commit}}").decode().strip()
    except Refused as error:
        reason = str(error)
        if reason == NO_COMMIT:
            reason = "there is none of this name here"
            if is_shallow(clone):
                reason += ", where the history is cut off (git fetch --unshallow)"
        raise Refused(f"commit {name}: {reason}") from error


def is_shallow(clone: Path) -> bool:
    """Say whether a clone holds the newest part of its history alone."""
    return ask(clone, "rev-parse", "--is-shallow-repository").strip() == b"true"


def changed(clone: Path, folders: Iterable[str]) -> list[str]:
    """List those of a clone's folders that hold what is in no commit, staged or not."""
    status = ("status", "--porcelain", "--untracked-files=all", "--")
    return [folder for folder in folders if ask(clone, *status, folder)]
