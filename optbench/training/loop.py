"""The one loop: step, watch, save, to the end of the budget, one stage after the other."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from optbench.records.record import COUNTERS, Request, Row
from optbench.training import checkpoint, surface, trees
from optbench.training.checkpoint import Checkpoint
from optbench.training.clock import Clock
from optbench.training.prefetch import Ahead
from optbench.training.setup import Prepared, copied
from optbench.training.status import Diverged, TimedOut, stage

DIVERGED = 1e8  # a loss that is so many times the first one has diverged
Report = Callable[
    [float, Row], None
]  # the share of the budget that is spent, the newest row of the history


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""


@dataclass(frozen=True)
class Terms:
    """What surrounds a run and is no part of what it computes."""

    limit: float = math.inf  # wall-clock seconds
    memory: float = math.inf  # bytes
    least_steps: int = 0  # that a budget of seconds must have room for
    checkpoint: Path | None = None  # its file
    interval: float = math.inf  # wall-clock seconds between checkpoints
    report: Report = lambda share, row: None  # called before every step
    stop: Callable[[], bool] = lambda: False  # asked before every step


def next_row(step: int) -> int:
    """The step whose state is recorded after that of `step`: all up to 40, then spaced by 1.1."""
    # ⌈1.1·step⌉ in integers: in floats, 1.1·40 is 44.00000000000001
    return step + 1 if step < 40 else -(-11 * step // 10)


class Training:
    """A run in hand: its numbers and its history."""

    def __init__(self, request: Request, run: Prepared, clock: Clock, terms: Terms) -> None:
        self.request, self.run, self.clock, self.terms = request, run, clock, terms
        self.params, self.batch = run.params, run.batch
        self.steps = self.resumed = 0
        self.history: list[Row] = []
        self._saved = 0.0  # wall-clock seconds at the last checkpoint
        self._begin(0, {})
        on_accelerator = run.backend.device_name() != "cpu"
        self._ahead = (
            Ahead(run.sample) if on_accelerator and request.resample_every else None
        )
        self._draw = self._ahead or run.sample

    def train(self) -> None:
        """Step to the end of the budget; raises what ends a run early."""
        self.clock.enter("log")
        self._restore()
        self._saved = self.clock.wall
        for number in range(self.stage, len(self.run.parts)):
            with stage(self.request, number):
                if number > self.stage:
                    self._begin(number, self.counters())
                self._step_to_its_end()

    def _begin(self, number: int, counters: dict[str, int]) -> None:
        """Take a stage's optimizer with a new state; `counters` are those of the stages before it."""
        self.stage, self._part, self._counted = number, self.run.parts[number], counters
        with self.clock.section("setup"):
            self.state = self._part.init(self.params)
            self.run.backend.wait(self.state)

    def _step_to_its_end(self) -> None:
        """Step as long as something is left of the stage's budget."""
        due = next_row(self.history[-1].step if self.history else self.observe())
        while self._share() < 1:
            self.terms.report(self._spent(), self.history[-1])
            self._pause()
            self._advance()
            if self.steps >= due or self._share() >= 1:
                due = next_row(self.observe())

    def _pause(self) -> None:
        """Between two steps: save where it is time, raise where the run must end."""
        self.clock.enter("log")
        if self.terms.stop():
            self._save()
            raise Stopped
        if self.clock.wall > self.terms.limit:
            raise TimedOut(f"past the limit of {self.terms.limit:g} wall-clock seconds")
        if self.clock.wall - self._saved >= self.terms.interval:
            self._save()
            self._saved = self.clock.wall

    def close(self) -> None:
        """End what runs in the background."""
        if self._ahead:
            self._ahead.close()

    def _share(self) -> float:
        """The share of the stage's budget that is spent."""
        begin, end = (0.0, *self.request.ends)[self.stage : self.stage + 2]
        return (self._spent() - begin) / (end - begin)

    def _spent(self) -> float:
        """The share of the run's budget that is spent."""
        if self.request.steps is not None:
            return self.steps / self.request.steps
        return self.clock.seconds["train"] / (self.request.seconds or math.inf)

    def _advance(self) -> None:
        every = self.request.resample_every
        if every and self.steps and self.steps % every == 0:
            self._redraw(self.steps // every)
        self.state = self._part.optimizer.progress(self.state, self._share())
        with self.clock.section("train"):
            params, state, losses = self._part.step(self.params, self.state, self.batch)
            self.run.backend.wait((params, state, losses))
        self.state = state  # at once: the step may have written over the old one, and what it counted is asked for
        self._check([float(self.run.backend.to_numpy(loss)) for loss in losses])
        self._part.optimizer.check(state)
        self.params, self.steps = params, self.steps + 1

    def _redraw(self, number: int) -> None:
        """Take the batch after redraw `number`."""
        with self.clock.section("draw"):
            batch = self._draw(number)
        self.batch = copied(batch, self.request.dtype, self.run.backend, self.clock)

    def _check(self, losses: list[float]) -> None:
        """Raise Diverged for losses that are not finite or far above the first."""
        first = self.history[0].interior + self.history[0].boundary
        if not np.isfinite(losses).all():
            raise Diverged(f"the loss before step {self.steps + 1} is not finite")
        if sum(losses) > DIVERGED * first:
            raise Diverged(
                f"the loss before step {self.steps + 1} is more than {DIVERGED:g} times the first"
            )

    def observe(self) -> int:
        """Add a row for the parameters as they are, and give their step; raises Diverged."""
        with self.clock.section("evaluate"), np.errstate(over="ignore", invalid="ignore"):
            to_numpy, solution = self.run.backend.to_numpy, self.run.solution
            interior, boundary = (
                float(to_numpy(loss)) for loss in self.run.losses(self.params, self.batch)
            )
            errors = to_numpy(self.run.predict(self.params, self.run.points)) - solution
            rms, reference = (
                float(np.sqrt(np.mean(np.sum(u**2, axis=1)))) for u in (errors, solution)
            )
        row = Row(
            step=self.steps,
            seconds=self.clock.seconds["train"],
            interior=interior,
            boundary=boundary,
            relative_l2=rms / reference,
            rms=rms,
            evaluations=self.counters().get("evaluations", 0),
            stage=self.stage + 1,
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

    def surface(self) -> tuple[float, ...] | None:
        """What the network has learned on a grid, to five digits; None where there is no grid or no memory for it."""
        x = surface.grid(self.run.problem)
        if x is None:
            return None
        with (
            self.clock.section("evaluate"),
            suppress(Exception),
        ):  # the run has its results already
            u = self.run.backend.to_numpy(
                self.run.predict(
                    self.params, copied(x, self.request.dtype, self.run.backend, self.clock)
                )
            )
            return tuple(float(f"{value:.5g}") for value in u[:, 0])
        return None

    def counters(self) -> dict[str, int]:
        """What the optimizers' searches have counted."""
        counters = self._part.optimizer.counters(self.state)
        now = {
            name: int(self.run.backend.to_numpy(counters[name]))
            for name in COUNTERS
            if name in counters
        }
        return self._counted | {
            name: self._counted.get(name, 0) + count for name, count in now.items()
        }

    def _save(self) -> None:
        if self.terms.checkpoint:
            leaves = trees.leaves((self.params, self.state))
            arrays = [self.run.backend.to_numpy(leaf) for leaf in leaves]
            told = (
                self.steps,
                dict(self.clock.seconds),
                tuple(self.history),
                self.stage,
                self._counted,
            )
            with suppress(
                OSError
            ):  # a full disk must not end a run; its record will say so
                checkpoint.write(
                    self.terms.checkpoint,
                    self.request.identity,
                    Checkpoint(arrays, self.resumed, *told),
                )

    def _restore(self) -> None:
        """Go on from the checkpoint, if there is one."""
        found = (
            checkpoint.read(self.terms.checkpoint, self.request.identity)
            if self.terms.checkpoint
            else None
        )
        if found:
            self._begin(found.stage, found.counters)  # for the shape of its state
            arrays = self.run.backend.from_numpy_tree(found.leaves)
            self.params, self.state = trees.like((self.params, self.state), arrays)
            self.steps, self.history, self.resumed = (
                found.steps,
                list(found.history),
                found.resumed + 1,
            )
            self.clock.restore(found.seconds)
            every = self.request.resample_every
            if every and self.steps > every:
                self._redraw((self.steps - 1) // every)
