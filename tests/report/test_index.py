"""results/README.md is written by a command, from what is there."""

import shutil

import pytest
from made_up_results import folder_of
from typer.testing import CliRunner

from optbench.cli.app import app
from optbench.report import report


def index(place):
    done = CliRunner().invoke(app, ["index", str(place)])
    return done, (place / "README.md").read_text() if (
        place / "README.md"
    ).is_file() else ""


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A folder of results with its report."""
    place = tmp_path_factory.mktemp("reported")
    list(report.make(folder_of(place)))
    return place


def test_a_folder_without_results_says_so(tmp_path):
    done, text = index(tmp_path)
    assert done.exit_code == 0, done.output
    assert "Nothing is published yet." in text


@pytest.mark.medium
def test_a_campaign_has_its_picture_its_table_its_links_and_the_commands_that_made_it(
    reported, tmp_path
):
    folder = shutil.copytree(reported, tmp_path, dirs_exist_ok=True) / "c" / "m"
    (folder.parent / "NOTE.md").write_text("*Superseded* by d.\n")
    (folder / "figures" / "against_others.svg").write_text("made up")
    done, text = index(tmp_path)
    assert done.exit_code == 0, done.output
    assert "## c on m\n\n*Superseded* by d.\n\n![Heat map" in text
    assert (folder / "tables" / "hardest.md").read_text() in text
    assert text.index("heatmap.svg") < text.index("| optimizer")
    assert f"optbench run c --results {tmp_path}\noptbench report {tmp_path / 'c'}" in text
    for link in (
        "c/m/report.html",
        "c/m/tables",
        "c/m/figures",
        "c/m/figures/heatmap.svg",
        "c/m/figures/against_others.svg",
        "c/m/tables/headline.md",
        "c/m/campaign.toml",
    ):
        assert f"({link})" in text
        assert (tmp_path / link).exists()
    assert index(tmp_path)[1] == text


def test_the_campaign_with_most_runs_is_first(tmp_path):
    folder_of(tmp_path)
    small = shutil.copytree(tmp_path / "c", tmp_path / "a")
    next((small / "m" / "runs").iterdir()).unlink()
    text = index(tmp_path)[1]
    assert text.index("## c on m") < text.index("## a on m")


def test_what_runs_here_write_is_not_published(tmp_path):
    folder_of(tmp_path / "local")
    assert "Nothing is published yet." in index(tmp_path)[1]


def test_a_campaign_without_a_report_is_under_way(tmp_path):
    folder_of(tmp_path)
    done, text = index(tmp_path)
    assert done.exit_code == 0, done.output
    assert "## c on m" in text
    assert "No report yet: the campaign is under way." in text
    assert f"optbench run c --results {tmp_path}" in text


@pytest.mark.medium
def test_a_readme_shows_the_headline_between_its_marks(reported, tmp_path):
    folder = shutil.copytree(reported, tmp_path / "results") / "c" / "m"
    readme, headline = (
        tmp_path / "README.md",
        (folder / "tables" / "hardest.md").read_text(),
    )
    readme.write_text(
        "above\n<!-- headline results/c/m -->\nold\n<!-- /headline -->\nbelow\n"
    )
    for _ in range(2):
        done = CliRunner().invoke(
            app, ["index", str(tmp_path / "results"), "--readme", str(readme)]
        )
        assert done.exit_code == 0, done.output
        text = readme.read_text()
        assert text.startswith("above\n<!-- headline results/c/m -->\n![")
        assert "](results/c/m/figures/heatmap.svg)\n" in text
        assert text.endswith(f"\n{headline}<!-- /headline -->\nbelow\n")
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) <= 2 + 7
        assert {line.count("|") - 1 for line in lines} == {3}  # at most five


def test_a_readme_that_marks_a_folder_without_a_report_stays_and_is_told(tmp_path):
    folder_of(tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(before := "<!-- headline results/c/m -->\n<!-- /headline -->\n")
    done = CliRunner().invoke(
        app, ["index", str(tmp_path / "results"), "--readme", str(readme)]
    )
    assert done.exit_code != 0
    assert readme.read_text() == before
