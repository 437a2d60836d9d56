"""KFAC for physics-informed networks (arXiv 2405.15603, section 3.3 and algorithm 2).

The paper is Dangel, Müller, Zeinhofer (2024). In every layer the Gramian is approximated by
B ⊗ A of the differential equation plus B_c ⊗ A_c of the conditions. A step

1. linearizes every term and computes its Kronecker factors (equations 10 to 12),
2. weighs and merges the terms' factors to two pairs,
3. averages the four factors over the steps,
4. damps them, each on its own,
5. diagonalises B ⊗ A + B_c ⊗ A_c, and
6. multiplies ∇L by the inverse; momentum and a line search follow.

| paper | here | |
|---|---|---|
| Ω, ∂Ω | no index, `_c` | the equation's term; all conditions, merged |
| A, B | `A`, `B` | factors of a layer's inputs and cotangents |
| β | `decay` | share of the past in the averages |
| λ | `damping` | |
| Δ | `directions` | −(B ⊗ A + B_c ⊗ A_c)⁻¹ ∇L |
| μ, α* | `momentum`, the search's choice | |

The paper has two terms. Of more, the conditions' factors are merged (`merged`).
"""

import operator
from functools import partial, reduce
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
from optbench.implementations.jax.passes.parameters import Params, scale, select, typed_like
from optbench.implementations.jax.solvers.control_flow import when
from optbench.implementations.jax.solvers.line_search import Search, follow, never
from optbench.implementations.jax.solvers.linear_algebra import (
    KroneckerSum,
    double,
    first_failure,
    generalized_eigh,
    generalized_eigh_by_root,
    kronecker_sums,
    shift_diagonals,
)
from optbench.implementations.protocol import (
    Linearization,
    Losses,
    Objective,
    Optimizer,
    Preconditioning,
)
from optbench.problems.problem import INTERIOR, Batch


class Factors(NamedTuple):
    """A layer's Kronecker factors, undamped."""

    A: Array  # of the equation's inputs [in + 1, in + 1]
    B: Array  # of its cotangents [out, out]
    A_c: Array  # of the conditions
    B_c: Array  # of the conditions


