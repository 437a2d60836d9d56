"""In a process of its own: what the steps of one commit take, as JSON; `measure.regressions` starts it."""

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from optbench.records.cores import pin

CALIBRATION = (
    512  # rows of the square matrices whose product tells what the machine does meanwhile
)


@dataclass(frozen=True)
class Asked:
    """What a process is asked for."""

    framework: str
    optimizers: tuple[str, ...]
    problem: str
    network: str
    settings: dict[str, dict[str, Any]]  # hyperparameters by optimizer
    seconds: float  # of samples for each optimizer
    counted: bool  # whether work and accuracy are looked at too


@dataclass
class Measured:
    """What it found, by optimizer."""

    samples: dict[str, list[float]] = field(default_factory=dict)  # seconds of single calls
    work: dict[str, dict[str, float]] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)  # relative L2 after a short run
    path: dict[str, list[list[float]]] = field(
        default_factory=dict
    )  # of that run: [steps + 1, D] parameters
    failed: dict[str, str] = field(default_factory=dict)  # why there is nothing
    calibration: list[float] = field(
        default_factory=list
    )  # seconds of a product of two matrices


def measure(asked: Asked) -> Measured:
    """Do what is asked; an optimizer that fails, or that the commit does not have, fails alone."""
    found, timed = Measured(), {}
    for optimizer in asked.optimizers:
        try:
            timed[optimizer] = _warm(asked, optimizer)
            if asked.counted:
                found.work[optimizer], found.error[optimizer], found.path[optimizer] = (
                    _counted(asked, optimizer)
                )
        except Exception as error:
            found.failed[optimizer] = (
                f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            )
    multiply = _product(asked.framework)
    found.samples = {optimizer: [] for optimizer in timed}
    for _ in range(ROUNDS):  # in turn: what drifts in the machine drifts for all of them
        found.calibration += _samples(multiply, asked.seconds / ROUNDS / 5)
        for optimizer, step in timed.items():
            found.samples[optimizer] += _samples(step, asked.seconds / ROUNDS)
    return found


ROUNDS = 3  # through the optimizers, in a process


def _samples(function: Any, seconds: float) -> list[float]:
    """Seconds of one call after another, at least one."""
    taken, end = [], time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return taken


def _warm(asked: Asked, optimizer: str) -> Any:
    from optbench import implementations
    from optbench.measure.timed import Timed, Work

    if optimizer not in implementations.load(asked.framework).OPTIMIZERS:
        raise LookupError(f"there is no {optimizer} in this commit")
    return Timed(
        Work(
            asked.framework,
            optimizer,
            asked.problem,
            asked.network,
            asked.settings.get(optimizer, {}),
        )
    )


def _counted(
    asked: Asked, optimizer: str
) -> tuple[dict[str, float], float, list[list[float]]]:
    from optbench import implementations, problems
    from optbench.measure import accuracy, parity, work
    from optbench.measure.timed import Work

    framework = implementations.load(asked.framework)
    step = Work(
        asked.framework,
        optimizer,
        asked.problem,
        "tanh_16_16",
        asked.settings.get(optimizer, {}),
    )
    case = accuracy.case(problems.get(asked.problem), optimizer)
    path = parity.trajectory(framework, case)
    return work.counts(step), accuracy.relative_l2(framework, case, path), path.tolist()


def _product(framework: str) -> Any:
    import numpy as np

    from optbench import implementations

    backend = implementations.load(framework).backend
    matrix = backend.from_numpy(
        np.random.default_rng(0).normal(size=(CALIBRATION, CALIBRATION))
    )
    multiply = backend.compile(lambda matrix: matrix @ matrix)
    return lambda: backend.wait(multiply(matrix))


if __name__ == "__main__":
    pin(1)  # before anything of a framework is imported
    json.dump(asdict(measure(Asked(**json.loads(sys.argv[1])))), sys.stdout)
