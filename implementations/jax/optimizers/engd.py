"""Energy natural gradient descent with the Gramian G = JᵀJ (Müller and Zeinhofer 2023).

G sums (w/n) JᵀJ over the terms; it is kept whole, in one block per layer, or its diagonal
alone. A step

1. computes the rows of J and the residuals r of all terms, multiplied by √(w/n),
2. sums G = JᵀJ and ∇L = Jᵀ r, and averages G over the steps,
3. solves (G + λI) x = ∇L, and
4. follows −x with the step size of a line search.

Whole and without an average, the smaller of G and the kernel JJᵀ is solved in step 3: they
give the same direction. Both square the condition number of J, and with it the share of
rounding in the direction; `solve = "jacobian"` takes the direction from J itself.

| paper | here | |
|---|---|---|
| G_N | `gramian` | the Gramian, one array per block |
| λ | `damping` | |
| β | `decay` | share of the past in the average |
| η | `learning_rate`, or the search's choice | |
"""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, Self

import jax.numpy as jnp
from jax import Array
from pydantic import model_validator

from optbench.implementations import memory_estimates
from optbench.implementations.failures import FactorisationFailed
from optbench.implementations.hyperparameters import (
    Fraction,
    NonNegative,
    Positive,
    optimizer,
)
from optbench.implementations.jax.backend import to_numpy
from optbench.implementations.jax.passes import jacobian, kernel
from optbench.implementations.jax.passes.linearization import (
    gradient,
    squared_columns,
)
from optbench.implementations.jax.passes.objective import half_mean_square
from optbench.implementations.jax.passes.parameters import (
    Params,
    select,
    split_like,
    typed_like,
)
from optbench.implementations.jax.solvers.line_search import Search, follow, never
from optbench.implementations.jax.solvers.linear_algebra import (
    damped_solve,
    double,
    first_failure,
    least_squares,
)
from optbench.implementations.protocol import Linearization, Losses, Objective, Optimizer
from optbench.problems.problem import Batch


class Structure(NamedTuple):
    """Which entries of the Gramian are kept, and how a system with them is solved."""

    # from one array [..., p] per layer to one per block of the Gramian
    merge: Callable[[list[Array]], list[Array]]
    identity: Callable[[Array], Array]  # on a block, given an array as long
    solve: Callable[[Array, float, Array], Array]  # (G + λI)⁺ v


def whole(layers: list[Array]) -> list[Array]:
    """Put all parameters side by side in one block."""
    return [jnp.concatenate(layers, axis=-1)]


def divide(diagonal: Array, damping: float, vector: Array) -> Array:
    """Apply the pseudo-inverse of a damped diagonal matrix: an exact zero gives 0."""
    damped = diagonal + damping
    zero = damped == 0
    return jnp.where(zero, 0 * vector, vector / jnp.where(zero, 1, damped))


def flattened(matrices: Params) -> list[Array]:
    """Flatten every matrix to a vector, by rows."""
    return [matrix.flatten() for matrix in matrices]


def eye(block: Array) -> Array:
    """Make the identity on a block's parameters."""
    return jnp.eye(len(block), dtype=block.dtype)


FULL = Structure(whole, eye, damped_solve)
PER_LAYER = Structure(list, eye, damped_solve)
DIAGONAL = Structure(list, jnp.ones_like, divide)


class State(NamedTuple):
    """What ENGD remembers."""

    # the moving average, undamped, one array per block; none with decay 0
    gramian: list[Array]
    search: Search
    failure: Array  # the block without a finite direction, -1 for none


