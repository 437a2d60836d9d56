"""What docs/choose.md says is what the published tables say."""

import choose_page
import pandas as pd
import pytest

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


def test_every_cell_of_the_page_is_what_its_table_says():
    assert choose_page.CELL.search(PAGE)
    assert PAGE.count("<!-- cell ") == len(choose_page.CELL.findall(PAGE))
    assert choose_page.written(PAGE) == PAGE


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(choose_page, "table", lambda name: ERRORS)


@pytest.mark.parametrize(("cell", "text"), [(BEST, "engd"), (ERROR, "1.2e-8")])
def test_a_cell_that_has_changed_is_found(made, cell, text):
    assert choose_page.written(cell.format(text)) == cell.format(text)
    assert choose_page.written(cell.format("adam")) == cell.format(text)


def test_a_row_that_is_not_there_is_an_error(made):
    with pytest.raises(ValueError, match="has no rows where"):
        choose_page.written(BEST.replace('"a"', '"c"').format("engd"))
