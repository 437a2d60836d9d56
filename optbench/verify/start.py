"""The first row of every history, computed anew.

Before the first step nothing but rounding depends on the machine: the parameters and the
points follow from the seed.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from optbench import implementations, problems
from optbench.campaign.results_folder import Results
from optbench.problems import networks, seeds
from optbench.records.record import Record, Request
from optbench.training.clock import Clock
from optbench.training.setup import copied
from optbench.verify.finding import Remark

# relative; the frameworks agree to 2e-15 on all published runs in float64, and TF32 keeps
# ten bits of a product
TOLERANCE = {"float64": 1e-9, "float32": 1e-3, "tf32": 1e-1}


def check(results: Results) -> Iterator[str]:
    """Check that losses and errors before the first step are those of the seed.

    Raises FrameworkMissing where no framework works.
    """
    skipped = 0
    for file, record in results.records.items():
        if not record.history:
            continue
        if problems.get(record.request.problem).version != record.request.problem_version:
            skipped += 1
            continue
        row, tolerance = record.history[0], TOLERANCE[record.request.precision]
        for name, expected in _expected(record).items():
            if not math.isclose(
                value := getattr(row, name), expected, rel_tol=tolerance
            ) and not (math.isnan(value) and math.isnan(expected)):
                yield (
                    f"{file}: {name} = {value:.12g} before the first step, which is "
                    f"{expected:.12g}"
                )
                break
    if skipped:
        yield Remark(f"not applied to {skipped} of {results.folder}: of other versions")


def _expected(record: Record) -> dict[str, float]:
    request = record.request
    return _row(
        request.problem,
        request.network,
        request.points.interior,
        request.points.boundary,
        request.seed,
        request.dtype,
        request.evaluation,
    )


@functools.cache
def _row(
    name: str,
    network: str,
    interior: int,
    boundary: int,
    seed: int,
    dtype: str,
    evaluation: str,
) -> dict[str, float]:
    """Compute the numbers of the first row, as the loop observes them."""
    problem, (backend, losses, predict) = problems.get(name), _functions(name, network)
    put = functools.partial(copied, dtype=dtype, backend=backend, clock=Clock())
    params = put(networks.initial_parameters(network, problem.dim, problem.outputs, seed))
    batch = put(seeds.batch(problem, seed, 0, interior, boundary))
    x, solution = seeds.evaluation_points(problem, evaluation)
    both = [float(backend.to_numpy(loss)) for loss in losses(params, batch)]
    rms = root_mean_square(backend.to_numpy(predict(params, put(x))) - solution)
    return {
        "interior": both[0],
        "boundary": both[1],
        "rms": rms,
        "relative_l2": rms / root_mean_square(solution),
    }


@functools.cache
def _functions(name: str, network: str) -> tuple[Any, Any, Any]:
    """Give the backend, and the compiled losses and prediction of a problem and network."""
    framework = _framework()
    objective = framework.Objective(
        problems.get(name), activation=networks.parse(network).activation
    )
    compiled = framework.backend.compile
    return framework.backend, compiled(objective.losses), compiled(objective.predict)


def _framework() -> implementations.Framework:
    """Load PyTorch, which compiles nothing, or any framework that works."""
    try:
        return implementations.load("torch")
    except implementations.FrameworkMissing:
        return implementations.load_any()


@functools.cache
def solution_norm(problem: str, evaluation: str) -> float:
    """Give ‖u*‖, the root mean square over the evaluation points."""
    return root_mean_square(seeds.evaluation_points(problems.get(problem), evaluation)[1])


def root_mean_square(u: np.ndarray) -> float:
    """Give the root of the mean of |u|² [n, m] over the points."""
    return float(np.sqrt(np.mean(np.sum(u**2, axis=1))))


def norm_of(request: Request) -> float:
    """Give ‖u*‖ at a run's evaluation points."""
    return solution_norm(request.problem, request.evaluation)
