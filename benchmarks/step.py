"""asv: what a step costs on each problem's small network."""

from benchmarks import common
from optbench import problems


class Step(common.Warm):
    """Framework × optimizer × problem."""

    version = "2"  # raised when the work changes, so that cosmetic edits keep the history
    param_names = ("framework", "optimizer", "problem")
    params = (common.FRAMEWORKS, common.OPTIMIZERS, common.PROBLEMS)

    def setup(self, framework: str, optimizer: str, problem: str) -> None:
        """Make, compile and warm everything, once per process."""
        if problem not in common.COUNTED:
            raise NotImplementedError(f"{problem} is timed in OPTBENCH_ASV=full alone")
        self.prepare(framework, optimizer, problem, problems.get(problem).networks[0])

    def time_step(self, *_: str) -> None:
        """Do a step and wait for its results."""
        self.step()
