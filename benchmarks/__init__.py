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
    os.environ.update(
        OMP_NUM_THREADS="1",
        MKL_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        JAX_ENABLE_X64="1",
    )
    if hasattr(
        os, "sched_setaffinity"
    ):  # JAX's thread pool has as many threads as the process may use cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
    _spec = importlib.util.spec_from_file_location(
        "optbench", OURS / "__init__.py", submodule_search_locations=[str(OURS)]
    )
    assert _spec is not None
    assert _spec.loader is not None
    _installed = importlib.util.find_spec("optbench")
    sys.modules["optbench"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["optbench"])
    _theirs = (_installed and _installed.submodule_search_locations) or []
    sys.modules["optbench"].__path__ = [
        str(OURS),
        *_theirs,
        *(str(Path(place).parent) for place in _theirs),
    ]
