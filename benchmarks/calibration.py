"""asv: what the machine did meanwhile, by a product that no commit changes."""

from functools import cache
from typing import Any

from benchmarks import common
from optbench import implementations
from optbench.measure import timed

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
        """Multiply two float64 matrices of SIZE × SIZE."""
        self.product()


@cache
def _product(framework: str) -> Any:
    product = timed.product(common.served(lambda: implementations.load(framework)), SIZE)
    product()
    return product, common.calls(product)
