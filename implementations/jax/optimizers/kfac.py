"""KFAC for physics-informed networks (arXiv 2405.15603, section 3.3 and algorithm 2).

The paper is Dangel, Müller, Zeinhofer (2024).

In every layer the Gramian is approximated by B ⊗ A of the interior plus B ⊗ A of the
boundary, each damped on its own.
"""

from functools import partial
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.failures import FactorisationFailed
from optbench.implementations.hyperparameters import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    optimizer,
)
from optbench.implementations.jax.backend import to_numpy
from optbench.implementations.jax.passes.linearization import gradient, kronecker_factors
from optbench.implementations.jax.passes.objective import half_mean_square
from optbench.implementations.jax.passes.parameters import Params, add, select, typed_like
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.line_search import Search, follow, never
from optbench.implementations.jax.solvers.linear_algebra import (
    KroneckerSum,
    double,
    first_failure,
    kronecker_sum,
)
from optbench.implementations.protocol import (
    Linearization,
    Losses,
    Objective,
    Optimizer,
    Preconditioning,
)
from optbench.problems.problem import Batch


class Factors(NamedTuple):
    """A layer's Kronecker factors of the two terms, undamped."""

    A: Array  # interior, of the inputs [in + 1, in + 1]
    B: Array  # interior, of the cotangents [out, out]
    A_b: Array  # boundary
    B_b: Array  # boundary


class Summary(NamedTuple):
    """The means over a term's points that a step needs."""

    loss: Array
    gradient: Params  # Jᵀ r / n
    factors: list[tuple[Array, Array]]  # A and B of every layer


class Preconditioner(NamedTuple):
    """The part of the state that KFAC and KFAC* share."""

    step: Array  # steps done
    factors: list[Factors]  # moving averages in float64, of every layer
    # of the damped factors, as old as `inverse_interval` lets them be
    inverses: list[KroneckerSum]
    failure: Array  # the layer without a finite direction, -1 for none


class State(NamedTuple):
    """What KFAC remembers."""

    preconditioner: Preconditioner
    momentum: Params  # m ← μ m + Δ
    search: Search


@optimizer
class KFAC(Optimizer):
    """KFAC with momentum and a line search."""

    name: ClassVar[str] = "kfac"
    version: ClassVar[int] = 2

    damping: NonNegative = 1e-8
    decay: Fraction = 0.9
    momentum: Fraction = 0.5
    identity_init: bool = True
    learning_rate: Positive | None = None  # None: the line search
    line_search: Literal["grid", "grid_exhaustive"] = "grid"
    factor_interval: Count = 1
    inverse_interval: Count = 1
    approximation: Literal["expand", "reduce"] = "expand"
    curvature: Literal["type-2", "empirical", "forward-only"] = "type-2"
    damping_rule: Literal["same", "trace-norm"] = "same"

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with factors of zeros or identities, and no momentum."""
        zeros = [jnp.zeros_like(matrix) for matrix in params]
        return State(initial(self, params), zeros, never())

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        summary = partial(summarize, self, state.preconditioner)
        terms = objective.means(summary, params, batch)
        losses = Losses(*(term.loss for term in terms))
        directions, preconditioner = precondition(
            self, state.preconditioner, terms, total_gradient(terms)
        )
        # the buffer holds directions, not updates: the recorded runs did not scale it by
        # the step size
        momentum = [
            self.momentum * m + direction
            for m, direction in zip(state.momentum, directions, strict=True)
        ]
        moved, search = follow(
            self, objective, params, momentum, batch, losses, state.search
        )
        params = select(preconditioner.failure < 0, moved, params)
        return params, State(preconditioner, momentum, search), losses

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        check_preconditioner(self, state.preconditioner)

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what the line searches have counted."""
        return state.search.counters()


def initial(options: Preconditioning, params: Params) -> Preconditioner:
    """Make the factors before the first step: zeros, or identities."""
    factors, inverses = [], []
    for out, columns in (matrix.shape for matrix in params):
        A, B = jnp.eye(columns, dtype=float), jnp.eye(out, dtype=float)
        factors.append(
            Factors(*(options.identity_init * factor for factor in (A, B, A, B)))
        )
        inverses.append(KroneckerSum(0 * B, 0 * A, jnp.zeros((out, columns), float)))
    return Preconditioner(jnp.zeros((), int), factors, inverses, jnp.full((), -1, int))


