"""The one loop: a run from its request to its record."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

import implementations
import problems
from harness import provenance
from harness.clock import Clock
from harness.outcome import Diverged, TimedOut, classify
from harness.prepare import Prepared, draw, prepare
from harness.record import Record, Request, Row, Status
from problems import networks

COUNTERS = ("stalls", "evaluations")  # fields of an optimizer's state that end up in the record
Report = Callable[[float, Row], None]  # the share of the budget that is spent, the newest row of the history


def perform(
    request: Request,
    *,
    limit: float = math.inf,
    report: Report = lambda share, row: None,
    load: Callable[[str], Any] = implementations.load,
    clock: Clock | None = None,
) -> Record:
    """Do a run, whatever becomes of it: divergence, a lack of memory or an error is a status of the record.

    `limit` is in wall-clock seconds; `report` is called before every step.
    """
    clock = clock or Clock()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    training: Training | None = None
    status: Status = "finished"
    error: str | None = None
    try:
        training = Training(request, prepare(request, load(request.framework), clock), clock)
        training.train(limit, report)
    except Exception as cause:
        status, error = classify(cause)
        if training:
            training.observe_what_is_left()
    clock.enter("log")
    return _record(request, training, clock, status=status, error=error, started=started)


def _record(request: Request, training: "Training | None", clock: Clock, **outcome: Any) -> Record:
    backend = training.run.backend if training else None
    return Record(
        identity=request.identity,
        request=request,
        steps=training.steps if training else 0,
        parameters=parameter_count(request),
        counters=training.counters() if training else {},
        clock=clock.seconds,
        wall_seconds=clock.wall,
        peak_memory=backend.peak_memory() if backend else None,
        history=tuple(training.history) if training else (),
        provenance=provenance.collect(backend.device_name() if backend else None),
        **outcome,
    )


def parameter_count(request: Request) -> int:
    """D, the number of parameters of the request's network."""
    problem = problems.get(request.problem)
    return networks.parameter_count(request.network, problem.dim, problem.outputs)


def next_row(step: int) -> int:
    """The step whose state is recorded after that of `step`: all up to 40, then spaced by 1.1."""
    # ⌈1.1·step⌉ in integers: in floats, 1.1·40 is 44.00000000000001
    return step + 1 if step < 40 else -(-11 * step // 10)


class Training:
    """A run in hand: its numbers and its history."""

    def __init__(self, request: Request, run: Prepared, clock: Clock) -> None:
        self.request, self.run, self.clock = request, run, clock
        self.params, self.state, self.batch = run.params, run.state, run.batch
        self.steps = 0
        self.history: list[Row] = []

    def train(self, limit: float, report: Report) -> None:
        """Step to the end of the budget; raises what ends a run early."""
        self.clock.enter("log")
        due = next_row(self.observe())
        while (share := self._share()) < 1:
            report(share, self.history[-1])
            if self.clock.wall > limit:
                raise TimedOut(f"past the limit of {limit:g} wall-clock seconds")
            self._advance()
            if self.steps >= due or self._share() >= 1:
                due = next_row(self.observe())

    def _share(self) -> float:
        """The share of the budget that is spent."""
        if self.request.steps is not None:
            return self.steps / self.request.steps
        return self.clock.seconds["train"] / (self.request.seconds or math.inf)

    def _advance(self) -> None:
        every = self.request.resample_every
        if every and self.steps and self.steps % every == 0:
            self.batch = draw(self.request, self.run.problem, self.steps // every, self.run.backend, self.clock)
        with self.clock.section("train"):
            params, state, losses = self.run.step(self.params, self.state, self.batch)
            self.run.backend.wait((params, state, losses))
        if not all(np.isfinite(self.run.backend.to_numpy(loss)) for loss in losses):
            raise Diverged(f"the loss before step {self.steps + 1} is not finite")
        self.run.optimizer.check(state)
        self.params, self.state, self.steps = params, state, self.steps + 1

    def observe(self) -> int:
        """Add a row for the parameters as they are, and give their step; raises Diverged."""
        with self.clock.section("evaluate"), np.errstate(over="ignore", invalid="ignore"):
            to_numpy, solution = self.run.backend.to_numpy, self.run.solution
            interior, boundary = (float(to_numpy(loss)) for loss in self.run.losses(self.params, self.batch))
            errors = to_numpy(self.run.predict(self.params, self.run.points)) - solution
            rms, reference = (float(np.sqrt(np.mean(np.sum(u**2, axis=1)))) for u in (errors, solution))
        row = Row(
            step=self.steps,
            seconds=self.clock.seconds["train"],
            interior=interior,
            boundary=boundary,
            relative_l2=rms / reference,
            rms=rms,
        )
        self.history.append(row)
        if not np.isfinite([interior, boundary, rms]).all():
            raise Diverged(f"the loss or the error after step {self.steps} is not finite")
        return self.steps

    def observe_what_is_left(self) -> None:
        """Add the last row of a run that ended early, if it can still be had."""
        if self.history and self.history[-1].step < self.steps:
            try:
                self.observe()
            except Exception:  # the first error is what the record tells
                return

    def counters(self) -> dict[str, int]:
        """What the optimizer's state counts."""
        found = {name: getattr(self.state, name) for name in COUNTERS if hasattr(self.state, name)}
        return {name: int(self.run.backend.to_numpy(value)) for name, value in found.items()}
