"""The page on baselines says who is beside whom, and what certificates say."""

import baselines_page
from made_up_baselines import certified, compared

from optbench.measure import certificate

PAGE = baselines_page.PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_command_writes():
    assert baselines_page.written(PAGE) == PAGE


def test_a_certificate_becomes_a_table_for_each_problem(tmp_path):
    made = certified(compared(), compared(problem="burgers_1d", rival="a | b"))
    certificate.write(made, tmp_path / "results" / "cpu" / "some")
    page = baselines_page.written(PAGE, tmp_path)
    assert page.index("**`poisson_sine_2d`**") < page.index("**`burgers_1d`**")
    assert "commit 0123456789+, with scipy 1.17" in page
    assert "50 / 40" in page
    assert "a | b" not in page
    assert "has no certificate" not in page