def summarize(
    options: Preconditioning, state: Preconditioner, term: Linearization
) -> Summary:
    """Compute what a step needs of a term's linearization.

    Where the factors are not due, they are zeros.
    """
    factors = when(
        is_due(state.step, options.factor_interval),
        lambda: kronecker_factors(double(term), options.approximation, options.curvature),
        lambda: [
            (jnp.zeros_like(layer.A), jnp.zeros_like(layer.B)) for layer in state.factors
        ],
    )
    return Summary(half_mean_square(term.residual), gradient(term), factors)


def is_due(step: int | Array, interval: int) -> bool | Array:
    """Say whether what happens every `interval` steps happens in this one."""
    return interval == 1 or step % interval == 0


def precondition(
    options: Preconditioning,
    state: Preconditioner,
    terms: tuple[Summary, Summary],
    gradient: Params,
) -> tuple[Params, Preconditioner]:
    """Compute Δ = −C⁻¹ ∇L, and the state with averaged, damped and inverted factors.

    `gradient` is ∇L.
    """
    factors_due, inverses_due = (
        is_due(state.step, n) for n in (options.factor_interval, options.inverse_interval)
    )
    factors = when(
        factors_due, lambda: average(options, state.factors, terms), lambda: state.factors
    )
    inverses = when(inverses_due, lambda: invert(options, factors), lambda: state.inverses)
    directions = [
        -inverse.solve(matrix)
        for inverse, matrix in zip(inverses, double(gradient), strict=True)
    ]
    directions = typed_like(gradient, directions)
    return directions, Preconditioner(
        state.step + 1, factors, inverses, first_failure(directions)
    )


def total_gradient(terms: tuple[Summary, Summary]) -> Params:
    """Compute ∇L, the sum over both terms."""
    return add(terms[0].gradient, terms[1].gradient)


def average(
    options: Preconditioning, factors: list[Factors], terms: tuple[Summary, Summary]
) -> list[Factors]:
    """Average the four factors, F ← β F + (1 − β) F_batch, without bias correction."""
    layers = zip(factors, terms[0].factors, terms[1].factors, strict=True)
    return [
        Factors(
            *(
                options.decay * old + (1 - options.decay) * new
                for old, new in zip(olds, (*new, *new_b), strict=True)
            )
        )
        for olds, new, new_b in layers
    ]


def invert(options: Preconditioning, factors: list[Factors]) -> list[KroneckerSum]:
    """Diagonalise B̃ ⊗ Ã + B̃_b ⊗ Ã_b of every layer."""
    return [kronecker_sum(*damped(options, layer)) for layer in factors]


def damped(options: Preconditioning, factors: Factors) -> Factors:
    """Add its share of λ to every factor.

    The shares are λ itself ("same"), or √λ π and √λ / π ("trace-norm").
    """
    shares = {"same": same, "trace-norm": trace_norm}[options.damping_rule]
    interior = shares(factors.A, factors.B, options.damping)
    boundary = shares(factors.A_b, factors.B_b, options.damping)
    return Factors(
        *(
            shifted(factor, by)
            for factor, by in zip(factors, (*interior, *boundary), strict=True)
        )
    )


def same(A: Array, B: Array, damping: float) -> tuple[float, float]:
    """Put λ on both factors, as in the recorded runs.

    The block's damping is then of order λ² + λ tr.
    """
    return damping, damping


def trace_norm(A: Array, B: Array, damping: float) -> tuple[Array, Array]:
    """Share λ as √λ π and √λ / π with π² = (tr A / dim A) / (tr B / dim B)."""
    pi = jnp.sqrt((A.trace() / len(A)) / (B.trace() / len(B)))
    return damping**0.5 * pi, damping**0.5 / pi


def shifted(matrix: Array, by: float | Array) -> Array:
    """Add `by` to a matrix's diagonal."""
    return matrix + by * jnp.eye(len(matrix), dtype=matrix.dtype)


def check_preconditioner(options: Preconditioning, state: Preconditioner) -> None:
    """Raise FactorisationFailed where the last step had no finite direction."""
    layer = int(state.failure)
    if layer >= 0:
        factors = damped(options, state.factors[layer])
        names = (
            f"layer {layer} {name}"
            for name in ("interior A", "interior B", "boundary A", "boundary B")
        )
        raise FactorisationFailed(
            dict(zip(names, map(to_numpy, factors), strict=True)), options.damping
        )
