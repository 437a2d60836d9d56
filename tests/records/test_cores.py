"""Cores are claimed by locks: who shares one is told, and so is the one who was there."""

import subprocess
import sys
import textwrap

import pytest

from optbench.records import cores, file_locks


@pytest.fixture(autouse=True)
def four_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "FOLDER", tmp_path / "cores")
    monkeypatch.setattr(cores, "usable", lambda: [2, 3, 5, 7])


def silent(text):
    raise AssertionError(text)


def test_claims_are_disjoint_as_long_as_there_are_cores():
    with cores.claimed(1, silent) as one, cores.claimed(2, silent) as two:
        with cores.claimed(1, silent) as three:
            assert [one.cores, two.cores, three.cores] == [(7,), (5, 3), (2,)]
            assert not any(claim.others() for claim in (one, two, three))
        with cores.claimed(1, silent) as again:
            assert again.cores == (2,)


def test_a_shortage_is_told_with_the_process_that_has_the_core():
    said = []
    with cores.claimed(3, silent), cores.claimed(2, said.append) as late:
        assert late.cores == (2, 7)
        assert late.others() == {7: f"process {cores.os.getpid()}"}
    assert said == [
        f"core 7 is in use by process {cores.os.getpid()}; "
        "seconds of these runs are no measure"
    ]


def test_the_one_who_was_there_first_learns_of_a_visit_also_when_it_is_over():
    with cores.claimed(4, silent) as first:
        alone = first.watch()
        assert not alone()
        with cores.claimed(1, lambda text: None):
            assert alone()
            shared = first.watch()
        assert alone()
        assert shared()
        assert not first.watch()()


def test_a_core_that_a_visitor_still_holds_is_not_free():
    stay = cores.ExitStack()
    with cores.claimed(4, silent):
        visitor = stay.enter_context(cores.claimed(1, lambda text: None))
    with stay, cores.claimed(3, silent) as next_one:
        assert not set(visitor.cores) & set(next_one.cores)


def test_a_part_of_a_claim_is_not_disturbed_by_itself():
    with cores.claimed(4, silent) as whole:
        part = whole.part(2, 2)
        assert part.cores == whole.cores[2:]
        assert not part.others()


@pytest.mark.skipif(sys.platform == "win32", reason="there are other locks")
def test_a_claim_ends_with_its_process_however_that_ends():
    code = f"""
    import os, pathlib, signal
    from optbench.records import cores
    cores.FOLDER, cores.usable = pathlib.Path({str(cores.FOLDER)!r}), lambda: [7]
    with cores.claimed(1, print):
        print("claimed", flush=True)
        input()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout.readline() == "claimed\n"
        with cores.claimed(4, lambda text: None) as mine:
            assert mine.others() == {7: f"process {other.pid}"}
        other.kill()
    with cores.claimed(4, silent):
        pass


@pytest.mark.parametrize("refusal", ["no locks", "no folder"])
def test_where_no_core_can_be_claimed_is_told_once(refusal, monkeypatch, tmp_path):
    if refusal == "no locks":
        monkeypatch.setattr(file_locks, "has_locks", lambda folder: False)
    else:
        (tmp_path / "cores").write_text("a file")
    said = []
    with cores.claimed(2, said.append) as claim:
        assert claim.cores == (5, 7)
        assert not claim.others()
        assert not claim.watch()()
    (line,) = said
    assert line.startswith(f"{cores.FOLDER}: no core can be claimed there (")
