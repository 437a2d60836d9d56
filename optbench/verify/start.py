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
from optbench.training.draws import Draws
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
                value := row.numbers[name], expected, rel_tol=tolerance
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
        tuple(request.points.items()),
        tuple(request.weights.items()),
        request.sampling,
        request.march,
        request.seed,
        request.dtype,
        request.evaluation,
    )


@functools.cache
def _row(
    name: str,
    network: str,
    points: tuple[tuple[str, int], ...],
    weights: tuple[tuple[str, float], ...],
    sampling: str,
    march: int,
    seed: int,
    dtype: str,
    evaluation: str,
) -> dict[str, float]:
    """Compute the numbers of the first row, as the loop observes them."""
    problem = problems.get(name).with_weights(dict(weights))
    # a seed draws the network's frequencies too, where it has any
    features = seed if networks.parse(network).features else 0
    backend, losses, predict = _functions(name, network, weights, features)
    put = functools.partial(copied, dtype=dtype, backend=backend, clock=Clock())
    start = networks.initial_parameters(network, problem.inputs, problem.outputs, seed)
    params = put(start)
    draws = Draws(problem, dict(points), seed, sampling=sampling, march=march)
    x, solution = seeds.evaluation_points(problem, evaluation)
    terms = losses(params, put(draws.batch(0))).terms
    rms = root_mean_square(backend.to_numpy(predict(params, put(x))) - solution)
    return {
        **{term: float(backend.to_numpy(terms[term])) for term in problem.terms},
        "rms": rms,
        "relative_l2": rms / root_mean_square(solution),
    }


@functools.cache
def _functions(
    name: str, network: str, weights: tuple[tuple[str, float], ...], seed: int
) -> tuple[Any, Any, Any]:
    """Give the backend, and the compiled losses and prediction of a problem and network."""
    framework = _framework()
    problem = problems.get(name).with_weights(dict(weights))
    objective = framework.Objective(problem, network, seed)
    compiled = framework.backend.compile
    return framework.backend, compiled(objective.losses), compiled(objective.predict)


def _framework() -> implementations.Framework:
    """Load PyTorch, which compiles nothing, or any framework that works."""
    try:
        return implementations.load("torch")
    except implementations.FrameworkMissing:
        return implementations.load_any()


def norm_of(request: Request) -> float:
    """Give ‖u*‖, the root mean square at a run's evaluation points."""
    return _norm(request.problem, request.evaluation)


@functools.cache
def _norm(problem: str, evaluation: str) -> float:
    return root_mean_square(seeds.evaluation_points(problems.get(problem), evaluation)[1])


def root_mean_square(u: np.ndarray) -> float:
    """Give the root of the mean of |u|² [n, m] over the points."""
    return float(np.sqrt(np.mean(np.sum(u**2, axis=1))))
