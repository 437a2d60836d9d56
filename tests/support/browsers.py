"""A browser for the tests of pages."""

import shutil

import pytest

BROWSER = (
    shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium: make browser installs it"
)
