"""asv's page of this project's own results in a real browser without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import needs_browser, served

from optbench.measure import asv_run

ROOT = Path(__file__).parents[2]
pytestmark = [needs_browser, pytest.mark.medium]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page's address here."""
    if subprocess.run(
        ["git", "cat-file", "-e", "52bb5091"], cwd=ROOT, check=False, capture_output=True
    ).returncode:
        pytest.skip("no history in this clone: asv publishes commits")
    pytest.importorskip("asv")
    folder = tmp_path_factory.mktemp("site") / "html"
    publish = [sys.executable, "-m", "asv", "publish", "--html-dir", str(folder)]
    subprocess.run(publish, cwd=ROOT, check=True, capture_output=True, timeout=300)
    asv_run.carry(folder)
    with served(folder) as address:
        yield address
    shutil.rmtree(folder)


@pytest.fixture
def tab(site, browser):
    """A page that reaches this machine alone and complains of nothing."""
    tab, outside, complaints = browser.new_page(), [], []
    tab.on("pageerror", lambda error: complaints.append(str(error)))

    def only_here(route):
        if route.request.url.startswith(site):
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    tab.route("**/*", only_here)
    yield tab
    tab.close()
    assert (outside, complaints) == ([], [])


def test_the_grid_has_every_benchmark(tab, site):
    tab.goto(site)
    tab.wait_for_selector("#summarygrid-display a")
    shown = tab.inner_text("#summarygrid-display")
    for name in (
        "time_step",
        "track_flops",
        "track_relative_l2",
        "track_peak_memory",
        "time_matmul",
    ):
        assert name in shown


def test_a_step_over_widths_has_a_line_a_framework(tab, site):
    tab.goto(f"{site}#width.Width.time_step?x-axis=width&p-optimizer='kfac'")
    tab.wait_for_selector("#main-graph canvas")
    tab.wait_for_function(
        "document.querySelector('#graph-display').innerText.includes('kfac')"
    )
    assert {"torch", "jax"} <= set(
        tab.inner_text("#graph-display").replace("'", " ").split()
    )


def test_regressions_are_a_table(tab, site):
    tab.goto(f"{site}#regressions")
    tab.wait_for_selector("#regressions-body table")
    regressions = tab.evaluate("fetch('regressions.json').then((answer) => answer.json())")[
        "regressions"
    ]
    assert regressions
    assert tab.locator("#regressions-body tbody tr").count() == len(regressions)
