"""Fixtures that the tests of several packages use."""

import pytest
from browsers import BROWSER


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; a process may have one driver at a time."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()
