"""The console prints what it can, and what it cannot costs nothing."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest

from optbench.cli.app import main
from optbench.schedule import console

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


@pytest.fixture
def opened():
    """Open a file as a standard stream; it is closed in the end."""
    streams = []

    def as_stream(file, encoding="utf-8", buffering=-1):
        streams.append(open(file, "wb", buffering))  # noqa: SIM115
        streams.append(
            io.TextIOWrapper(streams[-1], encoding, write_through=buffering == 0)
        )
        return streams[-1]

    yield as_stream
    for stream in streams:
        stream.close()


@pytest.fixture
def pipe(opened, monkeypatch):
    """Give a pipe that standard output goes to, softened: the end to read from."""
    ends = []

    def lead(encoding="utf-8", buffering=-1):
        reader, writer = os.pipe()
        monkeypatch.setattr(sys, "stdout", opened(writer, encoding, buffering))
        console.soften()
        ends.append(open(reader, "rb"))  # noqa: SIM115
        return ends[-1]

    yield lead
    for end in ends:
        end.close()


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "python -u"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_character_that_the_encoding_lacks_is_a_question_mark(encoding, buffering, pipe):
    reader = pipe(encoding, buffering)
    print("0 – Δ")
    assert console.lost() is None
    assert os.read(reader.fileno(), 100) == b"0 ? ?\n"


def test_a_file_name_that_is_no_text_is_printed(pipe):
    reader = pipe()
    print(os.fsdecode(b"caf\xe9"))
    assert console.lost() is None
    assert os.read(reader.fileno(), 100) == b"caf?\n"


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "python -u"])
def test_a_reader_who_goes_away_is_not_missed(buffering, pipe):
    reader = pipe(buffering=buffering)
    print("the first line", flush=True)
    assert reader.readline() == b"the first line\n"
    reader.close()
    for _ in range(3):
        print("nobody reads this" * 9999, flush=True)
    assert console.lost() is None


class Busy(io.RawIOBase):
    """A pipe that does not block: it takes three bytes every other time."""

    def __init__(self):
        self.ready, self.taken = False, b""

    def writable(self):
        return True

    def write(self, content):
        self.ready = not self.ready
        if self.ready:
            return None
        self.taken += bytes(content[:3])
        return len(content[:3])


def test_a_pipe_that_does_not_block_gets_everything(monkeypatch):
    busy = Busy()
    with io.TextIOWrapper(io.BufferedWriter(busy)) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        console.soften()
        print("a long line")
        assert console.lost() is None
    assert busy.taken == b"a long line\n"


@full
def test_a_full_disk_below_the_console_is_told_in_the_end(opened, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", opened(FULL))
    with pytest.raises(SystemExit) as ended:
        main(["list", "networks"])
    assert ended.value.code == 2
    assert "not all could be printed: [Errno 28]" in capsys.readouterr().err
    assert console.lost().errno == errno.ENOSPC


@pytest.mark.parametrize("command", [["list", "networks"], ["--help"]])
def test_a_command_ends_well_though_nobody_reads_it(command, opened, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", opened(writer))
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0


def test_closed_streams_lead_to_nowhere(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    console.soften()
    print("Δ\udce9", flush=True)
    print("Δ\udce9", flush=True, file=sys.stderr)
    assert sys.stdin.read() == ""
    assert console.lost() is None
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_what_is_below_stays_open(opened, monkeypatch):
    """A stream closes it when nobody has the stream any more."""
    with io.FileIO(os.devnull, "w") as below:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(below)))
        console.soften()
        print("here", flush=True)
        assert not below.closed


def test_a_stream_is_softened_once_and_a_stand_in_is_left_alone(pipe, monkeypatch):
    pipe()
    softened = sys.stdout
    console.soften()
    assert sys.stdout is softened
    monkeypatch.setattr(sys, "stdout", stand_in := io.StringIO())
    console.soften()
    assert sys.stdout is stand_in
