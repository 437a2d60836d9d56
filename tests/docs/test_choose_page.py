"""What docs/choose.md says is what the published tables say."""

import re

import choose_page
import pandas as pd
import pytest

from optbench import implementations
from optbench.campaign.presets import PRESETS

README = (choose_page.ROOT / "README.md").read_text(encoding="utf-8")
PAGE = choose_page.PAGE.read_text(encoding="utf-8")
ERRORS = pd.DataFrame(
    {
        "case": ["a", "a", "b"],
        "label": ["adam", "engd", "adam"],
        "relative_l2": [1e-2, 1.25e-8, 0.5],
    }
)
CELL = '<!-- cell made/errors | case == "a" | relative_l2 | {} -->'
BEST, ERROR = (
    CELL.format(column) + "{}<!-- /cell -->" for column in ("label", "relative_l2 .1e")
)


def test_the_page_is_what_the_results_say():
    assert choose_page.CELL.search(PAGE)
    assert PAGE.count("<!-- cell ") == len(choose_page.CELL.findall(PAGE))
    assert PAGE.count("<!-- /") == len(
        choose_page.CELL.findall(PAGE) + choose_page.BLOCK.findall(PAGE)
    )
    assert choose_page.written(PAGE) == PAGE


def test_errors_in_the_readme_are_those_of_the_page():
    """What README says below its table stands on this page's cells."""
    text = README.partition("<!-- /headline -->")[2].partition("## Two commands")[0]
    said = set(re.findall(r"\d\.\de-\d+", text))
    assert said
    assert said <= set(re.findall(r"\d\.\de-\d+", PAGE))


def test_every_optimizer_is_of_one_family():
    labels = [label for family in choose_page.FAMILIES.values() for label in family]
    known = {*implementations.load(implementations.installed()[0]).OPTIMIZERS, *PRESETS}
    assert sorted(labels) == sorted(known)


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(choose_page, "table", lambda name: ERRORS)


def test_the_best_of_each_family_and_who_is_mostly_near_the_best(monkeypatch):
    errors = pd.DataFrame(
        [
            ("Poisson", "poisson_sine_2d", "adam", 2e-3, 9e-4),
            ("Poisson", "poisson_sine_2d", "sgd", None, None),
            ("Poisson", "poisson_sine_2d", "engd", 1e-3, 8e-4),
            ("Burgers", "burgers_1d", "adam", 4e-2, 2e-3),
            ("Burgers", "burgers_1d", "sgd", 1e-3, None),
            ("Burgers, the paper's", "burgers_1d", "kfac", 1e-9, 1e-10),
        ],
        columns=["case", "problem", "label", "relative_l2", "low"],
    ).assign(framework="jax")
    monkeypatch.setattr(choose_page, "table", lambda name: errors)
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in choose_page.families("made").splitlines()
    )
    assert head == ["case", "equation", "first order", "whole Gramian or Jacobian"]
    assert rows == [
        ["Poisson", "order 2, linear", "2.0e-3 `adam`", "**1.0e-3** `engd`"],
        ["Burgers", "order 2, nonlinear", "**1.0e-3** `sgd`", "–"],
    ]
    _, _, *rows = choose_page.reliable("made").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]
    assert cells == [
        ["`adam`", "0", "1", "1", "21"],
        ["`engd`", "1", "1", "1", "–"],
        ["`sgd`", "1", "1", "1", "–"],
    ]


@pytest.mark.parametrize(("cell", "text"), [(BEST, "engd"), (ERROR, "1.2e-8")])
def test_a_cell_that_has_changed_is_found(made, cell, text):
    assert choose_page.written(cell.format(text)) == cell.format(text)
    assert choose_page.written(cell.format("adam")) == cell.format(text)


def test_a_row_that_is_not_there_is_an_error(made):
    with pytest.raises(ValueError, match="has no rows where"):
        choose_page.written(BEST.replace('"a"', '"c"').format("engd"))
