"""Fixtures that several packages' tests use, and which optimizers' tests are fast."""

import pytest
from browsers import BROWSER
from cases import QUICK


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave what JAX compiles for seconds to `make test`; PyTorch compiles nothing."""
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        optimizer = asked.get("optimizer", QUICK[0])
        if asked.get("framework") == "jax" and optimizer not in QUICK:
            item.add_marker("medium")


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; a process may have one driver at a time."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()
