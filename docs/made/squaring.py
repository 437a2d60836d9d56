"""What squaring the condition number of J costs: the tables of docs/methods/engd.md.

`python docs/made/squaring.py` prints them as Markdown, in a few minutes on a core.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import mpmath as mp
import numpy as np

from optbench import implementations, problems
from optbench.implementations.jax.optimizers.engd import ENGD
from optbench.implementations.jax.optimizers.engd_woodbury import ENGDWoodbury
from optbench.implementations.jax.solvers.linear_algebra import damped_solve, least_squares

Array = Any

PROBLEM, NETWORK = "poisson_sine_2d", "tanh_64"
AFTER = (0, 50, 200)  # steps along the way, at which J is looked at
ALONG = 1e-8  # the damping of this way
DAMPINGS = (1e-6, 1e-10, 1e-14)
STEPS = (25, 50, 75, 100)  # at which the losses are shown
FURTHER = (10, 20, 40)  # steps after 50 of them with the damping ALONG
DIGITS = 40  # of the products in the direction that the others are compared with

# (JᵀJ + λI)⁺ Jᵀr in three ways
SOLVES: dict[str, Callable[[Array, float, Array], Array]] = {
    "$G = J^\\top J$": lambda J, damping, r: damped_solve(J.T @ J, damping, J.T @ r),
    "kernel $JJ^\\top$": lambda J, damping, r: J.T @ damped_solve(J @ J.T, damping, r),
    "$J$ itself": least_squares,
}
WAYS = {
    "`engd`": ENGD,
    "`engd_woodbury`": ENGDWoodbury,
    '`engd`, `solve = "jacobian"`': partial(ENGD, solve="jacobian"),
}


class Start:
    """The problem, its batch and its network in JAX."""

    def __init__(self) -> None:
        problem = problems.get(PROBLEM)
        self.framework = implementations.load("jax")
        to_arrays = self.framework.backend.from_numpy_tree
        self.params = to_arrays(
            problems.networks.initial_parameters(NETWORK, problem.inputs, 1, seed=0)
        )
        self.batch = to_arrays(problems.seeds.batch(problem, 0, 0, problem.points))
        self.objective = self.framework.Objective(problem, NETWORK)

    def walk(
        self, optimizer: Any, steps: int, params: Any = None
    ) -> tuple[list[Any], list[float]]:
        """Do steps; give the parameters and the loss before each, and after the last.

        They begin at the start, if not at other parameters.
        """
        step = self.framework.backend.compile(partial(optimizer.step, self.objective))
        params = self.params if params is None else params
        state = optimizer.init(self.objective, params)
        passed, losses = [params], []
        for _ in range(steps):
            params, state, before = step(params, state, self.batch)
            passed.append(params)
            losses.append(float(before.total))
        return passed, [*losses, float(self.objective.loss(params, self.batch))]


def exact_direction(J: np.ndarray, damping: float, r: np.ndarray) -> np.ndarray:
    """Solve (JᵀJ + λI) x = Jᵀr by iterative refinement, in products of DIGITS digits."""
    _, s, Vt = np.linalg.svd(J, full_matrices=False)
    exact = np.vectorize(mp.mpf, otypes=[object])
    with mp.workdps(DIGITS):
        rows, x = exact(J), exact(np.zeros(J.shape[1]))
        for _ in range(40):
            left = rows.T @ (exact(r) - rows @ x) - mp.mpf(damping) * x
            correction = Vt.T @ (Vt @ left.astype(float) / (s**2 + damping))
            x = x + exact(correction)
            if np.linalg.norm(correction) <= 1e-17 * np.linalg.norm(x.astype(float)):
                return x.astype(float)
    raise ArithmeticError("the refinement does not converge")


def directions(start: Start) -> list[dict[str, str]]:
    """Measure J along a run and the relative errors of directions, by ‖x − x*‖/‖x*‖."""
    optimizer = ENGD(solve="jacobian", damping=ALONG)
    passed, losses = start.walk(optimizer, max(AFTER))
    rows = []
    for number in AFTER:
        _, (J,), r = optimizer.rows(start.objective, passed[number], start.batch)
        s = np.linalg.svd(np.asarray(J), compute_uv=False)
        rounding = np.finfo(float).eps * len(s)
        for damping in DAMPINGS:
            wanted = exact_direction(np.asarray(J), damping, np.asarray(r))
            errors = {
                name: np.linalg.norm(np.asarray(solve(J, damping, r)) - wanted)
                for name, solve in SOLVES.items()
            }
            rows.append(
                {
                    "after step": f"{number}",
                    "loss": f"{losses[number]:.1e}",
                    "seen in $J$": f"{(s > rounding * s[0]).sum()}",
                    "seen in $G$": f"{(s**2 > rounding * s[0] ** 2).sum()}",
                    "$\\lambda$": f"{damping:.0e}",
                }
                | {
                    name: f"{error / np.linalg.norm(wanted):.0e}"
                    for name, error in errors.items()
                }
            )
    return rows


def losses(start: Start) -> Iterator[dict[str, str]]:
    """Measure how low the loss is after so many steps, by each way and damping."""
    for name, make in WAYS.items():
        for damping in (*DAMPINGS[:2], 0.0):
            if name == "`engd_woodbury`" and not damping:  # it must have one
                continue
            _, fallen = start.walk(make(damping=damping), max(STEPS))
            yield {
                "optimizer": name,
                "$\\lambda$": f"{damping:.0e}" if damping else "0",
            } | {f"{number} steps": f"{fallen[number]:.0e}" for number in STEPS}


def further(start: Start) -> Iterator[dict[str, str]]:
    """Measure how far G and J lead from where the damping ALONG has led in 50 steps."""
    passed, fallen = start.walk(ENGD(solve="jacobian", damping=ALONG), 50)
    for damping in (1e-8, 1e-10, 1e-12, 1e-14):
        for solve in ("gramian", "jacobian"):
            optimizer = ENGD(solve=solve, damping=damping)
            _, losses = start.walk(optimizer, max(FURTHER), passed[-1])
            yield {
                "`solve`": f'`"{solve}"`',
                "$\\lambda$": f"{damping:.0e}",
                "at first": f"{fallen[-1]:.1e}",
            } | {f"{number} steps": f"{losses[number]:.1e}" for number in FURTHER}


def show(rows: Iterable[dict[str, str]]) -> None:
    """Print a table, line by line."""
    for number, row in enumerate(rows):
        lines = [row.values()] if number else [row, ["--:"] * len(row), row.values()]
        for line in lines:
            print(f"| {' | '.join(line)} |", flush=True)


if __name__ == "__main__":
    began = Start()
    show(directions(began))
    print()
    show(losses(began))
    print()
    show(further(began))
