"""What is cited has one version and says so everywhere."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("CHANGELOG.md", r"^## (\S+) \(\d{4}-\d\d-\d\d\)$"),
    ],
)
def test_the_version_is_the_packages(file, pattern):
    found = re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE)
    assert found[0] == VERSION


def test_zenodo_says_what_the_citation_says():
    told, citation = (
        json.loads((ROOT / ".zenodo.json").read_text()),
        (ROOT / "CITATION.cff").read_text(),
    )
    assert told["version"] == VERSION
    assert f'title: "{told["title"]}"' in citation
    assert f"abstract: {told['description']}" in citation
    assert f"license: {told['license']}" in citation


def test_the_release_is_the_changelogs():
    (released,) = re.findall(
        r'^date-released: "(\S+)"$', (ROOT / "CITATION.cff").read_text(), re.MULTILINE
    )
    assert f"## {VERSION} ({released})" in (ROOT / "CHANGELOG.md").read_text()
