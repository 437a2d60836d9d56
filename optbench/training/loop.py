"""The one loop: step, watch, save, to the end of the budget, one stage after the other."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from optbench.implementations.blocks import LONGEST, Block, Bounds
from optbench.implementations.failures import Stalled
from optbench.implementations.protocol import Losses
from optbench.records import files, store
from optbench.records.record import COUNTERS, Request, Row
from optbench.training import checkpoint, solution_grid
from optbench.training.checkpoint import Checkpoint, Movement, Unusable
from optbench.training.clock import Clock
from optbench.training.limits import Limits
from optbench.training.prefetch import Prefetch
from optbench.training.setup import Prepared, copied
from optbench.training.status import Diverged, TimedOut, stage

log = logging.getLogger(__name__)
DIVERGED = 1e8  # a loss that is so many times the first one has diverged
IDLE = 20  # steps in a row, on points that stay, that change no parameter: no other will
NEVER = 2**30  # so many steps in a row are not done
BLOCK = 0.005  # of a budget in seconds, which a block of steps may take
IN_A_ROW = f"{IDLE} steps in a row changed none"

# called with the share of the budget that is spent, and the newest row of the history
Report = Callable[[float, Row], None]


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""


def next_row(step: int) -> int:
    """Give the step whose state is recorded after that of `step`.

    All steps up to 40 are recorded, then they are spaced by a factor of 1.1.
    """
    # ⌈1.1·step⌉ in integers: in floats, 1.1·40 is 44.00000000000001
    return step + 1 if step < 40 else -(-11 * step // 10)


def unchanged(step: int) -> str:
    """Say how long nothing has moved, in the words of the record of a stalled run."""
    return f"no parameter has changed since step {step}"


class Training:
    """A run in hand: its numbers and its history."""

    def __init__(
        self, request: Request, run: Prepared, clock: Clock, limits: Limits
    ) -> None:
        self.request, self.run, self.clock, self._limits = request, run, clock, limits
        folder, identity = limits.checkpoints, request.identity
        self._checkpoint = store.checkpoint(folder, identity) if folder else None
        self.params, self.batch, self._drawn = run.params, run.batch, 0
        self.steps = self.resumed = 0
        self.history: list[Row] = []
        self.movement = Movement()
        self.stalled: dict[str, str] = {}  # why stages before the last ended early
        self._saved = 0.0  # wall-clock seconds at the last checkpoint
        self._unsaved = False  # whether one could not be written, which is said once
        self._due = 0  # the step of the next row
        # the most steps of the last block, 0 where a stage begins, and the seconds of each
        self._block, self._pace = 0, 0.0
        self._begin(0, {})
        on_accelerator = run.backend.device_name() != "cpu"
        redraws = request.resample_every or request.march
        self._prefetch = Prefetch(run.draws.batch) if on_accelerator and redraws else None
        self._draw = self._prefetch or run.draws.batch

    def train(self, report: Report, stop: Callable[[], bool]) -> None:
        """Step to the end of the budget; raises what ends a run early.

        Before every step `report` is called and `stop` is asked. Where a stage stalls, the
        next one takes over at once, with all that is left up to its own end; where the last
        one does, the run ends with the last step that changed a parameter.
        """
        self.clock.enter("log")
        self._restore()
        self._saved = self.clock.wall
        for number in range(self.stage, len(self.run.parts)):
            with stage(self.request, number):
                if number > self.stage:
                    self._begin(number, self.counters())
                    self.movement = self.movement._replace(idle=0)
                try:
                    self._step_to_its_end(report, stop)
                except Stalled as reason:
                    self._end_stalled(f"{unchanged(self.movement.step)}: {reason}")

    def _begin(self, number: int, counters: dict[str, int]) -> None:
        """Take a stage's optimizer with a new state; `counters` are the earlier stages'."""
        self.stage, self._part, self._counted = number, self.run.parts[number], counters
        with self.clock.section("setup"):
            self.state = self._part.init(self.params)
            self.run.backend.wait(self.state)

    def _step_to_its_end(self, report: Report, stop: Callable[[], bool]) -> None:
        """Step as long as something is left of the stage's budget; raises Stalled."""
        # less than the share of the stages before it, where one of them stalled
        ends = [row for row in self.history if row.stage <= self.stage]
        self._begun = self._part_of_budget(ends[-1].step, ends[-1].seconds) if ends else 0.0
        self._due = next_row(self.history[-1].step if self.history else self.observe())
        self._block = 0
        while self._share() < 1:
            report(self._spent(), self.history[-1])
            self.clock.enter("log")
            if stop():
                self._save()
                raise Stopped
            self._heed_limits()
            self._advance()
            if self.steps >= self._due or self._share() >= 1:
                self._due = next_row(self.observe())

    def _end_stalled(self, why: str) -> None:
        """End a stage that stalled; raises Stalled where there is none after it."""
        if self.stage + 1 == len(self.run.parts):
            self._go_back()
            raise Stalled(why)
        self.stalled[str(self.stage + 1)] = why
        if self.history[-1].step < self.steps:
            self.observe()

    def _go_back(self) -> None:
        """Go back to the last step that changed a parameter, which the run ends with.

        Rows of the steps after it are dropped, and their seconds are no longer those of
        optimizer steps. What they counted stays.
        """
        last = self.movement
        self.clock.move(self.clock.seconds["train"] - last.seconds, "train", "log")
        self.steps, self.stage = last.step, last.stage
        self.history = [row for row in self.history if row.step <= last.step]
        if self.history[-1].step < last.step:
            self.observe()

    def _heed_limits(self) -> None:
        """Save the run where it is time; raise TimedOut where its time is over."""
        if self.clock.wall > self._limits.seconds:
            raise TimedOut(f"past the limit of {self._limits.seconds:g} wall-clock seconds")
        if self.clock.wall - self._saved >= self._limits.interval:
            self._save()
            self._saved = self.clock.wall

    def close(self) -> None:
        """End what runs in the background."""
        if self._prefetch:
            self._prefetch.close()

    def _share(self) -> float:
        """Give the share of the stage's budget that is spent."""
        return self._share_after(self.steps)

    def _share_after(self, steps: int) -> float:
        """Give the share of the stage's budget that so many steps in this time spend."""
        begin, end = (0.0, *self.request.ends)[self.stage : self.stage + 2]
        begin = min(begin, self._begun)
        spent = self._part_of_budget(steps, self.clock.seconds["train"])
        return (spent - begin) / (end - begin)

    def _spent(self) -> float:
        """Give the share of the run's budget that is spent."""
        return self._part_of_budget(self.steps, self.clock.seconds["train"])

    def _part_of_budget(self, steps: int, seconds: float) -> float:
        """Give the share of the run's budget that is spent after so much."""
        if self.request.steps is not None:
            return steps / self.request.steps
        return seconds / (self.request.seconds or math.inf)

    def _advance(self) -> None:
        """Do a step or a block, with new points where they are due; raises Stalled."""
        self._take_the_points_of(self.steps + 1)
        before = self.clock.seconds["train"]
        done = self._do_a_block() if self.request.blocks else self._do_a_step()
        taken = self.clock.seconds["train"] - before
        # at once: the step may have overwritten the old one, and its counters are asked for
        self.state = done.state
        steps, changed, unchanged = (
            int(self.run.backend.to_numpy(number)) for number in done[3:]
        )
        self.steps += steps - 1
        self._check(list(self._numbers(done.losses).values()))
        known = None
        try:
            self._part.optimizer.check(done.state)
        except Stalled as reason:
            known = str(reason)
        self.params, self.steps = done.params, self.steps + 1
        self._pace = taken / steps
        self._notice(steps, changed, unchanged, known)

    def _do_a_step(self) -> Block:
        """Do one step, and wait for it."""
        state = self._part.optimizer.progress(self.state, self._share())
        with self.clock.section("train"):
            params, state, losses = self._part.step(self.params, state, self.batch)
            self.run.backend.wait((params, state, losses))
        # outside of the step and its seconds: it is no work of the optimizer's
        changed = bool(self.run.backend.to_numpy(self.run.changed(self.params, params)))
        return Block(params, state, losses, 1, int(changed), int(not changed))

    def _do_a_block(self) -> Block:
        """Do steps on one batch, and wait for the last of them."""
        ahead = self._shares_ahead()
        shares = np.zeros(LONGEST)
        shares[: len(ahead)] = ahead
        fixed = self.run.draws.fixed(self.steps + 1)
        bounds = Bounds(
            DIVERGED * self.history[0].loss, self.movement.idle, IDLE if fixed else NEVER
        )
        with self.clock.section("train"):
            block: Block = self._part.step(
                self.params, self.state, self.batch, shares, len(ahead), bounds
            )
            self.run.backend.wait(block)
        return block

    def _shares_ahead(self) -> list[float]:
        """Give the share of the stage's budget that is spent before each step of a block.

        A block has steps on one batch, up to the next row of the history or to the end of
        the stage. It may have twice as many as the last one, and where the budget is in
        seconds, as many as take BLOCK of it: all its steps are told the same time then.
        """
        room = LONGEST
        if self.request.seconds and self._block:
            room = int(BLOCK * self.request.seconds / self._pace)
        self._block = max(1, min(2 * self._block, room, LONGEST))
        shares: list[float] = []
        for steps in range(self.steps, min(self.steps + self._block, self._due)):
            share = self._share_after(steps)
            others = self.run.draws.number(steps + 1) != self._drawn
            if shares and (others or share >= 1):
                break
            shares.append(share)
        return shares

    def _notice(self, steps: int, changed: int, unchanged: int, known: str | None) -> None:
        """Count the steps that changed no parameter; raises Stalled where none will.

        So many steps are done, of which one was the last to change a parameter (from 1; 0:
        none was), at its share of their seconds. Points that are drawn anew may let a step
        move again, whatever the optimizer knows.
        """
        last, stalls = self.movement, self.movement.stalls + unchanged
        if changed:
            idle = steps - changed
            seconds = self.clock.seconds["train"] - self._pace * idle
            self.movement = Movement(self.steps - idle, seconds, self.stage, idle, stalls)
        else:
            self.movement = last._replace(idle=last.idle + steps, stalls=stalls)
        if self.run.draws.fixed(self.steps):
            if known is not None:
                raise Stalled(known)
            if self.movement.idle >= IDLE:
                raise Stalled(IN_A_ROW)

    def _take_the_points_of(self, step: int) -> None:
        """Take the batch that a step has, where it is another one than the last."""
        number = self.run.draws.number(step)
        if number == self._drawn:
            return
        with self.clock.section("draw"):
            batch = self._draw(number)
        self.batch = copied(batch, self.request.dtype, self.run.backend, self.clock)
        self._drawn = number
        self.movement = self.movement._replace(idle=0)

    def _numbers(self, losses: Losses) -> dict[str, float]:
        """Copy the terms of the loss from the device, in the problem's order."""
        to_numpy = self.run.backend.to_numpy
        return {
            name: float(to_numpy(losses.terms[name])) for name in self.run.problem.terms
        }

    def _check(self, losses: list[float]) -> None:
        """Raise Diverged for losses that are not finite or far above the first."""
        if not np.isfinite(losses).all():
            raise Diverged(f"the loss before step {self.steps + 1} is not finite")
        if sum(losses) > DIVERGED * self.history[0].loss:
            raise Diverged(
                f"the loss before step {self.steps + 1} is more than {DIVERGED:g} "
                "times the first"
            )

    def observe(self) -> int:
        """Add a row for the parameters as they are, and give the step; raises Diverged."""
        with self.clock.section("evaluate"), np.errstate(over="ignore", invalid="ignore"):
            to_numpy, solution = self.run.backend.to_numpy, self.run.solution
            losses = self._numbers(self.run.losses(self.params, self.batch))
            errors = to_numpy(self.run.predict(self.params, self.run.points)) - solution
            rms, reference = (
                float(np.sqrt(np.mean(np.sum(u**2, axis=1)))) for u in (errors, solution)
            )
        row = Row(
            step=self.steps,
            seconds=self.clock.seconds["train"],
            **losses,
            relative_l2=rms / reference,
            rms=rms,
            evaluations=self.counters().get("evaluations", 0),
            stage=self.stage + 1,
        )
        self.history.append(row)
        if not np.isfinite([*losses.values(), rms]).all():
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
        """Evaluate the network on a grid, to five digits.

        None where the problem has no grid, or the device no memory for it.
        """
        x = solution_grid.grid(self.run.problem)
        if x is None:
            return None
        # an error is no matter: the run has its results already
        with self.clock.section("evaluate"), suppress(Exception):
            points = copied(x, self.request.dtype, self.run.backend, self.clock)
            u = self.run.backend.to_numpy(self.run.predict(self.params, points))
            return tuple(float(f"{value:.5g}") for value in u[:, 0])
        return None

    def counters(self) -> dict[str, int]:
        """Read what the optimizers' searches have counted, over all stages.

        Stalls are the loop's own count, whether an optimizer counts them too or not.
        """
        counters = self._part.optimizer.counters(self.state)
        now = {
            name: int(self.run.backend.to_numpy(counters[name]))
            for name in COUNTERS
            if name in counters
        }
        counted = {name: self._counted.get(name, 0) + count for name, count in now.items()}
        return self._counted | counted | {"stalls": self.movement.stalls}

    def _save(self) -> None:
        """Write the run's checkpoint, where it has a place for one."""
        if self._checkpoint is None:
            return
        tree, arrays = self._tree()
        reached = Checkpoint(
            leaves=arrays,
            structure=checkpoint.structure(tree, arrays),
            resumed=self.resumed,
            steps=self.steps,
            seconds=dict(self.clock.seconds),
            history=tuple(self.history),
            stage=self.stage,
            counters=self._counted,
            stalled=self.stalled,
            movement=self.movement,
        )
        try:
            checkpoint.write(self._checkpoint, self.request.identity, reached)
        except (OSError, ValueError) as error:
            # a full disk, or a state that is no tree of arrays, must not end a run
            if not self._unsaved:
                log.warning(f"optbench: {self.request.title}: no checkpoint: {error}")
            self._unsaved = True

    def _tree(self) -> tuple[Any, list[np.ndarray]]:
        """Give what a checkpoint keeps, as a tree and as its leaves' numbers."""
        tree = self.params, self.state
        leaves = checkpoint.leaves(tree)
        return tree, [self.run.backend.to_numpy(leaf) for leaf in leaves]

    def _restore(self) -> None:
        """Go on from the checkpoint, if there is one; set aside one that does not fit."""
        if self._checkpoint is None:
            return
        try:
            reached = checkpoint.read(self._checkpoint, self.request.identity)
            if reached is not None:
                self._go_on(reached)
        except Unusable as error:
            self._begin(0, {})
            with suppress(OSError):
                files.set_aside(self._checkpoint)
            log.warning(
                f"optbench: {self.request.title}: its checkpoint {error}; it is set "
                "aside, and the run begins anew"
            )

    def _go_on(self, reached: Checkpoint) -> None:
        """Take a checkpoint's place; raises Unusable where its state is another kind."""
        self._begin(reached.stage, reached.counters)  # for the structure of its state
        tree, fresh = self._tree()
        if reached.structure != checkpoint.structure(tree, fresh):
            raise Unusable("is of another structure than the optimizer's state")
        arrays = self.run.backend.from_numpy_tree(reached.leaves)
        self.params, self.state = checkpoint.like(tree, arrays)
        self.steps, self.resumed = reached.steps, reached.resumed + 1
        self.history = list(reached.history)
        self.clock.restore(reached.seconds)
        self._take_the_points_of(max(1, self.steps))
        self.stalled, self.movement = dict(reached.stalled), reached.movement
