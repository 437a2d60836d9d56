"""In a process of its own: measure the steps of one commit, and print them as JSON.

`measure.regressions` starts it: `python -m optbench.measure.commit_process JOB`.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from optbench.measure import commits
from optbench.records import cores

# rows of the square matrices whose product tells what the machine does meanwhile
CALIBRATION = 512
ROUNDS = 3  # through the optimizers, in a process
COUNTED = "tanh_16_16"  # the network on which work is counted


@dataclass(frozen=True)
class Job:
    """What a process is to measure."""

    framework: str
    optimizers: tuple[str, ...]
    problem: str
    network: str
    settings: dict[str, dict[str, Any]]  # hyperparameters by optimizer
    seconds: float  # of samples for each optimizer
    counted: bool  # whether work and accuracy are looked at too


@dataclass
class Measurements:
    """What a process measured, by optimizer."""

    samples: dict[str, list[float]] = field(default_factory=dict)  # seconds of single calls
    work: dict[str, dict[str, float]] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)  # relative L2 after a short run
    # of that run: [steps + 1, D] parameters
    path: dict[str, list[list[float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)  # why there is nothing
    calibration: list[float] = field(default_factory=list)  # seconds of a matrix product


def measure(job: Job) -> Measurements:
    """Do a job; an optimizer that fails, or that the commit does not have, fails alone."""
    measurements, steps = Measurements(), {}
    for optimizer in job.optimizers:
        try:
            steps[optimizer] = _warm(job, optimizer)
            if job.counted:
                work, error, path = _counted(job, optimizer)
                measurements.work[optimizer] = work
                measurements.error[optimizer] = error
                measurements.path[optimizer] = path
        except Exception as error:
            reason = str(error).partition("\n")[0]
            measurements.failed[optimizer] = f"{type(error).__name__}: {reason}"
    multiply = _product(job.framework)
    measurements.samples = {optimizer: [] for optimizer in steps}
    for _ in range(ROUNDS):  # in turn: what drifts in the machine drifts for all of them
        measurements.calibration += _samples(multiply, job.seconds / ROUNDS / 5)
        for optimizer, step in steps.items():
            measurements.samples[optimizer] += _samples(step, job.seconds / ROUNDS)
    return measurements


def _samples(function: Callable[[], Any], seconds: float) -> list[float]:
    """Time one call after another for so long, at least one."""
    samples, end = [], time.perf_counter() + seconds
    while not samples or time.perf_counter() < end:
        begin = time.perf_counter()
        function()
        samples.append(time.perf_counter() - begin)
    return samples


def _product(framework: str) -> Callable[[], None]:
    from optbench import implementations
    from optbench.measure import timed

    return timed.product(implementations.load(framework), CALIBRATION)


def _warm(job: Job, optimizer: str) -> Callable[[], None]:
    from optbench import implementations
    from optbench.measure.timed import Timed, Work

    if optimizer not in implementations.load(job.framework).OPTIMIZERS:
        raise LookupError(f"there is no {optimizer} in this commit")
    settings = job.settings.get(optimizer, {})
    return Timed(Work(job.framework, optimizer, job.problem, job.network, settings))


def _counted(job: Job, optimizer: str) -> tuple[dict[str, float], float, list[list[float]]]:
    from optbench import implementations, problems
    from optbench.measure import parity, timed

    framework = implementations.load(job.framework)
    settings = job.settings.get(optimizer, {})
    work = timed.Work(job.framework, optimizer, job.problem, COUNTED, settings)
    case = parity.conditioned(problems.get(job.problem), optimizer)
    path = parity.trajectory(framework, case)
    return timed.counts(work), parity.relative_l2(framework, case, path), path.tolist()


if __name__ == "__main__":
    cores.pin(1)  # before anything of a framework is imported
    commits.find()
    json.dump(asdict(measure(Job(**json.loads(sys.argv[1])))), sys.stdout)
