"""Our own side."""

from functools import partial

from benchmarks.peers.cases import HISTORY, LEARNING_RATE, Case
from optbench import implementations, problems

SETTINGS = {
    "adam": {"learning_rate": LEARNING_RATE},
    "lbfgs_wolfe": {"history_size": HISTORY},
}


class Ours:
    """A step of ours in a framework, as a run does it."""

    def __init__(self, case: Case, framework: str, optimizer: str) -> None:
        loaded = implementations.load(framework)
        self.backend = loaded.backend
        objective = loaded.Objective(problems.get(case.problem), case.network)
        made = loaded.OPTIMIZERS[optimizer](**SETTINGS[optimizer])
        self.params = self.backend.from_numpy_tree(case.start())
        self.batch = self.backend.from_numpy_tree(case.batch())
        self.state = made.init(objective, self.params)
        self.step = self.backend.compile(partial(made.step, objective), donate=(1,))
        self.losses = self.backend.compile(objective.loss)

    def walk(self, steps: int) -> None:
        """Do steps from where it is, and wait for the last."""
        for _ in range(steps):
            self.params, self.state, _ = self.step(self.params, self.state, self.batch)
        self.backend.wait((self.params, self.state))

    def loss(self) -> float:
        """Evaluate the loss where it is."""
        return float(self.backend.to_numpy(self.losses(self.params, self.batch)))
