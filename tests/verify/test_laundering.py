"""No command makes an edited record legitimate."""

import json

import pytest
from fakes import Fake, request
from published import on_cpu, put, seal

from optbench.campaign import results_folder
from optbench.cli.app import main
from optbench.records import checksums, store

CAMPAIGN = """
version = "1.0"
frameworks = ["torch"]
seeds = [3]
points = { interior = 9, boundary = 6 }
[optimizers]
sgd = {}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
steps = 10
"""


@pytest.fixture(params=["sealed", "from before seals"])
def edited(request, tmp_path):
    """A folder with a record whose last error somebody has changed; the file."""
    return make(tmp_path, has_seal=request.param == "sealed")


def make(tmp_path, has_seal):
    folder = tmp_path / "results" / "c" / "m"
    record = on_cpu(Fake().perform(request()))
    put(folder, record)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    file = store.path(folder, record.request)
    content = json.loads(store.content(file))
    if not has_seal:
        content["seal"] = None
        file.write_bytes(store.packed(json.dumps(content)))
    seal(folder, [record])
    content["history"][-1]["relative_l2"] = 1e-9
    file.write_bytes(store.packed(json.dumps(content)))
    return file


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_run_sets_it_aside_and_does_it_again(edited):
    said = []
    kept = store.Store(edited.parent.parent, said.append)
    assert kept.find(request()) is None
    assert edited.name in said[0]
    assert "done again" in said[0]
    assert not edited.exists()
    assert len(list(edited.parent.glob("*.aside"))) == 1


def test_no_list_of_checksums_makes_it_good(edited):
    before = contents(edited.parent.parent)
    with pytest.raises(store.InvalidRecord, match=edited.name):
        checksums.write(edited.parent.parent)
    assert contents(edited.parent.parent) == before


@pytest.mark.parametrize("command", ["report", "index", "table"])
def test_a_command_over_it_writes_nothing(command, edited, monkeypatch, capsys):
    results = edited.parents[3]
    before = contents(results)
    monkeypatch.setattr("sys.argv", ["optbench", command, str(results)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert edited.name in said.err
    assert contents(results) == before


def test_verify_names_it(edited):
    (results,) = results_folder.find(edited.parents[3])
    assert [edited.name in line for line in results.torn] == [True]


def test_a_record_that_took_another_one_s_place_is_listed(tmp_path):
    """A run that was done again has another content, and a seal of its own."""
    file = make(tmp_path, has_seal=False)
    put(file.parent.parent, on_cpu(Fake().perform(request())))
    checksums.write(file.parent.parent)
    assert list(checksums.issues(file.parent.parent)) == []
