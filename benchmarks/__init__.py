"""WHAT is measured: campaigns (TOML) and asv classes.

A process of asv's gets one core, float64 and this clone's `optbench` before a framework is
imported: asv installs the packages of the commit that it measures, and what measures must
not change with what is measured.
"""

import importlib.util
import os
import sys
from pathlib import Path

OURS = Path(__file__).parent.parent / "optbench"

if "asv_runner" in sys.modules:
    _installed = importlib.util.find_spec("optbench")
    _spec = importlib.util.spec_from_file_location(
        "optbench", OURS / "__init__.py", submodule_search_locations=[str(OURS)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["optbench"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["optbench"])

    from optbench.measure import commits
    from optbench.records import cores

    os.environ.update(cores.thread_environment(1), JAX_ENABLE_X64="1")
    cores.pin(1)
    commits.find((_installed and _installed.submodule_search_locations) or ())
