"""asv: what a step costs on each problem's small network."""

from benchmarks import common
from optbench import problems


class Step(common.Warm):
    """Framework × optimizer × problem."""

    version = "2"  # raised when the work changes, so that cosmetic edits keep the history
    param_names = ("framework", "optimizer", "problem")
    params = (common.FRAMEWORKS, common.OPTIMIZERS, common.PROBLEMS)

    def setup(self, framework: str, optimizer: str, problem: str) -> None:
        """Everything is made, compiled and warmed here, once a process."""
        self.prepare(framework, optimizer, problem, problems.get(problem).networks[0])

    def time_step(self, *_: str) -> None:
        """Seconds a step, the wait for its results included."""
        self.step()
