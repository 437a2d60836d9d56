"""The list for a GPU that is had for minutes: its order, its time, and where it goes on."""

import pytest
from commands import cli

from optbench.campaign import campaign as campaigns
from optbench.measure import gpu
from optbench.measure.gpu import Entry

TODO = [Entry(name, 60, ("list", name)) for name in ("one", "two", "three")]


class Machine:
    """Has an entry's output after so many seconds each."""

    def __init__(self, **seconds):
        self.time, self.seconds, self.called, self.said = 0.0, seconds, [], []

    def now(self):
        return self.time

    def call(self, entry, output, limit):
        self.called.append((entry.name, limit))
        taken = self.seconds[entry.name]
        self.time += min(taken, limit)
        output.write_text("what it printed")
        return taken <= limit

    def carry_out(self, folder, seconds):
        gpu.carry_out(TODO, folder, seconds, self.said.append, self.call, self.now)


def test_a_list_is_broken_off_and_goes_on(tmp_path):
    machine = Machine(one=20, two=100, three=30)
    machine.carry_out(tmp_path, 65)
    # what is left for two ends with the time, and nothing is left for three
    assert machine.called == [("one", 60), ("two", 45)]
    assert "three: not begun, 0 s are left; next time" in machine.said
    assert {path.name for path in tmp_path.iterdir()} == {"one.txt", "two.partial"}
    machine.seconds["two"] = 50
    machine.called.clear()
    machine.carry_out(tmp_path, 1000)
    assert machine.called == [("two", 60), ("three", 60)]
    assert {path.name for path in tmp_path.iterdir()} == {"one.txt", "two.txt", "three.txt"}
    machine.called.clear()
    machine.carry_out(tmp_path, 1000)
    assert machine.called == []
    assert machine.said[-1] == f"three: done before, in {tmp_path / 'three.txt'}"


def test_a_command_that_takes_too_long_is_interrupted(tmp_path, monkeypatch):
    (tmp_path / "optbench.py").write_text(
        "import time\nprint('begun', flush=True)\ntime.sleep(600)"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    output = tmp_path / "output"
    assert not gpu.optbench(Entry("slow", 60, ()), output, 3.0)
    assert output.read_text().startswith("begun\n")
    assert "KeyboardInterrupt" in output.read_text()


@pytest.mark.parametrize(
    ("words", "ended"), [(("list", "campaigns"), True), (("no",), False)]
)
def test_a_command_s_output_is_kept(tmp_path, words, ended):
    output = tmp_path / "output"
    assert gpu.optbench(Entry("it", 60, words), output, 60.0) == ended
    assert ("gpu_ladder" if ended else "No such command") in output.read_text()


def test_the_order_is_that_of_their_worth():
    names = [entry.name for entry in gpu.entries("results")]
    assert names[:2] == ["checks", "ladder"]
    assert names[-1] == "standard"
    assert len(names) == 3 + len(gpu.PROFILED) * len(gpu.WIDTHS)
    ladder = campaigns.read(campaigns.find("gpu_ladder"))
    widths = {case.name for case in ladder.case}
    assert {f"width {width}" for width in (256, 512, 1024, 2048, 4096, 8192)} <= widths


@pytest.mark.slow
def test_the_whole_list_in_its_cpu_dress(tmp_path):
    done = cli("gpu", "--small", "--minutes", "20", "--results", "here", cwd=tmp_path)
    assert done.returncode == 0
    (folder,) = (tmp_path / "here" / "gpu").iterdir()
    assert not list(folder.glob("*.partial"))
    assert len(list(folder.glob("*.txt"))) == 3 + len(gpu.PROFILED)


def test_without_an_accelerator_it_says_how_to_try_it(tmp_path):
    result = cli("gpu", cwd=tmp_path)
    assert result.returncode == 2
    assert "no accelerator computes here: --small tries the list on a CPU" in result.stderr
    assert list(tmp_path.iterdir()) == []
