"""How good the parameters of a short run are: what a step that is faster and wrong gives away."""

import numpy as np

from optbench.implementations import Framework
from optbench.measure.parity import CONDITIONED, Case
from optbench.problems import networks, seeds
from optbench.problems.problem import Problem


def case(problem: Problem, optimizer: str) -> Case:
    """The short run, with hyperparameters under which rounding stays small, so that its error is the same anywhere."""
    return Case(problem, optimizer, CONDITIONED.get(optimizer, {}))


def relative_l2(framework: Framework, case: Case, path: np.ndarray) -> float:
    """‖u − u*‖ / ‖u*‖ over the evaluation points, after the last step of a trajectory [steps + 1, D]."""
    x, solution = seeds.evaluation_points(case.problem, "report")
    backend = framework.backend
    objective = framework.Objective(case.problem, networks.parse(case.network).activation)
    u = backend.to_numpy(
        objective.predict(
            backend.from_numpy_tree(matrices(case, path[-1])), backend.from_numpy(x)
        )
    )
    return float(np.linalg.norm(u - solution) / np.linalg.norm(solution))


def matrices(case: Case, vector: np.ndarray) -> list[np.ndarray]:
    """The layers' matrices [W | b] of all parameters side by side [D]."""
    shapes = networks.shapes(case.network, case.problem.dim, case.problem.outputs)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return [
        part.reshape(shape)
        for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)
    ]
