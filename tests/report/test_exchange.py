"""What is published is exchanged at once, whenever it is interrupted."""

import os
import shutil
from pathlib import Path

import pytest

from optbench.report.exchange import exchanged

NAMES = ("figures", "page.html", "tables", "gone.png")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a.json").write_text("a record")
    fill(tmp_path, "old")
    (tmp_path / "gone.png").write_text("old")
    return tmp_path


def fill(folder, text):
    for name in ("tables", "figures"):
        (folder / name).mkdir()
        (folder / name / f"{text}.csv").write_text(text)
    (folder / "page.html").write_text(text)
    (folder / "SUMS").write_text(text)


def content(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_everything_is_new_and_the_rest_stays(folder):
    with exchanged(folder, NAMES, last="SUMS") as new:
        fill(new, "new")
        assert content(folder)["tables/old.csv"] == "old"
    assert content(folder) == {
        "runs/a.json": "a record",
        "tables/new.csv": "new",
        "figures/new.csv": "new",
        "page.html": "new",
        "SUMS": "new",
    }


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left"), ValueError()]
)
def test_what_was_there_stays_where_something_new_fails(folder, error):
    before = content(folder)

    def fails():
        with exchanged(folder, NAMES) as new:
            fill(new, "half")
            raise error

    with pytest.raises(type(error)):
        fails()
    assert content(folder) == before


def test_what_was_there_stays_wherever_the_exchange_is_interrupted(folder, monkeypatch):
    """At every rename, copy and deletion in turn, before it and after it."""
    before, moves, done = content(folder), [(Path, "rename"), (Path, "replace")], 0
    moves += [(shutil, "copy2"), (Path, "unlink")]
    for point in range(100):
        calls = iter(range(1000))
        with monkeypatch.context() as patch:
            for owner, name in moves:
                real = getattr(owner, name)

                def interrupted(*given, real=real, calls=calls, point=point, **options):
                    number = next(calls)
                    if number * 2 == point:
                        raise KeyboardInterrupt
                    made = real(*given, **options)
                    if number * 2 + 1 == point:
                        raise KeyboardInterrupt
                    return made

                patch.setattr(owner, name, interrupted)
            try:
                with exchanged(folder, NAMES, last="SUMS") as new:
                    fill(new, "new")
            except KeyboardInterrupt:
                done += 1
                assert content(folder) == before, point
                continue
        break
    assert done > 10
    assert content(folder)["SUMS"] == "new"


def test_a_file_is_there_at_every_moment_and_the_last_is_put_last(folder, monkeypatch):
    seen, real = [], Path.replace

    def replace(path, target):
        assert (folder / "page.html").exists()
        seen.append(Path(target).name)
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with exchanged(folder, NAMES, last="SUMS") as new:
        fill(new, "new")
    assert seen[-1] == "SUMS"


def test_what_a_killed_one_left_is_removed_and_what_another_makes_stays(folder):
    dead, alive = (folder / f".report.{number}" for number in (2**22 + 1, os.getppid()))
    for left in (dead, alive):
        (left / "new").mkdir(parents=True)
    with exchanged(folder, NAMES) as new:
        fill(new, "new")
    assert not dead.exists()
    assert alive.exists()
