"""Inside the process in which a user's file runs first, and the watchman before it.

The watchman imports little: what it costs, every command pays.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


def watch() -> None:
    """Start the process of a file, and say how it ended where it did not say so itself."""
    answers, question = Path(sys.argv[1]), json.loads(sys.argv[2])
    sys.path[:] = question["path"]
    # as the process of a run is started: a file may ask
    child = multiprocessing.get_context("spawn").Process(
        target=run, args=(answers, question)
    )
    child.start()
    child.join()
    if child.exitcode:
        Voice(answers).say(died=child.exitcode)


class Voice:
    """Says words to the command, a line of JSON each."""

    def __init__(self, answers: Path) -> None:
        self._answers, self._process = answers, os.getpid()

    def say(self, **word: Any) -> None:
        """Say a word; a copy of the process that the file has forked falls silent."""
        if os.getpid() != self._process:
            os._exit(0)
        with self._answers.open("a", encoding="utf-8") as file:
            file.write(json.dumps(word) + "\n")


def run(answers: Path, question: dict[str, Any]) -> None:
    """Run a file, and ask its problems."""
    voice = Voice(answers)
    try:
        _examine(voice, question)
    except BaseException as error:  # a file may raise whatever it likes
        voice.say(refused=_described(error, question["name"]))
    voice.say(end=True)
    os._exit(0)  # not waiting for what the file may have left


def _examine(voice: Voice, question: dict[str, Any]) -> None:
    """Load the file and do the checks."""
    from optbench.campaign import problem_checks
    from optbench.problems import own

    path, _ = own.split(question["name"])
    before = Surroundings.now(path)
    voice.say(doing="it is loaded", check=question["kind"])
    try:
        loaded = own.read(path)
    finally:  # what it has done counts before what it says
        for change in before.changes(path):
            voice.say(refused=f"{path}: {change} while it is loaded")
    if loaded.printed:
        voice.say(printed=f"{path} {loaded.printed}")
    if question["kind"] != "problem":
        return
    for problem in problem_checks.named(question["name"]):
        voice.say(problem=problem.name)

        def begin(check: str, name: str = problem.name) -> None:
            voice.say(doing=f"{name} is checked ({check})", check=check)

        for result in problem_checks.check(problem, question["checks"], begin):
            voice.say(result=result)
    for change in before.changes(path):
        voice.say(refused=f"{path}: {change} while it is checked")


def _described(error: BaseException, name: str) -> str:
    """Put an error into a line that names the file."""
    from optbench.problems import own

    if isinstance(error, own.InvalidFile):
        return str(error)
    return f"{own.split(name)[0]}: {own.in_a_line(error)}"


class Surroundings(NamedTuple):
    """What a file that is loaded must leave as it is."""

    folder: str
    content: bytes
    threads: frozenset[threading.Thread]
    children: frozenset[int]
    handlers: dict[signal.Signals, Any]
    numpy: dict[str, Any]  # by a name such as numpy.sqrt

    @classmethod
    def now(cls, path: Path) -> "Surroundings":
        """Look at them."""
        import numpy as np
        import psutil

        return cls(
            folder=os.getcwd(),
            content=path.read_bytes() if path.is_file() else b"",
            threads=frozenset(threading.enumerate()),
            children=frozenset(child.pid for child in psutil.Process().children()),
            handlers={n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)},
            numpy={
                f"{module.__name__}.{name}": value
                for module in (np, np.linalg, np.random)
                for name, value in vars(module).items()
                if not name.startswith("_")
            },
        )

    def changes(self, path: Path) -> Iterator[str]:
        """Say what is not as it was, in words that continue the file's name."""
        now = Surroundings.now(path)
        if now.folder != self.folder:
            yield f"changes the working directory to {now.folder}"
        if now.content != self.content:
            yield "changes itself"
        if now.threads - self.threads:
            yield "starts a thread that goes on"
        if now.children - self.children:
            yield "starts another process"
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            try:
                os.fstat(number)
            except OSError:
                yield f"closes {name}"
        for number, handler in self.handlers.items():
            if now.handlers[number] is not handler:
                yield f"changes what {number.name} does"
        for name, value in self.numpy.items():
            if now.numpy.get(name) is not value:
                yield f"changes {name}"
