"""Locks, and marks in their place where a file system refuses them."""

import errno
import sys

import pytest
from filelock import FileLock, SoftFileLock

from optbench.records import file_locks

fcntl = pytest.importorskip("fcntl")


@pytest.fixture(params=[None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def refusal(request, monkeypatch):
    """What the file system says to who asks for a lock; None: it grants it."""

    def refuse(descriptor, operation):
        raise OSError(request.param, "planted")

    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def test_a_lock_is_one_persons_whatever_the_file_system_has(refusal, tmp_path):
    file = tmp_path / "one.lock"
    lock = file_locks.of(file)
    assert isinstance(lock, SoftFileLock if refusal else FileLock)
    assert not file_locks.is_held(file)
    assert file_locks.acquired(lock)
    assert file_locks.is_held(file)
    assert not file_locks.acquired(file_locks.of(file))
    lock.release()
    assert not file_locks.is_held(file)


def test_a_note_says_who_holds_a_lock(tmp_path, monkeypatch):
    file = tmp_path / "one.lock"
    assert file_locks.holder(file) == "another process"
    file_locks.sign(file)
    assert file_locks.holder(file) == f"process {file_locks.os.getpid()}"
    monkeypatch.setattr(file_locks.platform, "node", lambda: "elsewhere")
    assert file_locks.holder(file) == "another machine"
    file_locks.unsign(file)
    assert file_locks.arrival(file) is None


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_note_is_not_written_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "one.owner").symlink_to(precious)
    file_locks.sign(tmp_path / "one.lock")
    assert precious.read_text() == "mine"
