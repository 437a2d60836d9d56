"""A user's file runs first in a process of its own, which it may hang, end or spoil.

Only a file that comes out of there well runs in the process of a command. It is asked there
what `optbench check` asks, too. The process is the child of a watchman, as the process of a
run is a command's: a file that kills its parent kills the watchman.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optbench.campaign.campaign import Campaign
from optbench.campaign.errors import CampaignError, Where
from optbench.campaign.problem_checks import CHECKS, Result
from optbench.problems import own
from optbench.problems.own import InvalidFile

PATIENCE = float(os.environ.get("OPTBENCH_PATIENCE", "30"))  # seconds without a word
# what may take so many times longer: it imports a framework, or compiles in both
SLOW = {"optimizer": 2.0, "frameworks": 4.0}
LARGEST = 10_000_000  # bytes of output
GRACE = 10.0  # seconds from the last word to the end of the process
WATCH = "from optbench.campaign.quarantined import watch; watch()"
NEVERTHELESS = "`optbench check` says all of it, and --unchecked runs it nevertheless"


def admit(names: Iterable[tuple[Where, str]], source: str, unchecked: bool = False) -> None:
    """Let the user's files of some names run here, after they have run elsewhere.

    Problems must pass the checks that take no compilation, or else be `unchecked`.

    Raises:
        CampaignError: one line that names the key (`source` and where it is there), the
            file and what is wrong with it.
    """
    checks = [] if unchecked else [name for name in CHECKS if name not in SLOW]
    asked_of, asked = {"problem": checks, "optimizer": []}, set()
    for where, name in names:
        # what is not there is said where it is looked up
        if not own.is_own(name) or name in asked or not own.split(name)[0].is_file():
            continue
        asked.add(name)
        kind = "problem" if where[-1] == "problem" else "optimizer"
        try:
            # closed at once: an error would keep it, and the process with it
            with closing(examine(name, asked_of[kind], kind, aloud=False)) as words:
                for word in words:
                    if isinstance(word, Result) and word.issues:
                        first, *more = word.issues
                        others = f" (and {len(more)} more)" if more else ""
                        raise InvalidFile(f"{word.name}: {first}{others}; {NEVERTHELESS}")
        except InvalidFile as error:
            raise CampaignError(source, where, str(error), value=own.bare(name)) from error


def of_campaign(plan: Campaign) -> Iterator[tuple[Where, str]]:
    """Name a campaign's problems and optimizers, each with its place in the file."""
    for number, case in enumerate(plan.case):
        yield ("case", number, "problem"), case.problem
    tables = [(("optimizers",), plan.optimizers or {})]
    tables += [
        (("case", number, "optimizers"), case.optimizers or {})
        for number, case in enumerate(plan.case)
    ]
    for where, optimizers in tables:
        for label, table in optimizers.items():
            stages = table.stages or []
            for name in (table.name or label, *(stage.name for stage in stages)):
                yield (*where, label), name


def of_run(problem: str, optimizer: str | None = None) -> Iterator[tuple[Where, str]]:
    """Name the problem and the optimizer of one run, with their places in its campaign."""
    yield ("case", 0, "problem"), problem
    if optimizer is not None:
        yield ("case", 0, "optimizers", own.bare(optimizer)), optimizer


def examine(
    name: str, checks: Iterable[str], kind: str = "problem", *, aloud: bool = True
) -> Generator[str | Result]:
    """Run a file in a process of its own, and ask its problems there.

    Gives the name of each problem, then the results of its checks. All problems of the file
    are asked where the name has no member, and none where it is of another `kind`. What the
    file prints is said where that is to be `aloud`: a command that loads it, too, says it.

    Raises:
        InvalidFile: the file does not give the problem, or its process did not come to its
            end, or it does what no file may do that is loaded.
    """
    path, _ = own.split(name)
    question = {
        "name": name,
        "checks": list(checks),
        "kind": kind,
        "path": sys.path,
    }
    with TemporaryDirectory(prefix="optbench-") as folder:
        answers, output = Path(folder) / "answers", Path(folder) / "output"
        answers.touch()
        command = [sys.executable, "-c", WATCH, str(answers), json.dumps(question)]
        with output.open("wb") as sink:
            watchman = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            for word in _heard(path, watchman, answers, output):
                match word:
                    case {"refused": reason}:
                        raise InvalidFile(reason)
                    case {"printed": words} if aloud:
                        print(f"optbench: {words}", file=sys.stderr)
                    case {"problem": problem}:
                        yield problem
                    case {"result": fields}:
                        yield Result(*fields)
        finally:
            _end(watchman)


def _heard(
    path: Path, watchman: subprocess.Popen, answers: Path, output: Path
) -> Iterator[dict[str, Any]]:
    """Give what is said in the process, a line each, until it is at its end."""
    doing, ended, patience, last = "it is loaded", False, PATIENCE, time.monotonic()
    with answers.open(encoding="utf-8") as lines:
        unfinished = ""
        while True:
            gone = watchman.poll() is not None  # before the last look
            while unfinished := unfinished + lines.readline():
                if not unfinished.endswith("\n"):
                    break
                word, unfinished, last = json.loads(unfinished), "", time.monotonic()
                if "doing" in word:
                    doing, patience = word["doing"], PATIENCE * SLOW.get(word["check"], 1.0)
                if "died" in word:
                    raise InvalidFile(
                        f"{path}: its process ended while {doing}: {_how(word['died'])}"
                    )
                if ended := ended or "end" in word:
                    patience = GRACE
                yield word
            if gone:
                break
            if output.stat().st_size > LARGEST:
                raise InvalidFile(f"{path}: prints without an end while {doing}")
            if time.monotonic() > last + patience:
                if ended:
                    return
                raise InvalidFile(
                    f"{path}: does not return within {patience:g} s while {doing}"
                )
            time.sleep(0.01)
    if watchman.returncode or not ended:
        raise InvalidFile(
            f"{path}: ended the process that started its own while {doing}: "
            f"{_how(watchman.returncode)}"
        )


def _how(code: int) -> str:
    """Say how a process ended."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _end(watchman: subprocess.Popen) -> None:
    """Kill the watchman and all that is left of its session."""
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(watchman.pid, signal.SIGKILL)
        else:
            watchman.kill()
    watchman.wait()
