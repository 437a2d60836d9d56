"""The bootstrap of every interval: what a statistic could have been with other samples."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95  # of every interval
RESAMPLES = 1000


def interval(
    statistic: Callable[..., Any],
    *samples: Sequence[float] | np.ndarray,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Give the percentile interval of a statistic of one or more independent samples.

    The statistic takes the samples and `axis`. The draws are seeded: equal samples have
    equal intervals.
    """
    ends = stats.bootstrap(
        samples,
        statistic,
        n_resamples=resamples,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(ends.low), float(ends.high)


def stratified(
    statistic: Callable[[np.ndarray], Any],
    strata: Collection[np.ndarray],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Give a statistic of rows that are drawn again, one value per resample.

    From each stratum, an array of row numbers, as many rows are drawn as it has.
    """
    random = np.random.default_rng(seed)
    return np.array(
        [
            statistic(np.concatenate([random.choice(rows, len(rows)) for rows in strata]))
            for _ in range(resamples)
        ]
    )