class Summary(NamedTuple):
    """The means over a term's points that a step needs."""

    loss: Array
    gradient: Params  # Jᵀ r / n, without the term's weight
    factors: list[tuple[Array, Array]]  # A and B of every layer, without it too


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
    later: ClassVar[tuple[str, ...]] = ("guard",)

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
    damping_rule: Literal["same", "trace-norm", "relative"] = "same"
    guard: bool = False  # empty the momentum where no step size lowers the loss

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with factors of zeros or identities, and no momentum."""
        zeros = [jnp.zeros_like(matrix) for matrix in params]
        return State(initial(self, params), zeros, never())

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        summary = partial(summarize, self, state.preconditioner)  # 1
        terms = objective.mean_over_points(summary, params, batch)
        losses, gradient = losses_and_gradient(objective, terms)
        directions, preconditioner = precondition(  # 2 to 6
            self, objective, state.preconditioner, terms, gradient
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
        if self.guard:
            stalled = search.stalls > state.search.stalls
            momentum = select(stalled, [0 * m for m in momentum], momentum)
        params = select(preconditioner.failure < 0, moved, params)
        return params, State(preconditioner, momentum, search), losses

    def ends(self, state: State) -> bool | Array:
        """Say whether the last step had no finite direction."""
        return state.preconditioner.failure >= 0

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


def losses_and_gradient(
    objective: Objective, terms: dict[str, Summary]
) -> tuple[Losses, Params]:
    """Weigh and sum what the terms give to the losses and ∇L."""
    halves = {name: term.loss for name, term in terms.items()}
    gradients = {name: term.gradient for name, term in terms.items()}
    return objective.weighted_losses(halves), objective.weighted_sum(gradients)


def precondition(
    options: Preconditioning,
    objective: Objective,
    state: Preconditioner,
    terms: dict[str, Summary],
    gradient: Params,
) -> tuple[Params, Preconditioner]:
    """Compute Δ = −C⁻¹ ∇L, and the state with averaged, damped and inverted factors.

    `gradient` is ∇L.
    """
    factors_due, inverses_due = (
        is_due(state.step, n) for n in (options.factor_interval, options.inverse_interval)
    )

    def averaged() -> list[Factors]:
        new = merged(objective.problem.weights, terms)
        return average(options.decay, state.factors, new)

    factors = when(factors_due, averaged, lambda: state.factors)
    inverses = when(inverses_due, lambda: invert(options, factors), lambda: state.inverses)
    solutions = [
        inverse.solve(matrix)
        for inverse, matrix in zip(inverses, double(gradient), strict=True)
    ]
    directions = typed_like(gradient, scale(solutions, -1))
    return directions, Preconditioner(
        state.step + 1, factors, inverses, first_failure(directions)
    )


def merged(weights: dict[str, float], terms: dict[str, Summary]) -> list[Factors]:
    """Weigh the terms' factors, and merge those of all conditions, layer by layer.

    The equation's pair is A, w B. That of the conditions is Σ w A / Σ w, Σ w B: weights
    enter B alone. For conditions of one weight and number of points that read values, these
    are the factors over all their points.
    """
    conditions = [name for name in weights if name != INTERIOR]
    total = sum(weights[name] for name in conditions)
    pairs = {}
    for name, term in terms.items():
        share = weights[name] / total if name in conditions else 1
        As = scale([A for A, _ in term.factors], share)
        Bs = scale([B for _, B in term.factors], weights[name])
        pairs[name] = list(zip(As, Bs, strict=True))
    layers = []
    for layer, (A, B) in enumerate(pairs[INTERIOR]):
        of_conditions = [pairs[name][layer] for name in conditions] or [(0 * A, 0 * B)]
        A_c, B_c = (
            reduce(operator.add, factors) for factors in zip(*of_conditions, strict=True)
        )
        layers.append(Factors(A, B, A_c, B_c))
    return layers


def average(decay: float, factors: list[Factors], new: list[Factors]) -> list[Factors]:
    """Average the four factors, F ← β F + (1 − β) F_batch, without bias correction."""
    return [
        Factors(
            *(
                decay * old + (1 - decay) * batch
                for old, batch in zip(olds, news, strict=True)
            )
        )
        for olds, news in zip(factors, new, strict=True)
    ]


def invert(options: Preconditioning, factors: list[Factors]) -> list[KroneckerSum]:
    """Diagonalise B̃ ⊗ Ã + B̃_c ⊗ Ã_c of every layer."""
    # where the damping is small against rounding, as "relative" allows, a Cholesky factor
    # would not exist
    eigh = generalized_eigh
    if options.damping_rule == "relative":
        eigh = generalized_eigh_by_root
    return kronecker_sums(damped(options, factors), eigh)


def damped(options: Preconditioning, layers: list[Factors]) -> list[Factors]:
    """Add its share of λ to every factor of every layer.

    The shares are λ itself ("same"), √λ π and √λ / π ("trace-norm"), or √λ times the
    factor's own mean eigenvalue ("relative").
    """
    share = {"same": same, "trace-norm": trace_norm, "relative": relative}[
        options.damping_rule
    ]
    factors: list[Array] = []
    shares: list[float | Array] = []
    for layer in layers:
        factors += layer
        shares += share(layer.A, layer.B, options.damping)
        shares += share(layer.A_c, layer.B_c, options.damping)
    return by_layer(shift_diagonals(factors, shares))


def by_layer(factors: list[Array]) -> list[Factors]:
    """Give every layer its four factors of a list of all."""
    return [Factors(*factors[at : at + 4]) for at in range(0, len(factors), 4)]


def same(A: Array, B: Array, damping: float) -> tuple[float, float]:
    """Put λ on both factors, as in the recorded runs.

    The block's damping is then of order λ² + λ tr.
    """
    return damping, damping


def trace_norm(A: Array, B: Array, damping: float) -> tuple[Array, Array]:
    """Share λ as √λ π and √λ / π with π² = (tr A / dim A) / (tr B / dim B)."""
    pi = jnp.sqrt((A.trace() / len(A)) / (B.trace() / len(B)))
    return damping**0.5 * pi, damping**0.5 / pi


def relative(A: Array, B: Array, damping: float) -> tuple[Array, Array]:
    """Put √λ tr M / dim M on both factors M: a unit of length does not change it.

    The factors of operators of order three and four have mean eigenvalues of 1e4 and more,
    against which an absolute λ is smaller than rounding.
    """
    return damping**0.5 * A.trace() / len(A), damping**0.5 * B.trace() / len(B)


def check_preconditioner(options: Preconditioning, state: Preconditioner) -> None:
    """Raise FactorisationFailed where the last step had no finite direction."""
    layer = int(state.failure)
    if layer >= 0:
        (factors,) = damped(options, [state.factors[layer]])
        names = (
            f"layer {layer} {name}"
            for name in ("A", "B", "A of the conditions", "B of the conditions")
        )
        raise FactorisationFailed(
            dict(zip(names, map(to_numpy, factors), strict=True)), options.damping
        )
