"""A quasi-Newton step: along −H g with a strong Wolfe search, then a better H.

H estimates the inverse Hessian. No constant of it has a scale: a step of a loss of 1e-12 is
the step of a loss of 1, in other units. What H is made of is the optimizer's.
"""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.failures import Stalled
from optbench.implementations.protocol import Losses, Objective, Optimizer, Tree
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.parameters import Params, flatten, split_like
from optbench.implementations.torch.solvers.control_flow import when
from optbench.implementations.torch.solvers.strong_wolfe import Point, strong_wolfe
from optbench.problems.problem import Batch

CURVED = 10  # times ε |y| |s|: what yᵀs must exceed, for it to be more than rounding
ODD = 0x5851F42D4C957F2D  # a factor that spreads the bits of an integer


class Pair(NamedTuple):
    """What a step that was taken tells of the curvature along it."""

    step: Tensor  # s = t d, the change of the parameters [D]
    change: Tensor  # y, the gradient's, both on the step's own batch [D]
    curvature: Tensor  # yᵀs
    model: Tensor  # sᵀBs = −t sᵀg with B = H⁻¹, what H had expected of it
    decrease: Tensor  # of the loss


class Counts(NamedTuple):
    """What all steps together have done."""

    steps: int | Tensor
    evaluations: int | Tensor  # of the loss and its gradient
    stalls: int | Tensor  # steps that moved nothing
    resets: int | Tensor  # times that H became I again
    skipped: int | Tensor  # pairs without curvature, which left H as it was


class State(NamedTuple):
    """What a quasi-Newton method remembers."""

    memory: Tree  # what H is made of
    terms: Tensor  # of the loss where the last step ended, on its batch [k]
    loss: Tensor  # their sum
    gradient: Tensor  # its gradient [D]
    batch: Tensor  # that batch's fingerprint
    restarted: bool | Tensor  # H = I at the start, or after a reset
    failed: int | Tensor  # the last step, if it failed; 0 if it moved
    ended: bool | Tensor  # two steps in a row failed
    counts: Counts


