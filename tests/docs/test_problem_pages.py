"""A problem's page has its section of the gallery, its pictures and its results."""

import gallery_page as gallery
import pandas as pd
import problem_pages
import pytest

from optbench import problems

ERRORS = pd.DataFrame(
    {
        "problem": ["wave_1d", "wave_1d", "kdv_1d"],
        "campaign": "standard",
        "case": "a case",
        "label": ["adam", "engd", "engd"],
        "framework": "jax",
        "relative_l2": [0.5, float("nan"), 2e-6],
        "runs": 3,
        "steps": 1200.0,
        "train_seconds": 20.0,
    }
)


@pytest.mark.parametrize("name", problems.names())
def test_a_page_has_the_problem_s_own_section_alone(name, tmp_path):
    text = problem_pages.page(name, tmp_path, None)
    assert text.startswith("# ")
    assert text.count(f"<!-- picture {name} -->") == text.count("<!-- picture") == 1
    assert f"<!-- facts {name} -->" in text
    assert "There is none yet." in text
    assert "![" not in text  # nothing was drawn
    assert not any(line.startswith("### ") for line in text.splitlines())


def test_a_page_begins_with_what_its_family_has_in_common(tmp_path):
    assert "The equation is $-\\Delta u = f$" in problem_pages.page(
        "poisson_cosine_5d", tmp_path, None
    )


def test_results_are_those_of_the_problem_and_a_dash_is_nobody_s_error(tmp_path):
    text = problem_pages.page("wave_1d", tmp_path, ERRORS)
    rows = [line for line in text.splitlines() if line.startswith("| standard")]
    assert rows == [
        "| standard | a case | `adam` | jax | 5.0e-01 | 3 | 1,200 | 20 |",
        "| standard | a case | `engd` | jax | – | 3 | 1,200 | 20 |",
    ]


@pytest.mark.medium
def test_pictures_are_drawn_from_the_published_runs(tmp_path):
    problem_pages.draw("wave_1d", tmp_path)
    for file in (problem_pages.CURVES, problem_pages.LEARNED):
        assert (tmp_path / file).stat().st_size > 1000
    text = problem_pages.page("wave_1d", tmp_path, gallery.results())
    assert "![The relative L2 error" in text
    assert "![The solution, what the best run learned" in text
