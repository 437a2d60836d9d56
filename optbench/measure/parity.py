"""The certificate that the twins match, and the error that a short run reaches.

How far the trajectories of both frameworks part is shown beside what rounding alone does; a
step that is faster and wrong gives its error away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from optbench import implementations, problems
from optbench.measure import commits, timed
from optbench.problems import networks, seeds
from optbench.problems.names import UnknownName

if TYPE_CHECKING:
    from optbench.implementations import Framework
    from optbench.problems.problem import Batch, Problem

# hyperparameters under which rounding stays small: little damping, or many inner
# iterations, amplify it
CONDITIONED: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": {},
    # what is left of rounding in SOAP's moments is divided by eps
    "soap": {"eps": 1e-4, "interval": 2},
    "muon": {},
    "lbfgs": {"learning_rate": 0.01, "inner_iterations": 2},
    "lbfgs_wolfe": {"history_size": 50},
    "bfgs": {"initial_scaling": True},
    "ssbfgs": {"initial_scaling": True},
    "ssbroyden": {"initial_scaling": True},
    "engd": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "engd_woodbury": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "spring": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "engd_per_layer": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "engd_diagonal": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "kfac": {"damping": 1e-2, "line_search": "grid_exhaustive"},
    "kfac_star": {"damping": 0.3, "decay": 0.7},
    "hessian_free": {"damping": 300.0, "cg_max_iterations": 5},
    "levenberg_marquardt": {"damping": 1.0, "acceleration": 0.5},
    # a small radius keeps the damping large
    "trust_region": {"radius": 0.03, "target": 0.8, "probes": 8},
    "nystrom_newton": {
        **{"rank": 10, "sketch_interval": 4, "damping": 10.0, "cg_max_iterations": 5},
    },
}

# the same where weights or the order of an operator scale the factors: an absolute damping
# is smaller than their rounding there
SCALED: dict[str, dict[str, Any]] = {
    name: {"damping": 1e-6, "damping_rule": "relative", "guard": True}
    for name in ("kfac", "kfac_star")
}

# of the points, whose largest drift counts: a single one was too small by chance once in
# sixty cases
ORDERS = 3


@dataclass(frozen=True)
class Case:
    """A short run on a fixed batch, which both twins do."""

    problem: "Problem"
    optimizer: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    network: str = "tanh_8_8"
    # by term; few where a term is not named
    points: Mapping[str, int] = field(default_factory=dict)
    steps: int = 20
    seed: int = 0

    @property
    def described_network(self) -> str:
        """The network with its parameter count."""
        inputs = commits.inputs(self.problem)
        return networks.describe(self.network, inputs, self.problem.outputs)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The shapes of the layers' matrices [W | b]."""
        inputs = commits.inputs(self.problem)
        return networks.shapes(self.network, inputs, self.problem.outputs)


@dataclass(frozen=True)
class Certificate:
    """Relative differences ‖θ − θ′‖ / ‖θ‖ of the parameters, the largest over the steps."""

    case: Case
    difference: float  # between the twins
    # the largest of a framework from itself with its points in other orders: rounding alone
    drift: float

    @property
    def agrees(self) -> bool:
        """The twins differ by no more than ten times what rounding alone does."""
        return self.difference <= 10 * max(self.drift, float(np.finfo(np.float64).eps))


def conditioned(problem: "Problem", optimizer: str, **fields: Any) -> Case:
    """Make the short run in which rounding stays small: its error is the same anywhere."""
    hyperparameters = CONDITIONED.get(optimizer, {})
    if not commits.has_two_terms(problem) and (
        problem.order > 2 or set(problem.weights.values()) != {1.0}
    ):
        hyperparameters = hyperparameters | SCALED.get(optimizer, {})
    return Case(problem, optimizer, hyperparameters, **fields)


def cases(
    names: Sequence[str],
    optimizers: Sequence[str],
    known: Sequence[str],
    interior: int | None = None,
    others: int | None = None,
    **fields: Any,
) -> Iterator[Case]:
    """Give a case for each optimizer on each problem, for all `known` ones by default.

    Each has so many interior points, and so many of every other term. Raises InvalidName.
    """
    for optimizer in optimizers:
        if optimizer not in known:
            raise UnknownName("optimizer", optimizer, known)
    for problem in map(problems.get, names):
        points = timed.few_points(problem, interior, others)
        for optimizer in optimizers or known:
            yield conditioned(problem, optimizer, points=points, **fields)


