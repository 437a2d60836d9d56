"""Fixtures that several packages' tests use, and which optimizers' tests are fast."""

import os
import re
from pathlib import Path

import pytest
from browsers import BROWSER
from cases import QUICK

# what JAX has compiled for one test serves every other that asks for the same program, in
# this process, its children and the next run of the tests: read as JAX is imported
COMPILED = Path(__file__).parents[1] / "build" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(COMPILED))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# most tests wait for XLA, which compiles so in two thirds of the time: the numbers differ
# by rounding, and how fast they come is for benchmarks to say
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# JAX does not write an entry at once: what another process still writes, or was killed
# at, is compiled again with a warning (ignored here by pyproject.toml, in children by this)
os.environ.setdefault("PYTHONWARNINGS", "ignore:Error reading persistent compilation")

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
# of what JAX compiles for ten seconds or more a case, those cases that say what the others
# do; PyTorch is asked all of them
ENOUGH_OF_JAX = {
    "test_gradient_and_jacobian_equal_automatic_differentiation": ("coupled_2d-tanh_5_4",),
    "test_cotangents_equal_automatic_differentiation": ("coupled_2d",),
    "test_engd_s_gramians_equal_automatic_differentiation": ("120",),
    "test_the_kernel_equals_the_product_of_dense_jacobians": ("coupled_2d",),
    "test_the_kernel_s_direction_is_the_gramian_s": ("coupled_2d",),
    "test_the_whole_loss_its_gradient_gramian_and_kernel": ("biharmonic", "kovasznay"),
    "test_residuals_channels_and_factors_of_every_term": ("biharmonic", "kovasznay"),
    "test_directions_of_kfac_and_engd": ("kovasznay",),
    "test_five_steps_equal_the_oracle": ("marquardt-problem1", "trust_region-problem6"),
    "test_a_step_may_be_refused": (),
    "test_many_networks_pass_together": (),
    "test_the_counters_of_a_search_are_named_as_a_record_names_them": (),
    "test_the_line_search_decides_as_it_says": ("grid-",),
    "test_blocks_of_any_sizes_walk_the_same_path": ("[kfac-", "[ssbroyden-", "[adam-"),
}
# the same of tests that ask JAX alone
ENOUGH_ALONE = {
    "test_a_jax_step_is_exported_for_cuda": (
        *("[kfac]", "[engd]", "[ssbroyden]", "[trust_region]", "[soap]"),
        *("[nystrom_newton]", "[adam]"),
    ),
    "test_a_donated_step_has_the_same_bits": ("[kfac]", "[ssbroyden]", "[lbfgs]"),
}
# whose tests of one optimizer take one compiled step, `small.default`
SHARING = ("test_conformance.py", "test_devices.py")
# whose tests share a report, which takes ten seconds to make
WHOLE = ("test_report.py", "test_index.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep of JAX's tests those of its quick optimizers among the fast ones.

    JAX compiles for seconds what PyTorch runs at once.
    """
    for item in items:
        asked = item.callspec.params if hasattr(item, "callspec") else {}
        alone = item.originalname in ENOUGH_ALONE
        of_jax = alone or asked.get("framework") == "jax"
        if of_jax and asked.get("optimizer") not in QUICK:
            known = ENOUGH_ALONE if alone else ENOUGH_OF_JAX
            enough = known.get(item.originalname, ("",))  # else every case
            slow = (
                item.path.stem in LONG
                or item.originalname in OF_PYTORCH
                or not any(words in item.name for words in enough)
            )
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
            if file.endswith(WHOLE):
                return file
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
