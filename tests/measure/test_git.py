"""What git answers about a clone, and in one line why it does not."""

import subprocess

import pytest

from optbench.measure import git


@pytest.fixture
def clone(tmp_path):
    """A clone with one commit, of a file in each of two folders."""
    for words in (
        ("init", "--quiet"),
        ("config", "user.name", "a"),
        ("config", "user.email", "a@localhost"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("1")
    (tmp_path / ".gitignore").write_text("*.pyc")
    for words in (("add", "."), ("commit", "--quiet", "--message", "a")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_a_commit_has_a_hash(clone):
    known = git.commit(clone, "HEAD")
    assert len(known) == 40
    assert git.commit(clone, known[:8]) == known


@pytest.mark.parametrize("name", ["nowhere", "HEAD~9", "--all", "-n", "", "HEAD:one"])
def test_a_name_that_no_commit_has_is_a_line(clone, name):
    with pytest.raises(git.Refused, match="commit ") as error:
        git.commit(clone, name)
    assert "\n" not in str(error.value)


def test_a_history_that_is_cut_off_is_said(clone):
    again = clone / "again"
    words = ("clone", "--quiet", "--depth", "1", f"file://{clone}", again)
    subprocess.run(["git", *words], check=True)
    with pytest.raises(git.Refused, match="fetch --unshallow"):
        git.commit(again, "HEAD~1")


def test_git_s_reason_is_one_line(clone, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(git.Refused, match="dubious ownership") as error:
        git.commit(clone, "HEAD")
    assert "\n" not in str(error.value)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(git.Refused, match="git does not run"):
        git.commit(clone, "HEAD")


@pytest.mark.parametrize(
    ("file", "staged", "is_change"),
    [
        (None, False, False),
        ("one/a.py", False, True),
        ("one/a.py", True, True),
        ("one/new.py", False, True),
        ("one/deep/new.py", True, True),
        ("one/a.pyc", False, False),  # ignored
        ("elsewhere.py", True, False),
    ],
)
def test_what_no_commit_has_is_seen(clone, file, staged, is_change):
    if file:
        (clone / file).parent.mkdir(exist_ok=True)
        (clone / file).write_text("2")
    if staged:
        subprocess.run(["git", "add", file], cwd=clone, check=True)
    assert git.changed(clone, ("one", "other")) == ["one"] * is_change
