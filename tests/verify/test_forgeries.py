"""`verify` finds what a forger does, or says why nobody could."""

import shutil
from pathlib import Path

import pytest
from forgeries import CANNOT, FORGERIES, finish
from published import copied_from, list_checksums, put

from optbench import implementations
from optbench.campaign import campaign, expansion, results_folder
from optbench.report import heatmap, report
from optbench.training.run import perform
from optbench.verify import figures, origin_rules, rerun
from optbench.verify.finding import Remark
from optbench.verify.folder_rules import RULES

pytestmark = [
    pytest.mark.medium,
    pytest.mark.skipif("torch" not in implementations.installed(), reason="needs torch"),
]
RESULTS = Path(__file__).parents[2] / "results"
CAMPAIGN = """
version = "1.0"
frameworks = ["torch"]
seeds = [0, 1, 2]
steps = 60
points = { interior = 90, boundary = 30 }
[optimizers]
adam = { from = "tuned", learning_rate = 0.01 }
kfac = {}
wild = { name = "sgd", learning_rate = 1e5 }
[[case]]
problem = "poisson_sine_2d"
network = "tanh_8"
[[case]]
problem = "poisson_cosine_5d"
network = "tanh_8"
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A finished campaign, reported; beside it parts of what is published."""
    place = tmp_path_factory.mktemp("published")
    source = place / "forged.toml"
    source.write_text(CAMPAIGN)
    requests = expansion.requests(campaign.read(source), "forged", source.name)
    # where others had the cores meanwhile, a step's seconds may be those of no machine
    for _ in range(5):
        records = [perform(request) for request in requests]
        folder = place / "campaign" / "forged" / records[0].provenance.machine
        for record in records:
            put(folder, record)
        (folder / "campaign.toml").write_text(CAMPAIGN)
        (results,) = results_folder.find(place / "campaign")
        if all(isinstance(line, Remark) for line in RULES["speed"].issues(results)):
            break
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.figures, "make", heat_map)
        list(report.make(folder))
    for name, parts in (("gpu", "gpu_short"), ("tuning", "cpu_tuning/tuning")):
        (found,) = (RESULTS / parts).iterdir()
        there = place / name / parts / found.name
        there.mkdir(parents=True)
        for part in found.iterdir():
            if part.suffix in ("", ".toml", ".csv"):
                (shutil.copytree if part.is_dir() else shutil.copy)(part, there / part.name)
        list_checksums(there)
    return place


def heat_map(frames, records, tables, folder):
    """Draw one figure instead of all: what is compared is the same."""
    headline = next(table for table in tables if table.name == "headline")
    return heatmap.draw(heatmap.grid(headline), folder)


@pytest.fixture
def genuine(published, monkeypatch):
    """Let a repetition be the run itself, and figures drawn again those that were drawn."""
    (results,) = results_folder.find(published / "campaign")
    runs = {record.identity: record for record in results.records.values()}

    def again(request, say):
        return runs.get(request.identity) or perform(request)

    monkeypatch.setattr(rerun, "_again", again)
    monkeypatch.setattr(rerun, "_twin", lambda request: None)
    monkeypatch.setattr(figures, "_draw", copied_from(results.folder))


ASKS_GIT = ("another commit", "no seal, with the looks of old")
MADE = ("tables", "figures")  # from the records: equal where the forger made them again


def found_by(place, level):
    """The first rule that finds something, the quicker ones first."""
    (results,) = results_folder.find(place)
    rules = [name for name in RULES if name not in MADE]
    made = MADE if level != "sealed" and results.folder.parent.name == "forged" else ()
    made = ("tables",) if results.is_tuning else made
    for name in (*rules, *made):
        for line in RULES[name].issues(results):
            if not isinstance(line, Remark):
                return name, line
    if results.folder.parent.name == "forged":
        drawn = rerun.draw(results.records, 99, 0)
        for compared in rerun.repeat(drawn, 1e-6):
            if compared.issue:
                return "rerun", compared.issue
    return None


@pytest.mark.parametrize("place", ["campaign", "gpu", "tuning"])
def test_nothing_is_found_where_nothing_was_done(place, published, genuine):
    assert found_by(published / place, "plain") is None


@pytest.mark.parametrize("forgery", FORGERIES, ids=str)
def test_a_forgery_is_found(forgery, published, genuine, tmp_path):
    if forgery.name in ASKS_GIT and not origin_rules._knows_all_commits():
        pytest.skip("needs a clone with its whole history")
    shutil.copytree(published / forgery.place, tmp_path / "p")
    (results,) = results_folder.find(tmp_path / "p")
    forgery.act(results.folder)
    finish(results.folder, forgery.level)
    assert found_by(tmp_path / "p", forgery.level) is not None


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_found_is_known(name, published, genuine, tmp_path):
    shutil.copytree(published / "campaign", tmp_path / "p")
    (results,) = results_folder.find(tmp_path / "p")
    CANNOT[name][0](results.folder)
    finish(results.folder, "sealed")
    assert found_by(tmp_path / "p", "sealed") is None


def test_the_list_is_long_enough():
    assert len(FORGERIES) + len(CANNOT) >= 99
    assert len(FORGERIES) / (len(FORGERIES) + len(CANNOT)) >= 95 / 99
