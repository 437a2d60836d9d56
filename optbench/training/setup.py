"""Everything of a run but its steps.

Numbers are drawn and copied to the device, functions compiled and warmed up.
"""

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from optbench.campaign import source_files
from optbench.campaign.expansion import FLOAT64_ALONE, NO_TF32
from optbench.implementations import lookup
from optbench.implementations.blocks import LONGEST, Bounds
from optbench.implementations.protocol import Backend, Framework, Optimizer
from optbench.problems import networks, seeds
from optbench.problems.own import InvalidFile
from optbench.problems.problem import Problem
from optbench.records.record import Request
from optbench.training.checkpoint import leaves, like
from optbench.training.clock import Clock
from optbench.training.draws import Draws
from optbench.training.limits import Limits
from optbench.training.memory import foresee
from optbench.training.status import Refused, TimedOut, stage

ALONE = Bounds(ceiling=math.inf, idle=0, most_idle=2)  # of a block of one step


@dataclass(frozen=True)
class Part:
    """An optimizer that is ready for its first step."""

    optimizer: Optimizer
    init: Callable  # params -> state
    # (params, state, batch) -> (params, state, losses), or what does blocks of such steps
    # where the run asks for them; may overwrite the state
    step: Callable


@dataclass(frozen=True)
class Prepared:
    """A run that is ready for its first step; arrays are the framework's own."""

    problem: Problem
    backend: Backend
    parts: tuple[Part, ...]  # one per stage
    changed: Callable  # (params, params) -> whether any parameter is another
    losses: Callable  # (params, batch) -> losses
    predict: Callable  # (params, x) -> u
    points: Any  # x of the evaluation points [n, d]
    solution: np.ndarray  # u* there [n, m]
    params: Any  # initial ones
    batch: Any  # the first one
    draws: Draws  # all of them, in NumPy


def prepare(
    request: Request, framework: Framework, clock: Clock, limits: Limits
) -> Prepared:
    """Set a run up, all its stages; every second of it goes to a section of its own.

    Raises MemoryError where what a step holds for certain is more than the device has free,
    or than the limit; TimedOut where a warm step shows that its seconds have no room for
    the least number of steps; InvalidFile where a file of the user's own is not what it was
    when the run was asked for; Refused where it asks for TF32 without a GPU or for an
    optimizer in a precision that is not its own, or where the framework does not compute on
    the device that the limits name.
    """
    if changed := source_files.changed(request):
        raise InvalidFile(changed)
    problem, backend = request.posed, framework.backend
    if limits.device not in (None, device := backend.device_name()):
        raise Refused(
            f"{request.framework} computes on {device} here, and the run is kept among "
            f"those of {limits.device}"
        )
    if request.tf32 and backend.device_name() == "cpu":
        raise Refused(f"precision tf32 {NO_TF32}")
    backend.allow_tf32(request.tf32)
    backend.reset_peak_memory()
    objective = framework.Objective(problem, request.network, request.seed)
    params = networks.initial_parameters(
        request.network, problem.inputs, problem.outputs, request.seed
    )
    params = copied(params, request.dtype, backend, clock)
    draws = Draws.of(request)
    with clock.section("draw"):
        first = draws.batch(0)
        points, solution = seeds.evaluation_points(problem, request.evaluation)
    parts = []
    for number, part in enumerate(request.parts):
        with stage(request, number):
            kind = lookup.optimizer(framework, part.optimizer)
            if kind.float64_only and request.dtype != "float64":
                raise Refused(
                    f"precision {request.precision}: {FLOAT64_ALONE.format(kind.name)}"
                )
            optimizer = kind(**part.hyperparameters)
            foresee(optimizer, objective, params, first, backend, limits.memory)
            init = functools.partial(optimizer.init, objective)
            # a step may overwrite the old state
            step = (
                framework.compile_block(optimizer, objective)
                if request.blocks
                else backend.compile(
                    functools.partial(optimizer.step, objective), donate=(1,)
                )
            )
            parts.append(Part(optimizer, init, step))
    prepared = Prepared(
        problem=problem,
        backend=backend,
        parts=tuple(parts),
        changed=backend.compile(_differ),
        losses=backend.compile(objective.losses),
        predict=backend.compile(objective.predict),
        points=copied(points, request.dtype, backend, clock),
        solution=solution,
        params=params,
        batch=copied(first, request.dtype, backend, clock),
        draws=draws,
    )
    for number, part in enumerate(parts):
        with stage(request, number):
            params, seconds = _warmed(prepared, part, params, clock, request.blocks)
            if request.seconds and limits.least_steps * seconds > request.seconds:
                raise TimedOut(
                    f"a step takes {seconds:.3g} s, and {request.seconds:g} s have no room "
                    f"for {limits.least_steps} of them"
                )
    return prepared


def _warmed(
    run: Prepared, part: Part, params: Any, clock: Clock, blocks: bool
) -> tuple[Any, float]:
    """Compile and warm up a part by calling all that the loop calls.

    What comes of it is not part of the run. Returns the parameters after its steps, which
    the next part is warmed up with, and a warm step's seconds.
    """
    with clock.section("compile"):
        state = part.init(params)
    taken = 0.0
    # twice, with a step's own results: JAX compiles anew where they differ from the first
    # in weak type or placement
    for section in ("compile", "warm_up"):
        before = clock.seconds[section]
        with clock.section(section):
            last = params
            params, state, *others = (
                part.step(last, state, run.batch, np.zeros(LONGEST), 1, ALONE)
                if blocks
                else part.step(last, state, run.batch)
            )
            run.backend.wait((params, state, others))
        taken = clock.seconds[section] - before
        with clock.section(section):
            run.backend.wait(
                (
                    run.losses(params, run.batch),
                    run.predict(params, run.points),
                    run.changed(last, params),
                )
            )
    return params, taken


def _differ(params: Any, others: Any) -> Any:
    """Say whether any parameter differs; what is not a number differs from everything."""
    pairs = zip(params, others, strict=True)
    return functools.reduce(operator.or_, [(one != other).any() for one, other in pairs])


def copied(tree: Any, dtype: str, backend: Backend, clock: Clock) -> Any:
    """Copy a tree's arrays to the device, in `dtype`."""
    with clock.section("copy"):
        arrays = [leaf.astype(dtype, copy=False) for leaf in leaves(tree)]
        copy = backend.from_numpy_tree(like(tree, arrays))
        backend.wait(copy)
        return copy
