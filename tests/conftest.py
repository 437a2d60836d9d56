"""Fixtures that several packages' tests use, and which optimizers' tests are fast."""

import re

import pytest
from browsers import BROWSER
from cases import QUICK

# what these ask of JAX takes it ten minutes to compile; the golden numbers and the twins
# ask its passes for the same in two
LONG = ("test_taylor", "test_input_maps", "test_weighted_terms", "test_mutants")
# each compiles a step of its own for every optimizer, and asks nothing that is JAX's own:
# PyTorch answers it at once, and the twins walk the same path
OF_PYTORCH = (
    "test_the_loss_decreases",
    "test_a_system_of_two_equations_is_trained",
    "test_every_benchmark_of_a_step_runs",
)
# whose tests of one optimizer take one compiled step, `small.default`
SHARING = ("test_conformance.py", "test_devices.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep of JAX's tests those of its quick optimizers among the fast ones.

    JAX compiles for seconds what PyTorch runs at once.
    """
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        if asked.get("framework") == "jax" and asked.get("optimizer") not in QUICK:
            slow = item.path.stem in LONG or item.originalname in OF_PYTORCH
            item.add_marker("slow" if slow else "medium")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give to one process what shares a compiled step, and every other test to any.

    `--dist loadgroup` would do, but xdist 3.8 passes over its marks in pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Sharing(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            if not file.endswith(SHARING) or "[" not in test:
                return nodeid
            # of [kfac], [kfac-jax] and [points-kfac-jax]
            words = re.findall(r"\w+", test)
            return next(word for word in reversed(words) if word not in ("torch", "jax"))

    return Sharing(config, log) if config.getvalue("dist") == "load" else None


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by Playwright; a process may have one driver at a time."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()
