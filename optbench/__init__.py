"""RUN, CLOCK, RECORD, REPORT: campaigns of runs; their results, and asv's, as frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optbench.extras import explained

# In a clone `problems`, `implementations` and `benchmarks` lie beside this folder: a clone
# uses its own, installed or not, and whatever other clone is installed. A wheel holds them
# in this folder, and what lies beside it there is not ours, whatever its name.
_clone = Path(__file__).resolve().parent.parent
if (_clone / "benchmarks" / "quick.toml").is_file():
    __path__.append(str(_clone))

if TYPE_CHECKING:
    import pandas as pd

    from optbench.records.frames import Frames


def load(path: str | Path) -> Frames:
    """Read the records of a file or a folder as two frames, `runs` and `history`.

    `runs` has one row per record, `history` one row per recorded step; both have the column
    `run`, which joins them, and `identity`, the hash of what was asked, which the records
    of several machines share. Raises FileNotFoundError where there are no records,
    InvalidRecord (a ValueError) where one is torn or edited.
    """
    with explained():  # pandas takes a second, which a run's process need not spend
        from optbench.records.frames import frames

    return frames(Path(path))


def load_asv(path: str | Path) -> pd.DataFrame:
    """Read asv's results below a folder, or of one file, as one frame.

    It has one row per benchmark, parameters, commit and machine. Raises FileNotFoundError
    where there are no results, InvalidRecord (a ValueError) where one is torn.
    """
    with explained():
        from optbench.measure.asv_results import load

    return load(Path(path))
