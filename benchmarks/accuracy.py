"""asv: what a short run reaches, whether the twins walk together, and rivals' gradients.

A step that is faster and wrong shows here.
"""

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from benchmarks import common
from optbench import implementations, problems
from optbench.measure import baselines, parity

CELLS = (common.OPTIMIZERS, common.COUNTED)
# by both names: asv's environment has SciPy, and neither optax nor others
BESIDE_SCIPY = {
    f"{baseline.optimizer} beside {rival.name}": replace(baseline, rivals=(rival,))
    for baseline in baselines.BASELINES
    for rival in baseline.rivals
    if rival.package == "scipy"
}
POSED = baselines.Posed("poisson_sine_2d", "tanh_16", {"interior": 200, "boundary": 40})
GRADIENTS = 2000  # of which Levenberg-Marquardt has one in fifty


class Walked:
    """All short runs are done in one process, since they cost compilations alone."""

    version = "1"
    timeout = 3600  # of all cells together

    def setup_cache(self) -> dict[tuple[str, ...], Any]:
        """Measure the error of every cell, and the difference of the twins."""
        walk = cache(_walk)

        def relative_l2(framework: str, *cell: str) -> float:
            return parity.relative_l2(
                implementations.load(framework), _case(*cell), walk(framework, *cell)
            )

        def difference(*cell: str) -> float:
            return parity.difference(
                *(walk(framework, *cell) for framework in common.FRAMEWORKS)
            )

        errors = common.outcomes(relative_l2, product(common.FRAMEWORKS, *CELLS))
        return errors | common.outcomes(difference, product(*CELLS))

    def setup(self, outcomes: dict, *cell: str) -> None:
        """Take a cell's number, or raise what stands in its place."""
        self.value = common.finite(common.value(outcomes[cell]))


class RelativeL2(Walked):
    """Framework × optimizer × problem."""

    unit = "relative L2"
    param_names = ("framework", "optimizer", "problem")
    params = (common.FRAMEWORKS, *CELLS)

    def track_relative_l2(self, *_: object) -> float:
        """Give the error after a fixed number of steps."""
        return self.value


class Parity(Walked):
    """Optimizer × problem."""

    unit = "relative difference"
    param_names = ("optimizer", "problem")
    params = CELLS

    def track_parity(self, *_: object) -> float:
        """Give the largest relative difference of the twins' parameters."""
        return self.value


class Baseline:
    """Our baselines beside SciPy's; `optbench baselines` has all rivals and seeds."""

    version = "2"
    unit = "ours / SciPy's gradients"
    timeout = 600
    param_names = ("baseline",)
    params = (list(BESIDE_SCIPY),)

    def setup(self, name: str) -> None:
        """Walk both, and keep the largest ratio of the gradients to a loss."""
        baseline = BESIDE_SCIPY[name]
        framework = common.served(lambda: implementations.load(baseline.framework))
        if baseline.optimizer not in framework.OPTIMIZERS:
            raise NotImplementedError(f"there is no {baseline.optimizer} in this commit")
        (self.compared,) = baselines.measure(baseline, POSED, GRADIENTS)

    def track_gradients(self, *_: object) -> float:
        """Give the ratio; a loss that is not reached fails."""
        assert self.compared.worst is not None
        return common.finite(self.compared.gradient_ratio(self.compared.worst))


def _case(optimizer: str, problem: str) -> parity.Case:
    return parity.conditioned(problems.get(problem), optimizer)


def _walk(framework: str, optimizer: str, problem: str) -> np.ndarray:
    # skips what this commit or machine does not have
    common.work(framework, optimizer, problem, "")
    return parity.trajectory(implementations.load(framework), _case(optimizer, problem))
