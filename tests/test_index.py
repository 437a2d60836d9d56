"""results/README.md is written by a command, from what is there."""

import pytest
from made_up_results import folder_of
from typer.testing import CliRunner

from harness import reports
from harness.__main__ import app
from harness.errors import CampaignError
from harness.index import write


def index(place):
    done = CliRunner().invoke(app, ["index", str(place)])
    return done, (place / "README.md").read_text() if (place / "README.md").is_file() else ""


def test_a_folder_without_results_says_so(tmp_path):
    done, text = index(tmp_path)
    assert done.exit_code == 0, done.output
    assert "Nothing is published yet." in text


def test_a_campaign_has_its_headline_table_its_links_and_the_commands_that_made_it(tmp_path):
    folder = folder_of(tmp_path)
    list(reports.make(folder))
    done, text = index(tmp_path)
    assert done.exit_code == 0, done.output
    assert "## c on m" in text
    assert (folder / "tables" / "headline.md").read_text() in text
    assert f"optbench run c --results {tmp_path}\noptbench report {tmp_path / 'c'}" in text
    for link in ("c/m/report.html", "c/m/tables", "c/m/figures", "c/m/campaign.toml"):
        assert f"({link})" in text
        assert (tmp_path / link).exists()
    assert index(tmp_path)[1] == text


def test_what_runs_here_write_is_not_published(tmp_path):
    folder_of(tmp_path / "local")
    assert "Nothing is published yet." in index(tmp_path)[1]


def test_a_campaign_without_its_report_is_a_mistake_in_one_line(tmp_path):
    folder = folder_of(tmp_path)
    with pytest.raises(CampaignError, match=f"optbench report {folder} makes it") as caught:
        write(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "README.md").exists()
