"""How often the lazy line search chooses as the whole grid does.

`python -m benchmarks.line_search [steps]`: every step is searched twice from the same
state, and the lazy choice is followed.
"""

import sys
from functools import partial
from typing import Any

from rich.progress import track
from tabulate import tabulate

from optbench import implementations, problems
from optbench.measure import commits, timed
from optbench.problems import networks, seeds

NETWORK, INTERIOR, OTHERS = "tanh_32", 200, 60
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("kfac", {"damping": 1e-6, "decay": 0.9}),
    ("kfac", {"damping": 1e-3, "decay": 0.5}),
    ("engd", {"damping": 1e-8}),
]


def agreement(
    problem: str, optimizer: str, hyperparameters: dict[str, Any], steps: int
) -> tuple[int, float]:
    """Count the steps in which both searches choose alike.

    Beside them, the mean number of evaluations of the lazy one.
    """
    framework, pde = implementations.load("torch"), problems.get(problem)
    backend, objective = framework.backend, framework.Objective(pde, NETWORK)
    start = networks.initial_parameters(NETWORK, pde.inputs, pde.outputs, 0)
    points = timed.few_points(pde, INTERIOR, OTHERS)
    params, batch = (
        backend.from_numpy_tree(tree) for tree in (start, seeds.batch(pde, 0, 0, points))
    )
    lazy, whole = (
        commits.optimizer(framework, optimizer, {**hyperparameters, "line_search": search})
        for search in ("grid", "grid_exhaustive")
    )
    step, other = (backend.compile(partial(it.step, objective)) for it in (lazy, whole))
    state, alike = lazy.init(objective, params), 0
    for _ in range(steps):
        _, expected, _ = other(params, state, batch)
        params, state, _ = step(params, state, batch)
        alike += int(expected.search.choice) == int(state.search.choice)
    return alike, int(lazy.counters(state)["evaluations"]) / steps


def main(steps: int) -> None:
    """Print one row per problem and one column per setting."""
    names = [
        f"{name}, {', '.join(f'{key} {value:g}' for key, value in fields.items())}"
        for name, fields in SETTINGS
    ]
    rows = []
    for problem in track(problems.names(), "problems"):
        agreements = [agreement(problem, *setting, steps) for setting in SETTINGS]
        cells = (f"{alike} ({evaluations:.1f})" for alike, evaluations in agreements)
        rows.append([problem, *cells])
    print(
        f"choices alike in {steps} steps (evaluations per step); "
        f"{NETWORK}, {INTERIOR} points of the equation, {OTHERS} of other terms, torch"
    )
    print(tabulate(rows, ["problem", *names], tablefmt="pipe"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