@optimizer
class ENGD(Optimizer):
    """Natural gradient descent with the whole Gramian."""

    name: ClassVar[str] = "engd"
    version: ClassVar[int] = 2
    later: ClassVar[tuple[str, ...]] = ("solve",)
    structure: ClassVar[Structure] = FULL

    damping: NonNegative = 1e-8
    decay: Fraction = 0.0
    identity_init: bool = False
    learning_rate: Positive | None = None  # None: the line search
    line_search: Literal["grid", "grid_exhaustive"] = "grid"
    # what step 3 solves with: G, or by singular values J itself, without an average
    solve: Literal["gramian", "jacobian"] = "gramian"

    @model_validator(mode="after")
    def _from_one_batch(self) -> Self:
        if self.solve == "jacobian" and (self.decay or self.structure is not FULL):
            raise ValueError(
                "solve = 'jacobian' is of the whole J of one batch: needs decay = 0, "
                "and engd alone has it"
            )
        return self

    def init(self, objective: Objective, params: Params) -> State:
        """Begin with a Gramian of zeros or the identity."""
        blocks = self.structure.merge(flattened(double(params))) if self.decay else []
        start = (
            self.structure.identity
            if self.identity_init
            else lambda block: 0 * self.structure.identity(block)
        )
        return State([start(block) for block in blocks], never(), jnp.full((), -1, int))

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        average = state.gramian
        if self.solve == "jacobian":
            losses, (rows,), residual = self.rows(objective, params, batch)  # 1
            solution = -least_squares(rows, self.damping, residual)  # 3
            failure = first_failure([solution])
            directions = typed_like(params, split_like(params, solution))
        elif self._has_smaller_kernel(params, batch):
            losses, directions, failure = kernel.solve(
                objective, params, batch, self.damping
            )
        else:
            losses, gramian, gradient = self._measure(objective, params, batch)  # 1, 2
            if self.decay:
                pairs = zip(average, gramian, strict=True)
                average = gramian = [
                    self.decay * old + (1 - self.decay) * new for old, new in pairs
                ]
            blocks = zip(gramian, gradient, strict=True)
            solutions = [  # 3
                -self.structure.solve(G, self.damping, block) for G, block in blocks
            ]
            failure = first_failure(solutions)
            directions = typed_like(
                params, split_like(params, jnp.concatenate(solutions, axis=0))
            )
        moved, search = follow(  # 4
            self, objective, params, directions, batch, losses, state.search
        )
        return select(failure < 0, moved, params), State(average, search, failure), losses

    def ends(self, state: State) -> bool | Array:
        """Say whether the last step had no finite direction."""
        return state.failure >= 0

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        block = int(state.failure)
        if block >= 0:
            kept = [
                to_numpy(G + self.damping * self.structure.identity(G))
                for G in state.gramian[block : block + 1]
            ]
            raise FactorisationFailed(
                {f"Gramian block {block}": kept[0] if kept else None}, self.damping
            )

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers of a step's matrices, of the kernel or of the Gramian."""
        if self.solve == "jacobian":
            return memory_estimates.jacobian(params, batch)
        if self._has_smaller_kernel(params, batch):
            return memory_estimates.kernel(objective, params, batch)
        return memory_estimates.gramian(params, batch, whole=self.structure is FULL)

    def counters(self, state: State) -> dict[str, int | Array]:
        """Read what the line searches have counted."""
        return state.search.counters()

    def _has_smaller_kernel(self, params: Params, batch: Batch) -> bool:
        plain = self.structure is FULL and self.decay == 0 and self.damping > 0
        rows = memory_estimates.jacobian_rows(batch)
        return plain and rows < memory_estimates.parameters(params)

    def _measure(
        self, objective: Objective, params: Params, batch: Batch
    ) -> tuple[Losses, list[Array], list[Array]]:
        """Compute the losses, and the Gramian and the gradient, one array per block."""
        losses, rows, residual = self.rows(objective, params, batch)
        return (
            losses,
            [block.T @ block for block in rows],
            [block.T @ residual for block in rows],
        )

    def rows(
        self, objective: Objective, params: Params, batch: Batch
    ) -> tuple[Losses, list[Array], Array]:
        """Compute the losses, Jacobian rows and residuals of all terms, times √(w/n).

        The rows are one array [Σ n·r, p] per block, the residuals one [Σ n·r].
        """
        losses, layers, residual = jacobian.rows(objective, params, batch)
        return losses, self.structure.merge(layers), residual


@optimizer
class ENGDPerLayer(ENGD):
    """Natural gradient descent with the Gramian's diagonal blocks, one a layer."""

    name: ClassVar[str] = "engd_per_layer"
    structure: ClassVar[Structure] = PER_LAYER


@optimizer
class ENGDDiagonal(ENGD):
    """Natural gradient descent with the Gramian's diagonal."""

    name: ClassVar[str] = "engd_diagonal"
    structure: ClassVar[Structure] = DIAGONAL

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate the numbers that a step's arrays hold."""
        return memory_estimates.gramian_diagonal(params)

    def _measure(
        self, objective: Objective, params: Params, batch: Batch
    ) -> tuple[Losses, list[Array], list[Array]]:
        """Compute the losses, the Gramian's diagonal and the gradient.

        They are one array per layer; the Jacobian is never whole.
        """

        def of(term: Linearization) -> tuple[Array, Params, Params]:
            exact = double(term)
            return half_mean_square(term.residual), squared_columns(exact), gradient(exact)

        terms = objective.mean_over_points(of, params, batch)
        halves, squares, gradients = (
            {name: part[column] for name, part in terms.items()} for column in range(3)
        )
        return (
            objective.weighted_losses(halves),
            flattened(objective.weighted_sum(squares)),
            flattened(objective.weighted_sum(gradients)),
        )
