"""asv: how a step's cost grows with the network."""

from benchmarks import common
from optbench import problems
from optbench.measure import commits
from optbench.measure.timed import network
from optbench.problems import networks

PROBLEM = "poisson_sine_2d"


class Width(common.Warm):
    """Framework × optimizer × width of the first layers."""

    version = "1"
    param_names = ("framework", "optimizer", "width")
    params = (common.FRAMEWORKS, common.OPTIMIZERS, common.WIDTHS)

    def setup(self, framework: str, optimizer: str, width: int) -> None:
        """Make the step as in step.py; what the memory cannot hold is skipped."""
        common.asked(optimizer, width, common.GRID.measured_widths(optimizer))
        self.prepare(framework, optimizer, PROBLEM, network(width))

    def time_step(self, *_: object) -> None:
        """Do a step and wait for its results."""
        self.step()


class Parameters:
    """What a width means."""

    version = "1"
    unit = "parameters"
    param_names = ("width",)
    params = (common.WIDTHS,)

    def track_parameters(self, width: int) -> int:
        """Count the parameters D."""
        problem = problems.get(PROBLEM)
        inputs = commits.inputs(problem)
        return networks.parameter_count(network(width), inputs, problem.outputs)
