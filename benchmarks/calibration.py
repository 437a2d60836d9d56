"""asv: what the machine did meanwhile, by a kernel that no commit changes."""

from functools import cache
from typing import Any

import numpy as np

from benchmarks import common
from optbench import implementations

SIZE = 512


class Calibration:
    """Framework."""

    version = "1"
    rounds = 1
    repeat = 10
    warmup_time = 0
    param_names = ("framework",)
    params = (common.FRAMEWORKS,)

    def setup(self, framework: str) -> None:
        """Compile and warm the product."""
        self.product, self.number = _product(framework)

    def time_matmul(self, _: str) -> None:
        """Seconds of a float64 product of two SIZE × SIZE matrices."""
        self.product()


@cache
def _product(framework: str) -> Any:
    backend = common.served(lambda: implementations.load(framework)).backend
    matrix = backend.from_numpy(np.random.default_rng(0).normal(size=(SIZE, SIZE)))
    multiply = backend.compile(lambda matrix: matrix @ matrix)

    def product() -> None:
        backend.wait(multiply(matrix))

    product()
    return product, common.calls(product)
