"""What absolute constants cost L-BFGS: the table and figure of docs/methods/lbfgs.md.

`python docs/made/lbfgs_plateau.py` prints the table and draws the figure beside that page,
in some minutes on a core; with a number, every walk ends after so many evaluations.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch

from optbench import implementations, problems
from optbench.implementations.torch.optimizers.lbfgs_wolfe import LBFGSWolfe
from optbench.problems import networks, seeds

FIGURE = Path(__file__).parents[1] / "methods" / "lbfgs_plateau.svg"
PROBLEMS = ("poisson_sine_2d", "heat_sine_1d")
NETWORK, HISTORY, EVALUATIONS = "tanh_64", 50, 3000
SLOPE, PAIR = 1e-9, 1e-10  # torch.optim.LBFGS's: no step above −SLOPE, no pair up to PAIR
AS_IT_IS, NONE = "torch.optim.LBFGS as it is", "lbfgs_wolfe"
SLOPE_ALONE, PAIR_ALONE = "no step where gᵀd > −1e-9", "no pair where yᵀs ≤ 1e-10"


class Reached(NamedTuple):
    """Where a walk is."""

    evaluations: int
    loss: float
    slope: float  # gᵀd of the step that is next; NaN where nobody asks
    params: list[torch.Tensor]


class WithPairs(LBFGSWolfe):
    """`lbfgs_wolfe`, but pairs are kept as torch.optim.LBFGS keeps them."""

    def update(self, memory, pair):
        """Keep a pair where yᵀs exceeds the absolute constant."""
        return super().update(memory, pair) if pair.curvature > PAIR else memory


class Start:
    """A problem with its points and first parameters, of the seed 0."""

    def __init__(self, name: str) -> None:
        framework = implementations.load("torch")
        self.problem, self.backend = problems.get(name), framework.backend
        self.objective = framework.Objective(self.problem, NETWORK, 0)
        put = self.backend.from_numpy_tree
        shape = self.problem.inputs, self.problem.outputs
        self.params = put(networks.initial_parameters(NETWORK, *shape, 0))
        self.batch = put(seeds.batch(self.problem, 0, 0, self.problem.points))

    def ours(self, optimizer: LBFGSWolfe) -> Iterator[Reached]:
        """Walk with one of our optimizers."""
        step = self.backend.compile(partial(optimizer.step, self.objective))
        params, state = self.params, optimizer.init(self.objective, self.params)
        while not state.ended:
            params, state, _ = step(params, state, self.batch)
            slope = state.gradient.dot(optimizer.direction(state.memory, state.gradient))
            evaluations = int(state.counts.evaluations)
            yield Reached(evaluations, float(state.loss), float(slope), params)

    def theirs(self) -> Iterator[Reached]:
        """Walk with torch.optim.LBFGS until a step of it changes nothing."""
        params = [matrix.clone().requires_grad_() for matrix in self.params]
        differentiate = self.backend.compile(self.objective.gradient)
        optimizer = torch.optim.LBFGS(
            params, history_size=HISTORY, line_search_fn="strong_wolfe"
        )

        def closure() -> torch.Tensor:
            losses, gradient = differentiate([p.detach() for p in params], self.batch)
            for matrix, entries in zip(params, gradient, strict=True):
                matrix.grad = entries
            return losses.total

        before = None
        while before is None or any(map(torch.any, map(torch.ne, before, params))):
            before = [matrix.detach().clone() for matrix in params]
            optimizer.step(closure)
            here = [matrix.detach().clone() for matrix in params]
            evaluations = optimizer.state[params[0]]["func_evals"]
            loss = float(self.backend.compile(self.objective.loss)(here, self.batch))
            yield Reached(evaluations, loss, np.nan, here)

    def error(self, params: list[torch.Tensor]) -> float:
        """Compute ‖u − u*‖ / ‖u*‖."""
        x, solution = seeds.evaluation_points(self.problem, "report")
        predict = self.backend.compile(self.objective.predict)
        u = self.backend.to_numpy(predict(params, self.backend.from_numpy(x)))
        return float(np.linalg.norm(u - solution) / np.linalg.norm(solution))


def until(walk: Iterator[Reached], ends: Callable[[Reached], bool]) -> list[Reached]:
    """Follow a walk as far as it goes, or to where it is said to end."""
    passed = []
    for reached in walk:
        passed.append(reached)
        if ends(reached):
            break
    return passed


def measure(start: Start, most: int) -> dict[str, list[Reached]]:
    """Walk with all constants, with one alone and with none."""
    whole = until(
        start.ours(LBFGSWolfe(history_size=HISTORY)),
        lambda reached: reached.evaluations >= most,
    )
    return {
        AS_IT_IS: until(start.theirs(), lambda reached: reached.evaluations >= most),
        # the same walk, as far as it would go
        SLOPE_ALONE: until(iter(whole), lambda reached: reached.slope > -SLOPE),
        PAIR_ALONE: until(
            start.ours(WithPairs(history_size=HISTORY)),
            lambda reached: reached.evaluations >= most,
        ),
        NONE: whole,
    }


def row(start: Start, passed: list[Reached], most: int) -> str:
    """Say what was reached, and when it stopped."""
    last = passed[-1]
    words = f"{last.loss:.1e} / {start.error(last.params):.1e}"
    if last.evaluations < most:
        stood = next(one for one in passed if one.loss == last.loss)
        words += f", nothing moves after {stood.evaluations:,}"
    return words


def draw(walks: dict[str, dict[str, list[Reached]]], most: int) -> None:
    """Draw the loss over evaluations, with all constants and with none."""
    mpl.rcParams["svg.hashsalt"] = "optbench"  # the same file each time
    figure, panels = plt.subplots(
        1, len(walks), figsize=(8, 3.2), sharey=True, layout="constrained"
    )
    for panel, (name, of) in zip(panels, walks.items(), strict=True):
        for label, colour in ((AS_IT_IS, "#d55e00"), (NONE, "#0173b2")):
            x = [reached.evaluations for reached in of[label]]
            y = [reached.loss for reached in of[label]]
            if x[-1] < most:  # it stands there
                panel.plot([x[-1], most], [y[-1]] * 2, colour, linestyle=":")
            panel.plot(x, y, colour, label=label)
        panel.set(title=name, xlabel="evaluations", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("loss")
    panels[0].legend(frameon=False)
    figure.savefig(FIGURE, metadata={"Date": None})


if __name__ == "__main__":
    most = int(sys.argv[1]) if len(sys.argv) > 1 else EVALUATIONS
    starts = {name: Start(name) for name in PROBLEMS}
    walks = {name: measure(start, most) for name, start in starts.items()}
    print(f"| | {' | '.join(f'`{name}`' for name in walks)} |\n|---|---|---|")
    for label in walks[PROBLEMS[0]]:
        cells = [row(starts[name], of[label], most) for name, of in walks.items()]
        print(f"| {label} | {' | '.join(cells)} |")
    draw(walks, most)
