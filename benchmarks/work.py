"""asv: the work of a step in exact counts, free of noise (optbench/measure/timed.py)."""

from itertools import product

from benchmarks import common
from optbench.measure import timed

NETWORK = "tanh_16_16"
GRID = (common.FRAMEWORKS, common.OPTIMIZERS, common.COUNTED)


class Counted:
    """Framework × optimizer × problem.

    All cells are counted in one process, since they cost compilations alone.
    """

    version = "1"
    timeout = 3600  # of all cells together
    param_names = ("framework", "optimizer", "problem")
    params = GRID
    quantity = ""

    def setup_cache(self) -> dict[tuple[str, ...], object]:
        """Count every cell."""
        return common.outcomes(_counts, product(*GRID))

    def setup(self, outcomes: dict, *cell: str) -> None:
        """Take a cell's count, or raise what stands in its place."""
        counts = common.value(outcomes[cell])
        if self.quantity not in counts:
            raise NotImplementedError(f"this commit does not count its {self.quantity}")
        self.count = common.finite(counts[self.quantity])


class Flops(Counted):
    """Of matrix products in PyTorch, of the compiled program in JAX."""

    quantity, unit = "flops", "flops"

    def track_flops(self, *_: object) -> float:
        """Give the floating-point operations of a step."""
        return self.count


class HostReads(Counted):
    """Questions to the device."""

    quantity, unit = "host_reads", "reads"

    def track_host_reads(self, *_: object) -> float:
        """Count how often a step asks the device for numbers."""
        return self.count


class Evaluations(Counted):
    """Of the loss in the line search."""

    quantity, unit = "line_search_evaluations", "evaluations"

    def track_line_search_evaluations(self, *_: object) -> float:
        """Count the evaluations in a step."""
        return self.count


class Compilations(Counted):
    """Of the step's program."""

    quantity, unit = "compilations", "programs"

    def track_compilations(self, *_: object) -> float:
        """Count the programs compiled for one step after another."""
        return self.count


class Launches(Counted):
    """Of kernels and library calls."""

    quantity, unit = "launches", "launches"

    def track_launches(self, *_: object) -> float:
        """Count those of a step; a loop of unknown length goes round once."""
        return self.count


def _counts(framework: str, optimizer: str, problem: str) -> dict[str, float]:
    return timed.counts(common.work(framework, optimizer, problem, NETWORK))
