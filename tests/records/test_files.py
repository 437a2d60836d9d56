"""Files on disk: whole or not there, on every file system and every system."""

import ast
import errno
import os
from pathlib import Path

import pytest

from optbench.records import files

ROOT = Path(__file__).parents[2]
SOURCES = [
    file
    for room in ("optbench", "implementations", "problems")
    for file in sorted((ROOT / room).rglob("*.py"))
]
# what a method must be given; nothing writes text but `files.replace`
NEEDED = {"read_text": "encoding", "to_csv": "lineterminator", "write_text": "never"}
NO_FLUSH = [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES]


@pytest.fixture(autouse=True)
def nothing_is_said(monkeypatch):
    monkeypatch.setattr(files, "_said", set())


def refusing(function, code, refuses=lambda descriptor: True):
    """Give a function of the system that says no."""

    def refuse(what, *rest):
        if refuses(what):
            raise OSError(code, os.strerror(code))
        return function(what, *rest)

    return refuse


@pytest.mark.parametrize("code", NO_FLUSH)
def test_a_file_system_that_does_not_flush_is_said_once(
    code, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(files.os, "fsync", refusing(os.fsync, code))
    for name in ("a", "b"):
        files.replace(tmp_path / name, f"{name}\n")
    assert [file.read_text() for file in sorted(tmp_path.iterdir())] == ["a\n", "b\n"]
    (said,) = caplog.messages
    assert f"{tmp_path}: its file system does not flush ({os.strerror(code)})" in said


def test_a_folder_that_cannot_be_opened_is_said_once(tmp_path, monkeypatch, caplog):
    """As on Windows."""
    refused = refusing(os.open, errno.EACCES, os.path.isdir)
    monkeypatch.setattr(files.os, "open", refused)
    files.replace(tmp_path / "a", b"1")
    files.replace(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_leaves_the_old_file_and_says_which(code, tmp_path, monkeypatch):
    files.replace(tmp_path / "a", "old")
    monkeypatch.setattr(files.os, "fsync", refusing(os.fsync, code))
    with pytest.raises(OSError, match=r"/a'$") as failed:
        files.replace(tmp_path / "a", "new")
    assert failed.value.errno == code
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_text_is_utf_8_with_its_own_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "linesep", "\r\n")
    files.replace(tmp_path / "a", "–\n")
    assert (tmp_path / "a").read_bytes() == b"\xe2\x80\x93\n"


def test_no_text_depends_on_the_system_s_encoding_or_line_ends():
    """Text is read as UTF-8, and written by `files.replace`; pandas' line end is "\\n"."""
    faults = []
    for file in SOURCES:
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = getattr(getattr(call, "func", None), "attr", None)
            if name is None:
                continue
            given = {word.arg for word in call.keywords}
            needed = NEEDED.get(name) or ("encoding" if "text" in given else None)
            if needed and needed not in given:
                faults.append(f"{file.relative_to(ROOT)}:{call.lineno} {name}")
    assert faults == []
