"""RUN, CLOCK, RECORD, REPORT: campaigns of runs, and their results, and asv's, as pandas frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

_root = Path(__file__).resolve().parent.parent
if (
    _root / "problems" / "__init__.py"
).is_file():  # a clone, whose folders `problems`, `implementations` and `benchmarks` are ours
    __path__.append(str(_root))

if TYPE_CHECKING:
    import pandas as pd

    from optbench.records.frames import Frames


def load(path: str | Path) -> Frames:
    """The records of a file or a folder as two frames: `runs`, a row a run, and `history`, a row a recorded step.

    Both have the column `identity`. Raises FileNotFoundError where there are no records,
    InvalidRecord (a ValueError) where one is torn or edited.
    """
    from optbench.records.frames import (
        frames,
    )  # pandas takes a second, which a run's process need not spend

    return frames(Path(path))


def load_asv(path: str | Path) -> pd.DataFrame:
    """asv's results below a folder, or of one file, as one frame: a row a benchmark, parameters, commit and machine.

    Raises FileNotFoundError where there are none, InvalidRecord (a ValueError) where one is
    torn.
    """
    from optbench.measure.asv_results import load

    return load(Path(path))
