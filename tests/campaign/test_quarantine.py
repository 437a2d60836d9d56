"""A user's file that hangs, ends or spoils its process costs a command one line."""

import os
import re
import signal
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
import pytest
from fakes import request
from own_files import OPTIMIZER, PDE
from waiting import within

from optbench import implementations
from optbench.campaign import campaign, expansion, quarantine
from optbench.campaign.errors import CampaignError
from optbench.campaign.quarantined import Surroundings, Voice
from optbench.cli.app import main
from optbench.problems import own
from optbench.problems.own import InvalidFile
from optbench.schedule import child_process
from optbench.training.limits import Limits

BEGIN = """
import multiprocessing, os, sys, time
from pathlib import Path
from dataclasses import replace
from optbench import problems

good = problems.get("poisson_sine_2d")
beside = Path(__file__).with_name("pid")
in_a_child = multiprocessing.parent_process() is not None

def make(**fields):
    return replace(good, **{"name": "p_2d", **fields})
"""
WRONG = PDE.replace("(K**2 -", "(K**2 +")  # another sign in the source

# each ends the process in which it is loaded or asked, or never comes back from there
HOSTILE = {
    "os._exit(7)": "its process ended while it is loaded: with exit code 7$",
    "import ctypes; ctypes.string_at(0)": "ended while it is loaded: by SIGSEGV$",
    "if in_a_child: os.kill(os.getppid(), 15)\np = make()": (
        "ended the process that started its own while .*: by SIGTERM$"
    ),
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "os.chdir('/'); raise ValueError": "changes the working directory to / while",
    "if os.fork() == 0: beside.write_text(str(os.getpid())); time.sleep(999)\np = make()": (
        "starts another process while it is loaded"
    ),
    "os.fork(); beside.write_text(str(os.getpid())); p = make()": "starts another process",
    "p = make(solution=lambda x: sys.exit(3))": "f.py: SystemExit: 3$",
    "p = make(solution=lambda x: [os.chdir('/'), good.solution(x)][1])": (
        "changes the working directory to / while it is checked"
    ),
}
ENDLESS = {
    "while True: time.sleep(1)": "does not return within 4 s while it is loaded",
    "p = make(solution=lambda x: time.sleep(999))": (
        r"does not return within 4 s while p_2d is checked \(shapes\)"
    ),
    "while True: print('x' * 10_000, file=sys.__stdout__)": "prints without an end",
}


def said_of(tmp_path, text):
    """What is said of a file that is refused, in one line and with nothing left behind."""
    file = tmp_path / "f.py"
    file.write_text(BEGIN + text)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(InvalidFile) as error:
        list(quarantine.examine(f"{file}:p_2d", ["fields", "shapes"]))
    left = set(psutil.Process().children(recursive=True)) - before
    assert not left
    pid = tmp_path / "pid"
    if pid.exists():
        within(10, lambda: not is_alive(int(pid.read_text())))
    assert re.match(rf"{file}\b", str(error.value))
    assert "\n" not in str(error.value)
    return str(error.value)