def certify(case: Case, frameworks: "tuple[Framework, Framework]") -> Certificate:
    """Run a case in both frameworks, and again in each with its points in other orders."""
    walks = [walker(framework, case) for framework in frameworks]
    plain = [walk(0) for walk in walks]
    orders = range(1, ORDERS + 1)
    drifts = [
        difference(one, walk(order))
        for walk, one in zip(walks, plain, strict=True)
        for order in orders
    ]
    return Certificate(case, difference(*plain), max(drifts))


def trajectory(framework: "Framework", case: Case) -> np.ndarray:
    """Give the parameters before and after every step, [steps + 1, D]."""
    return walker(framework, case)(0)


def walker(framework: "Framework", case: Case) -> Callable[[int], np.ndarray]:
    """Make the function from an order of the points, 0 for their own, to the trajectory.

    The step is compiled once for all orders.
    """
    backend = framework.backend
    objective = commits.objective(framework, case.problem, case.network, case.seed)
    optimizer = commits.optimizer(framework, case.optimizer, case.hyperparameters)
    start = networks.initial_parameters(
        case.network, commits.inputs(case.problem), case.problem.outputs, case.seed
    )
    points = {**timed.few_points(case.problem), **case.points}
    step = backend.compile(partial(optimizer.step, objective))

    def walk(order: int) -> np.ndarray:
        batch = commits.batch(case.problem, case.seed, points)
        batch = backend.from_numpy_tree(permuted(batch, order) if order else batch)
        params = backend.from_numpy_tree(start)
        state, path = optimizer.init(objective, params), [vector(start)]
        for _ in range(case.steps):
            params, state, _losses = step(params, state, batch)
            optimizer.check(state)
            path.append(vector(backend.to_numpy_tree(params)))
        return np.array(path)

    return walk


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Give the largest ‖θ − θ′‖ / ‖θ‖ over the steps."""
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)).max())


def permuted(batch: "Batch", order: int) -> "Batch":
    """Put the points in another order: in exact arithmetic every step stays the same."""

    def term(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = np.random.default_rng(order).permutation(len(x))
        return x[new], y[new]

    return commits.each_term(term, batch)


def vector(params: list[np.ndarray]) -> np.ndarray:
    """Lay all parameters side by side [D]."""
    return np.concatenate([matrix.ravel() for matrix in params])


def matrices(case: Case, vector: np.ndarray) -> list[np.ndarray]:
    """Take the layers' matrices [W | b] out of all parameters side by side [D]."""
    shapes = case.shapes
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return [
        part.reshape(shape)
        for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)
    ]


def relative_l2(framework: "Framework", case: Case, path: np.ndarray) -> float:
    """Give ‖u − u*‖ / ‖u*‖ after the last step of a trajectory [steps + 1, D].

    The points are those at which runs are evaluated.
    """
    x, solution = seeds.evaluation_points(case.problem, "report")
    backend = framework.backend
    params = backend.from_numpy_tree(matrices(case, path[-1]))
    objective = commits.objective(framework, case.problem, case.network, case.seed)
    u = backend.to_numpy(objective.predict(params, backend.from_numpy(x)))
    return float(np.linalg.norm(u - solution) / np.linalg.norm(solution))


def both() -> "tuple[Framework, Framework]":
    """Load the two frameworks; raises FrameworkMissing where one is not installed."""
    return implementations.load("torch"), implementations.load("jax")


def table(certificates: Sequence[Certificate]) -> str:
    """Render the certificates as text, one line per case."""
    rows = [
        (
            certificate.case.problem.name,
            certificate.case.described_network,
            certificate.case.optimizer,
            ", ".join(
                f"{name}={value}"
                for name, value in certificate.case.hyperparameters.items()
            )
            or "defaults",
            certificate.case.steps,
            f"{certificate.difference:.1e}",
            f"{certificate.drift:.1e}",
            "yes" if certificate.agrees else "NO",
        )
        for certificate in certificates
    ]
    headers = (
        *("problem", "network", "optimizer", "hyperparameters", "steps"),
        *("torch to jax", "drift", "agrees"),
    )
    return tabulate(rows, headers)
