"""What commands say of a folder of results: whose runs it holds, and which are one."""

from contextlib import nullcontext

import pytest
from fakes import Fake

from optbench.campaign import results_folder
from optbench.cli.app import main
from optbench.implementations import devices
from optbench.schedule import local_workers
from optbench.verify import folder_rules

MINE = """
version = "1.0"
steps = 3
points = { interior = 9, boundary = 6 }
frameworks = ["torch"]
[optimizers]
sgd = {}
"sgd again" = { name = "sgd" }
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
"""
FASTER = MINE.replace("sgd = {}", 'sgd = { learning_rate = 0.5 }\nplain = { name = "sgd" }')


class Crew:
    """Does runs with the framework made of NumPy."""

    def __init__(self, limits):
        self.in_hand, self.done, self._machine = [], 0, limits.machine

    def has_room(self):
        return not self.in_hand

    def begin(self, request, display):
        self.in_hand.append(request)

    def ended(self):
        self.done += 1
        return [Fake().perform(self.in_hand.pop(), machine=self._machine)]


@pytest.fixture
def optbench(tmp_path, monkeypatch, capsys):
    """A command in an empty folder: what it printed, and its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "ask", lambda framework: devices.Answer("cpu", None))
    monkeypatch.setattr(
        local_workers, "workers", lambda limits, *_: nullcontext(Crew(limits))
    )

    def command(*arguments):
        try:
            main([*map(str, arguments)])
            code = 0
        except SystemExit as end:
            code = end.code or 0
        told = capsys.readouterr()
        return told.out + told.err, code

    return command


# what made-up numbers and a made-up device pass too
RULES = ("checksums", "schema", "seals", "campaign", "tables", "versions")


def wrong(folder):
    """The rules of these that find something in a folder."""
    (results,) = results_folder.find(folder)
    return {name for name in RULES if list(folder_rules.RULES[name].issues(results))}


def test_one_run_under_two_names_is_done_once_and_shown_twice(optbench, tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    said, code = optbench("run", "mine.toml")
    case = "poisson_sine_2d, tanh_4"
    assert code == 0
    assert f"sgd again on {case} is the same as sgd on {case}: done once" in said
    assert "mine: 1 runs, 0 done, 1 left" in said
    (folder,) = (tmp_path / "results" / "local" / "mine").iterdir()
    assert len(list((folder / "runs").iterdir())) == 1
    rows = (folder / "table.csv").read_text().splitlines()[1:]
    assert len(rows) == 2
    assert any("sgd again" in row for row in rows)
    assert wrong(folder) == set()
    # done is done, under both names
    assert "mine: 1 runs, 1 done, 0 left" in optbench("run", "mine.toml")[0]


@pytest.mark.medium
def test_runs_of_another_campaign_are_said_and_set_aside(optbench, tmp_path):
    (tmp_path / "mine.toml").write_text(MINE)
    optbench("run", "mine.toml")
    (tmp_path / "mine.toml").write_text(FASTER.replace('"sgd again"', "# "))
    said, _ = optbench("run", "mine.toml")
    assert "does not ask for" not in said  # what was sgd is what is plain now
    other = FASTER.replace("steps = 3", "steps = 4")
    (tmp_path / "mine.toml").write_text(other)
    said, _ = optbench("run", "mine.toml")
    assert (
        "holds 2 runs that mine.toml does not ask for, of another campaign or of an "
        "earlier version: --set-aside moves them out of the way" in said
    )
    (folder,) = (tmp_path / "results" / "local" / "mine").iterdir()
    assert wrong(folder) == {"campaign"}
    said, code = optbench("run", "mine.toml", "--set-aside")
    assert (
        "does not ask for, of another campaign or of an earlier version: set aside" in said
    )
    assert code == 0
    assert wrong(folder) == set()
    kept = [file.suffix for file in (folder / "runs").iterdir()]
    assert sorted(kept) == [".aside"] * 2 + [".gz"] * 2  # nothing is deleted
    assert "does not ask for" not in optbench("run", "mine.toml")[0]
    # a part of a campaign is no other campaign
    (run, _) = results_folder.load(folder).records.values()
    said, _ = optbench("run", "mine.toml", "--only", run.identity[:12])
    assert "does not ask for" not in said


@pytest.mark.medium
def test_runs_from_the_command_line_are_no_campaign_and_no_fault(optbench, tmp_path):
    one = ["run", "--problem", "poisson_sine_2d", "--network", "tanh_4", "--steps", "3"]
    one += ["--optimizer", "sgd", "--framework", "torch", "--boundary", "6"]
    optbench(*one, "--interior", "9")
    said, _ = optbench(*one, "--interior", "18")
    assert "does not ask for" not in said
    assert "18 interior" in said
    assert "9 interior" not in said  # the table that is printed is the run's
    (folder,) = (tmp_path / "results" / "local" / "single").iterdir()
    assert wrong(folder) == set()
    (results,) = results_folder.find(folder)
    assert results.is_single
    assert not results.is_campaign
    rows = (folder / "table.csv").read_text().splitlines()[1:]
    assert len(rows) == 2  # the file has both, each in a row of its own
    assert optbench(*one, "--set-aside")[1] == 2
    # an edited table is found, and a campaign that lost its file is no such folder
    (folder / "table.csv").write_text("")
    assert wrong(folder) == {"checksums", "tables"}
    (tmp_path / "mine.toml").write_text(MINE)
    optbench("run", "mine.toml")
    (mine,) = (tmp_path / "results" / "local" / "mine").iterdir()
    (mine / results_folder.CAMPAIGN).unlink()
    assert {"campaign", "tables"} <= wrong(mine)


@pytest.mark.parametrize("kind", ["utf-8-sig", "crlf"])
def test_files_with_a_mark_of_the_byte_order_or_other_line_ends_are_read(
    kind, optbench, tmp_path
):
    def write(file, text):
        ends = text.replace("\n", "\r\n") if kind == "crlf" else text
        file.write_bytes(ends.encode("utf-8-sig" if kind == "utf-8-sig" else "utf-8"))

    write(tmp_path / "mine.toml", MINE)
    assert optbench("run", "mine.toml")[1] == 0
    write(tmp_path / "spaces.toml", "[sgd]\nmomentum = 3\n")
    said, code = optbench("tune", "mine.toml", "--spaces", "spaces.toml")
    assert (code, "spaces.toml: sgd.momentum = 3: must have a kind" in said) == (2, True)


def test_what_is_no_text_or_no_file_is_one_line(optbench, tmp_path):
    import os

    (tmp_path / "deep.toml").write_text(f"x = {'[' * 3000}{']' * 3000}\n")
    (tmp_path / "utf16.toml").write_bytes(MINE.encode("utf-16"))
    os.mkfifo(tmp_path / "pipe.py")
    own = MINE.replace('"poisson_sine_2d"', '"pipe.py:x"')
    (tmp_path / "own.toml").write_text(own)
    (tmp_path / "layers.toml").write_text(MINE.replace("tanh_4", "tanh" + "_4" * 120))
    (tmp_path / f"{'x' * 200}.toml").write_text(MINE)
    for file, message in (
        ("deep.toml", "its lists are nested too deep"),
        ("utf16.toml", "no TOML file"),
        ("own.toml", "pipe.py: is no regular file"),
        ("layers.toml", "120 hidden layers"),
        (f"{'x' * 200}.toml", "has 200 characters: must have 100 at most"),
    ):
        said, code = optbench("run", file)
        assert (code, message in said, said.count("\n")) == (2, True, 1), said
