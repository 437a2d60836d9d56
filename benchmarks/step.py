"""What one optimizer step costs on the small problems of `quick.toml`; run by asv.

asv run --environment existing:python --quick --show-stderr
"""

from functools import partial

import implementations
import problems
from problems import networks, seeds

NETWORK = "tanh_64"


class Step:
    """Everything is made, compiled and warmed in `setup`; the timed call is a step and the wait for its results."""

    version = "1"  # raised when the work changes, so that cosmetic edits keep the history
    timeout = 600
    param_names = ("framework", "optimizer", "problem")
    params = (
        list(implementations.FRAMEWORKS),
        ["sgd", "adam", "lbfgs", "lbfgs_wolfe", "engd", "engd_per_layer", "engd_diagonal", "kfac", "kfac_star"],
        ["poisson_sine_2d", "heat_sine_1d"],
    )

    def setup(self, framework: str, optimizer: str, problem: str) -> None:
        """Skipped where the framework is not installed."""
        if framework not in implementations.installed():
            raise NotImplementedError(f"{framework} is not installed")
        loaded, pde = implementations.load(framework), problems.get(problem)
        batch = seeds.batch(pde, 0, 0, pde.interior_points, pde.boundary_points)
        start = networks.initial_parameters(NETWORK, pde.dim, pde.outputs, 0)
        self.batch, self.start = (loaded.backend.from_numpy_tree(tree) for tree in (batch, start))
        objective, made = loaded.Objective(pde), loaded.OPTIMIZERS[optimizer]()
        self.step, self.wait = loaded.backend.compile(partial(made.step, objective)), loaded.backend.wait
        self.state = made.init(objective, self.start)
        self.time_step()

    def time_step(self, *_: str) -> None:
        """Seconds a step."""
        self.wait(self.step(self.start, self.state, self.batch))