def is_alive(pid):
    """Say whether a process goes on; one that is dead may wait to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.medium
@pytest.mark.parametrize("text", HOSTILE)
def test_a_file_that_ends_or_spoils_its_process_is_refused(tmp_path, text):
    assert re.search(HOSTILE[text], said_of(tmp_path, text))


@pytest.mark.medium
@pytest.mark.parametrize("text", ENDLESS)
def test_a_file_that_never_returns_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr(quarantine, "PATIENCE", 4.0)
    assert re.search(ENDLESS[text], said_of(tmp_path, text))


CHANGES = {
    "changes the working directory to /": lambda patch, file: patch.chdir("/"),
    "changes itself": lambda patch, file: file.write_text("other"),
    "changes numpy.sqrt": lambda patch, file: patch.setattr(np, "sqrt", np.cbrt),
    "changes numpy.linalg.eigh": lambda patch, file: patch.setattr(np.linalg, "eigh", max),
    "changes what SIGTERM does": lambda patch, file: patch.setattr(
        signal, "getsignal", lambda number: number if number == signal.SIGTERM else None
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_a_file_must_leave_is_said(tmp_path, monkeypatch, change):
    file = tmp_path / "f.py"
    file.write_text("")
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    before = Surroundings.now(file)
    CHANGES[change](monkeypatch, file)
    assert list(before.changes(file)) == [change]


def test_a_thread_and_a_closed_descriptor_are_said(tmp_path, monkeypatch):
    before, end, fstat = Surroundings.now(tmp_path), threading.Event(), os.fstat
    assert list(before.changes(tmp_path)) == []
    thread = threading.Thread(target=end.wait)
    thread.start()
    monkeypatch.setattr(os, "fstat", lambda number: fstat(-1 if number == 1 else number))
    said = list(before.changes(tmp_path))
    monkeypatch.undo()
    end.set()
    thread.join()
    assert said == ["starts a thread that goes on", "closes stdout"]


def test_a_forked_copy_of_the_process_falls_silent(tmp_path, monkeypatch):
    voice = Voice(tmp_path / "answers")
    voice.say(doing="one")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(Ended):
        voice.say(doing="another")
    assert (tmp_path / "answers").read_text() == '{"doing": "one"}\n'


class Ended(Exception):
    """A process is over."""


def ended(code):
    raise Ended


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_run_that_ends_itself_is_an_error_of_the_run_alone(monkeypatch, error):
    def perform(*given, **named):
        raise error

    monkeypatch.setattr("optbench.training.run.perform", perform)
    monkeypatch.setattr(child_process, "_report", lambda content: None)
    with pytest.raises(RuntimeError, match=f"ended itself by {type(error).__name__}"):
        child_process._perform(request(), Limits())


# -- what a run asks --


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.py").write_text(PDE + "print('hello')\nprint('there')\n")
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "mine.py").write_text(
        OPTIMIZER.replace("FRAMEWORK", implementations.installed()[-1])
    )
    return tmp_path


@pytest.mark.medium
def test_a_run_asks_what_check_asks_before_it_begins(files, monkeypatch, capsys):
    monkeypatch.chdir(files)

    def begin(*options):
        command = ["run", "--problem", "wrong.py:helmholtz_2d", "--optimizer", "sgd"]
        with pytest.raises(SystemExit) as ended:
            main([*command, "--framework", "torch", "--steps", "1", *options])
        assert ended.value.code == 2
        return capsys.readouterr().err

    said = begin()
    assert said.startswith(
        'optbench: command line: case[0].problem = "wrong.py:helmholtz_2d": '
        "solution: the solution has a residual of "
    )
    assert said.endswith(f"; {quarantine.NEVERTHELESS}\n")
    assert said.count("\n") == 1
    assert not (files / "results").exists()

    def reached(*given):
        raise CampaignError("reached", (), "the runs")

    monkeypatch.setattr(expansion, "requests", reached)
    assert begin("--unchecked") == "optbench: reached: the runs\n"


@pytest.mark.medium
def test_a_good_file_is_admitted_and_what_it_prints_is_said_by_check_alone(files, capfd):
    names = [(("case", n, "problem"), f"{files}/good.py:helmholtz_2d") for n in range(2)]
    quarantine.admit(names, "a.toml")
    assert capfd.readouterr() == ("", "")
    with closing(quarantine.examine(f"{files}/good.py", ["fields"])) as words:
        assert next(words) == "helmholtz_2d"
        assert next(words).issues == []
    assert (
        capfd.readouterr().err == f"optbench: {files}/good.py prints: hello (and 1 more)\n"
    )


def test_each_file_is_asked_once_and_only_problems_are_checked(files, monkeypatch):
    asked = []

    def examine(name, checks, kind, *, aloud):
        asked.append((own.bare(name), len(checks) > 5, "frameworks" in checks, kind))
        yield "helmholtz_2d"

    monkeypatch.setattr(quarantine, "examine", examine)
    (files / "a.toml").write_text("""
version = "1.0"
steps = 1
[optimizers]
sgd = {}
label = { name = "mine.py:mine" }
two = [{ name = "sgd", share = 0.5 }, { name = "mine.py:other" }]
[[case]]
problem = "good.py:helmholtz_2d"
network = "tanh_4"
[[case]]
problem = "absent.py:helmholtz_2d"
network = "tanh_4"
[[case]]
problem = "good.py:helmholtz_2d"
network = "tanh_5"
optimizers = { "mine.py:third" = {} }
""")
    plan = campaign.read(files / "a.toml")
    quarantine.admit(quarantine.of_campaign(plan), "a.toml")
    assert asked == [
        ("good.py:helmholtz_2d", True, False, "problem"),
        ("mine.py:mine", False, False, "optimizer"),
        ("mine.py:other", False, False, "optimizer"),
        ("mine.py:third", False, False, "optimizer"),
    ]
    where = {Path(name).name: place for place, name in quarantine.of_campaign(plan)}
    assert where["mine.py:other"] == ("optimizers", "two")
    assert where["absent.py:helmholtz_2d"] == ("case", 1, "problem")


def test_a_file_that_is_refused_is_named_with_its_place(files, monkeypatch):
    def examine(name, *rest, **more):
        raise InvalidFile(f"{own.split(name)[0]}: exits")
        yield

    monkeypatch.setattr(quarantine, "examine", examine)
    with pytest.raises(CampaignError) as error:
        quarantine.admit(quarantine.of_run("heat_sine_1d", f"{files}/mine.py:mine"), "here")
    assert str(error.value) == (
        f'here: case[0].optimizers.mine.py:mine = "mine.py:mine": {files}/mine.py: exits'
    )
