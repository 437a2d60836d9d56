"""A folder that was copied, renamed, linked or cloned is what it was."""

import shutil
import subprocess

import pytest
from fakes import Fake
from published import complaints, computed_by_the_fake, on_cpu, put, seal

from optbench.campaign import results_folder
from optbench.records.provenance import (
    class_of,
    class_of_alike,
    cpu_model,
    machine_class,
)
from optbench.report.captions import source
from optbench.verify import verify as check

CAMPAIGN = """
version = "1.0"
frameworks = ["torch"]
seeds = [3, 4]
points = { interior = 9, boundary = 6 }
[optimizers]
sgd = {}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
steps = 10
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs as they are published."""
    computed_by_the_fake(monkeypatch)
    folder = tmp_path / "results" / "c" / machine_class()
    publish(folder, CAMPAIGN)
    return folder


def publish(folder, campaign, models=lambda request: cpu_model()):
    """Write a campaign's runs on CPUs whose model a function of the request gives."""
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(campaign)
    for request in results_folder.load(folder).requests:
        made, cpu = on_cpu(Fake().perform(request)), models(request)
        said = made.provenance
        name = class_of("cpu", cpu, said.cores, said.memory)
        said = said.model_copy(update={"cpu": cpu, "machine": name})
        put(folder, made.model_copy(update={"provenance": said}))
    seal(folder, results_folder.load(folder).records.values())


def remarks(place):
    return {
        finding.rule: finding.remark
        for finding in check.findings(results_folder.find(place))
    }


def test_under_its_own_name_there_is_nothing_to_say(folder):
    assert complaints(folder) == {}
    assert remarks(folder)["place"] == ""


def test_a_copy_under_another_name_is_one_remark(folder, tmp_path):
    copy = tmp_path / "x" / "c_copy" / folder.name
    shutil.copytree(folder, copy)
    assert complaints(copy) == {}
    assert remarks(copy)["place"] == "the folder is called c_copy, its records say c"


def test_a_machine_of_another_name_is_one_remark(folder):
    renamed = folder.rename(folder.with_name("my-laptop"))
    assert complaints(renamed) == {}
    words = f"the folder is called my-laptop, its records say {folder.name}"
    assert remarks(renamed)["place"] == words


def test_cpus_of_several_models_share_a_folder_seed_by_seed(tmp_path, monkeypatch):
    """Where it is named after what they share, each case and seed is of one of them."""
    computed_by_the_fake(monkeypatch)
    campaign = CAMPAIGN.replace("sgd = {}", "sgd = {}\nadam = {}")
    name, one, other = class_of_alike(machine_class()), "One CPU", "Other CPU"

    folder = tmp_path / "results" / "c" / name
    publish(folder, campaign, lambda request: one if request.seed == 3 else other)
    assert complaints(folder) == {}
    assert remarks(folder)["place"] == ""
    records = results_folder.load(folder).records.values()
    assert {record.provenance.machine for record in records} == {name}
    assert {record.provenance.cpu for record in records} == {one, other}
    assert (
        "models of CPU: One CPU (2 runs), Other CPU (2 runs)"
        in source(list(records), folder).text
    )

    mixed = tmp_path / "mixed" / "c" / name
    publish(mixed, campaign, lambda request: one if request.optimizer == "sgd" else other)
    assert complaints(mixed)["place"] == [
        f"{mixed}: poisson_sine_2d, tanh_4, seed {seed}: runs of 2 CPUs: {one}, {other}"
        for seed in (3, 4)
    ]
    elsewhere = tmp_path / "elsewhere" / "c" / machine_class()
    publish(elsewhere, campaign, lambda request: one if request.seed == 3 else other)
    assert "runs of 2 machines" in complaints(elsewhere)["place"][0]


def test_links_are_followed(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere, target_is_directory=True)
    (found,) = results_folder.find(tmp_path / "results")
    assert found.folder == folder
    assert len(found.records) == 2
    assert complaints(folder) == {}
    assert remarks(folder)["place"] == ""


def test_a_link_to_where_it_lies_is_not_followed_for_ever(folder):
    (folder / "runs" / "again").symlink_to(folder, target_is_directory=True)
    assert len(results_folder.find(folder.parent)) == 1


def test_other_line_ends_are_one_line(folder):
    for file in folder.rglob("*"):
        # git finds no lines in what is compressed
        if file.is_file() and file.suffix != ".gz":
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    (issues,) = complaints(folder).values()
    assert issues == [
        f"{folder}: other line ends than were published in 4 files (git's core.autocrlf?)"
    ]


def test_git_keeps_the_line_ends_of_what_is_published():
    said = subprocess.run(
        ["git", "check-attr", "text", "results/cpu/m/campaign.toml"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip().endswith("text: unset")