class QuasiNewton(Optimizer):
    """The step that these methods share; each brings its own H."""

    @abstractmethod
    def identity(self, vector: Tensor) -> Tree:
        """Begin with H = I, for parameters like `vector` [D]."""

    @abstractmethod
    def direction(self, memory: Tree, gradient: Tensor) -> Tensor:
        """Compute −H g [D]."""

    @abstractmethod
    def update(self, memory: Tree, pair: Pair) -> Tree:
        """Let H know of a pair with curvature."""

    def trial(self, memory: Tree, slope: Tensor) -> Tensor:
        """Choose the first size that the search tries, from gᵀd < 0: Newton's own."""
        return torch.ones_like(slope)

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with H = I, nothing evaluated."""
        zeros = torch.zeros_like(flatten(params))
        return State(
            self.identity(zeros),
            zeros.new_zeros(len(objective.problem.terms)),
            zeros.new_zeros(()),
            zeros,
            zeros.new_zeros((), dtype=torch.int64),
            restarted=True,
            failed=0,
            ended=False,
            counts=Counts(0, 0, 0, 0, 0),
        )

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one iteration; the losses are those before it.

        After two failures in a row nothing is moved or evaluated any more on this batch.
        """
        vector, seen = flatten(params), fingerprint(batch)

        def rest() -> tuple[Tensor, Tensor, State]:
            counts = state.counts
            counts = counts._replace(steps=counts.steps + 1, stalls=counts.stalls + 1)
            return vector, state.terms, state._replace(counts=counts)

        vector, terms, state = when(
            state.ended & (state.batch == seen),
            rest,
            lambda: self._iterate(objective, params, state, batch, seen),
        )
        losses = Losses(dict(zip(objective.problem.terms, terms, strict=True)))
        return split_like(params, vector), state, losses

    def ends(self, state: State) -> bool | Tensor:
        """Say whether two steps in a row have failed."""
        return state.ended

    def check(self, state: State) -> None:
        """Raise Stalled where two steps in a row have failed."""
        if read(state.ended):
            raise Stalled(
                f"step {read(state.failed)} found no smaller loss along its direction, and "
                "the next one none along the negative gradient"
            )

    def counters(self, state: State) -> dict[str, int | Tensor]:
        """Read the steps that moved nothing, and the evaluations."""
        counts = state.counts
        return {"stalls": counts.stalls, "evaluations": counts.evaluations}

    def _iterate(
        self, objective: Objective, params: Params, state: State, batch: Batch, seen: Tensor
    ) -> tuple[Tensor, Tensor, State]:
        """Take a step or fail: gives the parameters, the terms before, the new state."""
        vector, counts = flatten(params), state.counts

        def evaluate(vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            losses, gradient = objective.gradient(split_like(params, vector), batch)
            terms = torch.stack([losses.terms[name] for name in objective.problem.terms])
            return terms, losses.total, flatten(gradient)

        # the last search ended here: on the same batch its numbers are these
        (terms, loss, gradient), looked = when(
            (state.batch == seen) & (counts.steps > 0),
            lambda: ((state.terms, state.loss, state.gradient), 0),
            lambda: (evaluate(vector), 1),
        )
        direction = self.direction(state.memory, gradient)

        def along(size: Tensor) -> Point:
            terms, loss, gradient = evaluate(vector + size * direction)
            return Point(size, terms, loss, gradient, gradient.dot(direction))

        slope = gradient.dot(direction)
        start = Point(torch.zeros_like(slope), terms, loss, gradient, slope)
        size = when(
            state.restarted,
            lambda: torch.clamp(1 / gradient.abs().sum(), max=1.0),
            lambda: self.trial(state.memory, slope),
        )
        point, trials = when(
            (slope < 0) & torch.isfinite(slope),
            lambda: strong_wolfe(along, start, size),
            lambda: (start, 0),
        )
        counts = counts._replace(
            steps=counts.steps + 1, evaluations=counts.evaluations + looked + trials
        )

        def taken() -> tuple[Tensor, State]:
            step, change = point.size * direction, point.gradient - gradient
            model = -point.size * step.dot(gradient)
            pair = Pair(step, change, change.dot(step), model, loss - point.loss)
            rounding = torch.finfo(step.dtype).eps * change.norm() * step.norm()
            memory, skipped = when(
                pair.curvature > CURVED * rounding,
                lambda: (self.update(state.memory, pair), 0),
                lambda: (state.memory, 1),
            )
            return vector + step, State(
                memory,
                point.terms,
                point.loss,
                point.gradient,
                seen,
                restarted=False,
                failed=0,
                ended=False,
                counts=counts._replace(skipped=counts.skipped + skipped),
            )

        def failed() -> tuple[Tensor, State]:
            earlier, ended = when(
                state.failed > 0,
                lambda: (state.failed, True),
                lambda: (counts.steps, False),
            )
            return vector, State(
                self.identity(vector),
                terms,
                loss,
                gradient,
                seen,
                restarted=True,
                failed=earlier,
                ended=ended,
                counts=counts._replace(stalls=counts.stalls + 1, resets=counts.resets + 1),
            )

        vector, state = when((point.size > 0) & (point.loss < loss), taken, failed)
        return vector, terms, state


def fingerprint(batch: Batch) -> Tensor:
    """Sum a batch's bits, each number's spread and weighed by its place, modulo 2⁶⁴.

    Batches that differ in a bit differ in it but for a chance of about 2⁻⁶⁴. The state has
    it in place of the batch, whose size `init` does not know.
    """
    numbers = torch.cat([array.flatten() for term in batch.values() for array in term])
    integers = torch.int64 if numbers.dtype == torch.float64 else torch.int32
    bits = numbers.view(integers).to(torch.int64)
    bits = (bits ^ (bits >> 32 & 0xFFFFFFFF)) * ODD
    bits = bits ^ (bits >> 32 & 0xFFFFFFFF)
    places = torch.arange(len(bits), device=bits.device)
    return ((2 * places + 1) * bits).sum()
