"""asv: what the first step costs."""

from benchmarks import common
from optbench import problems

PROBLEM = "poisson_sine_2d"


class Compile:
    """Framework × optimizer."""

    version = "1"
    unit = "seconds"
    timeout = 600
    param_names = ("framework", "optimizer")
    params = (common.FRAMEWORKS, common.OPTIMIZERS)

    def setup(self, framework: str, optimizer: str) -> None:
        """Make everything and do the first step: its seconds are kept."""
        self.step, _ = common.warm(
            framework, optimizer, PROBLEM, problems.get(PROBLEM).networks[0]
        )

    def track_compile_seconds(self, *_: str) -> float:
        """Give the seconds of the first call: compilation and a step."""
        return common.finite(self.step.compile_seconds)
