"""Where one optimizer's step begins to cost more than another's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

PAIRS = (
    ("engd", "kfac"),
    ("engd_per_layer", "kfac"),
    ("engd_woodbury", "kfac"),
)  # whose crossovers are named


def find(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Where one optimizer's step begins to cost more than another's, on straight lines in the logarithms.

    `parameters` and `seconds` are NaN for a pair that never crosses; `below` is then the
    cheaper one everywhere.
    """
    for framework, rows in measured.dropna(subset=["step_seconds"]).groupby("framework"):
        seconds = rows.pivot(index="parameters", columns="optimizer", values="step_seconds")
        for pair in PAIRS:
            if set(pair) <= set(seconds):
                yield from (
                    {"framework": framework} | each
                    for each in _between(seconds[[*pair]].dropna())
                )


def _between(seconds: Any) -> Iterator[dict[str, Any]]:
    if seconds.empty:
        return
    D, (one, other) = (
        np.log(seconds.index.to_numpy(float)),
        np.log(seconds.to_numpy(float)).T,
    )
    reach = {"smallest": seconds.index.min(), "largest": seconds.index.max()}
    gap = one - other
    changes = np.flatnonzero(np.diff(gap > 0))
    for left in changes:
        share = gap[left] / (gap[left] - gap[left + 1])
        at, height = (
            line[left] + share * (line[left + 1] - line[left]) for line in (D, one)
        )
        below, above = seconds.columns[:: -1 if gap[left] > 0 else 1]
        yield {
            "below": below,
            "above": above,
            "parameters": np.exp(at),
            "seconds": np.exp(height),
            **reach,
        }
    if not len(changes):
        below, above = seconds.columns[:: -1 if gap[0] > 0 else 1]
        yield {
            "below": below,
            "above": above,
            "parameters": np.nan,
            "seconds": np.nan,
            **reach,
        }


def in_words(crossover: dict[str, Any]) -> str:
    """A crossover as a sentence."""
    claim = f"{crossover['framework']}: a step of {crossover['below']} costs less than one of {crossover['above']}"
    if np.isnan(crossover["parameters"]):
        return f"{claim} at every D measured, {crossover['smallest']:,.0f} to {crossover['largest']:,.0f}"
    return f"{claim} up to D ≈ {rounded(crossover['parameters'])}, then more"


def rounded(D: float) -> str:
    """Two digits: a crossover is between two widths."""
    return f"{float(f'{D:.2g}'):,.0f}"
