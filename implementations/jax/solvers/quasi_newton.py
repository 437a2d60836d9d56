"""A quasi-Newton step: along −H g with a strong Wolfe search, then a better H.

H estimates the inverse Hessian. No constant of it has a scale: a step of a loss of 1e-12 is
the step of a loss of 1, in other units. What H is made of is the optimizer's.
"""

from abc import abstractmethod
from collections import OrderedDict
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.lax import bitcast_convert_type, shift_right_logical
from jax.numpy.linalg import norm

from optbench.implementations.failures import Stalled
from optbench.implementations.jax.passes.parameters import Params, flatten, split_like
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.strong_wolfe import Point, strong_wolfe
from optbench.implementations.protocol import Losses, Objective, Optimizer, Tree
from optbench.problems.problem import Batch

CURVED = 10  # times ε |y| |s|: what yᵀs must exceed, for it to be more than rounding
ODD = 0x5851F42D4C957F2D  # a factor that spreads the bits of an integer


class Pair(NamedTuple):
    """What a step that was taken tells of the curvature along it."""

    step: Array  # s = t d, the change of the parameters [D]
    change: Array  # y, the gradient's, both on the step's own batch [D]
    curvature: Array  # yᵀs
    model: Array  # sᵀBs = −t sᵀg with B = H⁻¹, what H had expected of it
    decrease: Array  # of the loss


class Counts(NamedTuple):
    """What all steps together have done."""

    steps: int | Array
    evaluations: int | Array  # of the loss and its gradient
    stalls: int | Array  # steps that moved nothing
    resets: int | Array  # times that H became I again
    skipped: int | Array  # pairs without curvature, which left H as it was


class State(NamedTuple):
    """What a quasi-Newton method remembers."""

    memory: Tree  # what H is made of
    terms: Array  # of the loss where the last step ended, on its batch [k]
    loss: Array  # their sum
    gradient: Array  # its gradient [D]
    batch: Array  # that batch's fingerprint
    restarted: bool | Array  # H = I at the start, or after a reset
    failed: int | Array  # the last step, if it failed; 0 if it moved
    ended: bool | Array  # two steps in a row failed
    counts: Counts


class QuasiNewton(Optimizer):
    """The step that these methods share; each brings its own H."""

    @abstractmethod
    def identity(self, vector: Array) -> Tree:
        """Begin with H = I, for parameters like `vector` [D]."""

    @abstractmethod
    def direction(self, memory: Tree, gradient: Array) -> Array:
        """Compute −H g [D]."""

    @abstractmethod
    def update(self, memory: Tree, pair: Pair) -> Tree:
        """Let H know of a pair with curvature."""

    def trial(self, memory: Tree, slope: Array) -> Array:
        """Choose the first size that the search tries, from gᵀd < 0: Newton's own."""
        return jnp.ones_like(slope)

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with H = I, nothing evaluated."""
        vector, terms = flatten(params), len(objective.problem.terms)
        return State(
            self.identity(vector),
            jnp.zeros(terms, vector.dtype),
            jnp.zeros((), vector.dtype),
            jnp.zeros_like(vector),
            jnp.zeros((), jnp.int64),
            restarted=jnp.ones((), bool),
            failed=jnp.zeros((), int),
            ended=jnp.zeros((), bool),
            counts=Counts(*(jnp.zeros((), int) for _ in Counts._fields)),
        )

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one iteration; the losses are those before it.

        After two failures in a row nothing is moved or evaluated any more on this batch.
        """
        vector, seen = flatten(params), fingerprint(batch)

        def rest() -> tuple[Array, Array, State]:
            counts = state.counts
            counts = counts._replace(steps=counts.steps + 1, stalls=counts.stalls + 1)
            return vector, state.terms, state._replace(counts=counts)

        vector, terms, state = when(
            state.ended & (state.batch == seen),
            rest,
            lambda: self._iterate(objective, params, state, batch, seen),
        )
        # ordered: JAX's trees sort a plain dictionary
        losses = Losses(OrderedDict(zip(objective.problem.terms, terms, strict=True)))
        return split_like(params, vector), state, losses

    def ends(self, state: State) -> bool | Array:
        """Say whether two steps in a row have failed."""
        return state.ended

    def check(self, state: State) -> None:
        """Raise Stalled where two steps in a row have failed."""
        if state.ended:
            raise Stalled(
                f"step {state.failed} found no smaller loss along its direction, and "
                "the next one none along the negative gradient"
            )

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read the steps that moved nothing, and the evaluations."""
        counts = state.counts
        return {"stalls": counts.stalls, "evaluations": counts.evaluations}

    def _iterate(
        self, objective: Objective, params: Params, state: State, batch: Batch, seen: Array
    ) -> tuple[Array, Array, State]:
        """Take a step or fail: gives the parameters, the terms before, the new state."""
        vector, counts = flatten(params), state.counts

        def evaluate(vector: Array) -> tuple[Array, Array, Array]:
            losses, gradient = objective.gradient(split_like(params, vector), batch)
            terms = jnp.stack([losses.terms[name] for name in objective.problem.terms])
            return terms, losses.total, flatten(gradient)

        # the last search ended here: on the same batch its numbers are these
        (terms, loss, gradient), looked = when(
            (state.batch == seen) & (counts.steps > 0),
            lambda: ((state.terms, state.loss, state.gradient), 0),
            lambda: (evaluate(vector), 1),
        )
        direction = self.direction(state.memory, gradient)

        def along(size: Array) -> Point:
            terms, loss, gradient = evaluate(vector + size * direction)
            return Point(size, terms, loss, gradient, gradient.dot(direction))

        slope = gradient.dot(direction)
        start = Point(jnp.zeros_like(slope), terms, loss, gradient, slope)
        size = when(
            state.restarted,
            lambda: jnp.minimum(1 / jnp.abs(gradient).sum(), 1.0),
            lambda: self.trial(state.memory, slope),
        )
        point, trials = when(
            (slope < 0) & jnp.isfinite(slope),
            lambda: strong_wolfe(along, start, size),
            lambda: (start, 0),
        )
        counts = counts._replace(
            steps=counts.steps + 1, evaluations=counts.evaluations + looked + trials
        )

        def taken() -> tuple[Array, State]:
            step, change = point.size * direction, point.gradient - gradient
            model = -point.size * step.dot(gradient)
            pair = Pair(step, change, change.dot(step), model, loss - point.loss)
            rounding = jnp.finfo(step.dtype).eps * norm(change) * norm(step)
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

        def failed() -> tuple[Array, State]:
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


def fingerprint(batch: Batch) -> Array:
    """Sum a batch's bits, each number's spread and weighed by its place, modulo 2⁶⁴.

    Batches that differ in a bit differ in it but for a chance of about 2⁻⁶⁴. The state has
    it in place of the batch, whose size `init` does not know.
    """
    numbers = jnp.concatenate(
        [array.flatten() for term in batch.values() for array in term]
    )
    integers = jnp.int64 if numbers.dtype == jnp.float64 else jnp.int32
    bits = bitcast_convert_type(numbers, integers).astype(jnp.int64)
    bits = (bits ^ shift_right_logical(bits, 32)) * ODD
    bits = bits ^ shift_right_logical(bits, 32)
    places = jnp.arange(len(bits))
    return ((2 * places + 1) * bits).sum()
