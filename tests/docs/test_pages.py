"""The pages name files and tests that are there, and their links lead somewhere."""

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
PROSE = [page for page in PAGES if "api" not in page.parts]
# the folders that a page may leave out of a name
FOLDERS = [
    "",
    "optbench",
    "tests",
    "tests/implementations",
    "problems",
    "problems/equations",
]
FOLDERS += [
    f"implementations/{framework}{folder}"
    for framework, folder in product(("torch", "jax"), ("", "/optimizers"))
]
FOLDERS += ["benchmarks"]
# what the pages' own examples are made of
THEIRS = re.compile(
    r"(my_|helmholtz|membrane|kdv|vortices|make_reference|lion|mine|staged|wrong|fast|<)"
)
TESTS = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))


def words(page):
    """Give what stands between backticks on a page, outside of its blocks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def named(page):
    """Give the files of this repository that a page names."""
    for word in words(page):
        word = word.replace("<framework>", "jax").split("::")[0]
        if re.fullmatch(r"[\w./-]+\.py", word) and not THEIRS.search(Path(word).name):
            yield word


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    missing = [
        name
        for name in named(page)
        if not any((ROOT / folder / name).is_file() for folder in FOLDERS)
    ]
    assert not missing


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_tests_that_are_named_are_there(page):
    found = re.findall(r"\b(test_\w+?)(?=[`(…])", "\n".join(f"{w}`" for w in words(page)))
    assert [name for name in found if f"def {name}" not in TESTS] == []


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_no_page_names_the_folder_that_is_gone(page):
    assert "harness" not in page.read_text()


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_reader_has_the_readme_in_three_minutes():
    assert len((ROOT / "README.md").read_text().split()) <= 900
