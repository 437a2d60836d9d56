"""Fixtures that several packages' tests use, and which optimizers' tests are fast."""

import pytest
from browsers import BROWSER
from cases import QUICK

# what these ask of JAX takes it ten minutes to compile; the golden numbers and the twins
# ask its passes for the same in two
LONG = ("test_taylor", "test_input_maps", "test_weighted_terms", "test_mutants")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep of JAX's tests those of its quick optimizers among the fast ones.

    JAX compiles for seconds what PyTorch runs at once.
    """
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        if asked.get("framework") == "jax" and asked.get("optimizer") not in QUICK:
            item.add_marker("slow" if item.path.stem in LONG else "medium")


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; a process may have one driver at a time."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()
