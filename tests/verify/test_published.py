"""What `results/` publishes passes `verify` and is made again byte for byte."""

import shutil
from pathlib import Path

import pytest

import optbench
from optbench.campaign import results_folder
from optbench.measure import asv_report
from optbench.report import index, report
from optbench.verify import verify as check

RESULTS = Path(__file__).parents[2] / "results"
UNDER_WAY = "*Under way.*"  # how the note of a campaign begins that is not whole
MISSING = "a run that the campaign asks for is missing"
FOUND = [
    results
    for results in results_folder.find(RESULTS)
    if index.OURS not in results.folder.relative_to(RESULTS).parts
]
FOLDERS = sorted(
    file.parent for file in RESULTS.glob("*/*/report.html") if file.parts[-3] != index.OURS
)


def marks(folder):
    """Slow, but for one of them: figures of all cases take a minute."""
    return () if folder.parent.name == "gpu_short" else pytest.mark.slow


@pytest.mark.parametrize(
    "results", FOUND, ids=lambda results: results.folder.relative_to(RESULTS).as_posix()
)
def test_nothing_is_wrong_with_what_is_published(results):
    """A campaign under way lacks runs: it has no report yet, or a note that says so."""
    if results.is_campaign and not (results.folder / report.PAGE).exists():
        pytest.skip("under way")
    issues = [
        issue
        for finding in check.findings([results], leave_out=["figures"])
        for issue in finding.issues
    ]
    note = results.folder.parent / index.NOTE
    under_way = note.exists() and note.read_text().startswith(UNDER_WAY)
    lacks = [MISSING in issue for issue in issues]
    assert all(lacks), issues
    assert any(lacks) == under_way


@pytest.mark.parametrize(
    "folder",
    [pytest.param(folder, marks=marks(folder)) for folder in FOLDERS],
    ids=lambda folder: f"{folder.parent.name}-{folder.name}",
)
@pytest.mark.medium
def test_a_published_report_is_made_again_from_its_raw_records(folder, tmp_path):
    again = tmp_path / folder.parent.name / folder.name
    again.mkdir(parents=True)
    shutil.copytree(folder / "runs", again / "runs")
    shutil.copy(folder / results_folder.CAMPAIGN, again)
    made = [
        path.relative_to(again)
        for path in report.make(tmp_path)
        if path.name != "SHA256SUMS"
    ]
    assert made
    assert [
        name for name in made if (folder / name).read_bytes() != (again / name).read_bytes()
    ] == []


@pytest.mark.medium
def test_asv_s_tables_and_figures_are_made_again_from_its_files(tmp_path):
    asv_report.report(optbench.load_asv(RESULTS / "asv"), tmp_path, lambda line: None)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert made
    assert [
        name
        for name in made
        if (RESULTS / "asv" / name).read_bytes() != (tmp_path / name).read_bytes()
    ] == []


def test_the_index_is_what_its_command_writes(tmp_path, monkeypatch):
    shutil.copytree(
        RESULTS, tmp_path / "results", ignore=shutil.ignore_patterns(index.OURS)
    )
    monkeypatch.chdir(tmp_path)
    index.write(Path("results"))
    assert (tmp_path / "results" / "README.md").read_text() == (
        RESULTS / "README.md"
    ).read_text()


def test_the_first_screen_shows_what_is_published(tmp_path):
    (tmp_path / "results").symlink_to(RESULTS)
    shutil.copy(RESULTS.parent / "README.md", tmp_path)
    index.fill(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == (
        RESULTS.parent / "README.md"
    ).read_text()
