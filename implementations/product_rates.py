"""How fast a framework multiplies matrices, which its steps are compared with.

Two frameworks on one machine may call libraries of different speed: a ratio of their steps
is then a ratio of those.
"""

import statistics
import time
from functools import cache

import numpy as np

from optbench.implementations.protocol import Backend

# of products [n, k] [k, m]: one that fills a core, and one like a layer's
SHAPES = {"512³": (512, 512, 512), "3600×64×64": (3600, 64, 64)}
TIMES = 7


def in_words(rates: dict[str, float]) -> str:
    """Write rates with their shapes, in Gflop/s."""
    return " and ".join(f"{rate / 1e9:.3g} ({shape})" for shape, rate in rates.items())


@cache
def product_rates(backend: Backend) -> dict[str, float]:
    """Measure products in float64, by the names of their shapes, in operations per second.

    They are of the median of a few calls, after one that compiles; once per process.
    """
    multiply = backend.compile(lambda one, other: one @ other)
    rates = {}
    for name, (n, k, m) in SHAPES.items():
        factors = [backend.from_numpy(np.ones(shape)) for shape in ((n, k), (k, m))]
        seconds = []
        for _ in range(1 + TIMES):
            begin = time.perf_counter()
            backend.wait(multiply(*factors))
            seconds.append(time.perf_counter() - begin)
        rates[name] = 2 * n * k * m / statistics.median(seconds[1:])
    return rates
