"""asv: what a step holds over the loaded framework; a cell is a process of its own."""

from benchmarks import common, width
from optbench.measure import timed


class Memory:
    """Framework × optimizer × width of the first layers."""

    version = "1"
    unit = "bytes"
    timeout = 600
    param_names = ("framework", "optimizer", "width")
    params = (common.FRAMEWORKS, common.OPTIMIZERS, common.HELD)

    def setup(self, framework: str, optimizer: str, size: int) -> None:
        """Do the step and keep its peak; skipped where there is no room for it."""
        common.asked(optimizer, size, common.GRID.measured_widths(optimizer)[-1:])
        cell = common.work(framework, optimizer, width.PROBLEM, timed.network(size))
        self.peak = common.served(lambda: timed.peak_memory(cell))

    def track_peak_memory(self, *_: object) -> float:
        """Give the bytes; asv's own peakmem_ counts the imports too."""
        return common.finite(self.peak)
