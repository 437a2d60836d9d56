"""Energy natural gradient descent (Müller and Zeinhofer 2023): the gradient solved with the Gramian G = JᵀJ.

G sums (1/N) JᵀJ of the interior and (1/M) JᵀJ of the boundary; whole, in a block a layer, or its diagonal alone.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from implementations.failures import FactorisationFailed
from implementations.hyperparameters import Fraction, NonNegative, Positive, optimizer
from implementations.jax.backend import to_numpy
from implementations.jax.line_search import Search, follow, never
from implementations.jax.linear_algebra import first_failure, pseudo_inverse_solve
from implementations.jax.linearization import jacobian_blocks, total_gradient
from implementations.jax.objective import Linearization, Losses, Objective, half_mean_square
from implementations.jax.parameters import Params, select, split_like
from problems.problem import Batch


class Structure(NamedTuple):
    """Which entries of the Gramian are kept, and how a system with them is solved."""

    merge: Callable[[list[Array]], list[Array]]  # from arrays a layer [..., p] to arrays a block of the Gramian
    gramian: Callable[[Array], Array]  # of a block's Jacobian rows
    identity: Callable[[Array], Array]  # on a block, given an array as long
    solve: Callable[[Array, Array], Array]


def whole(layers: list[Array]) -> list[Array]:
    """One block: all parameters side by side."""
    return [jnp.concatenate(layers, axis=-1)]


def products_of_columns(rows: Array) -> Array:
    """JᵀJ of a block's Jacobian rows."""
    return rows.T @ rows


def squares_of_columns(rows: Array) -> Array:
    """The diagonal of JᵀJ."""
    return (rows * rows).sum(0)


def divide(diagonal: Array, vector: Array) -> Array:
    """The pseudo-inverse of a diagonal matrix: an exact zero gives 0."""
    zero = diagonal == 0
    return jnp.where(zero, 0 * vector, vector / jnp.where(zero, 1, diagonal))


def eye(block: Array) -> Array:
    """The identity on a block's parameters."""
    return jnp.eye(len(block), dtype=block.dtype)


FULL = Structure(whole, products_of_columns, eye, pseudo_inverse_solve)
PER_LAYER = Structure(list, products_of_columns, eye, pseudo_inverse_solve)
DIAGONAL = Structure(list, squares_of_columns, jnp.ones_like, divide)


class State(NamedTuple):
    """What ENGD remembers."""

    gramian: list[Array]  # the moving average, undamped, an array a block
    search: Search
    failure: Array  # the block without a finite direction, -1 for none


@optimizer
class ENGD:
    """Natural gradient descent with the whole Gramian."""

    name: ClassVar[str] = "engd"
    version: ClassVar[int] = 2
    structure: ClassVar[Structure] = FULL

    damping: NonNegative = 1e-8
    decay: Fraction = 0.0
    identity_init: bool = False
    learning_rate: Positive | None = None  # None: the line search
    line_search: Literal["grid", "grid_exhaustive"] = "grid"

    def init(self, objective: Objective, params: Params) -> State:
        """A Gramian of zeros or the identity."""
        start = [self.structure.identity(block) for block in self.structure.merge([p.flatten() for p in params])]
        gramian = start if self.identity_init else [jnp.zeros_like(block) for block in start]
        return State(gramian, never(), jnp.full((), -1, int))

    def step(self, objective: Objective, params: Params, state: State, batch: Batch) -> tuple[Params, State, Losses]:
        """One step; the losses are those before it."""
        interior, boundary = objective.linearize(params, batch)
        losses = Losses(half_mean_square(interior.residual), half_mean_square(boundary.residual))
        averages = zip(state.gramian, self._gramian(interior), self._gramian(boundary), strict=True)
        gramian = [self.decay * old + (1 - self.decay) * (new + new_b) for old, new, new_b in averages]
        slopes = self.structure.merge([slope.flatten() for slope in total_gradient((interior, boundary))])
        blocks = zip(gramian, slopes, strict=True)
        solutions = [-self.structure.solve(self._damped(G), slope) for G, slope in blocks]
        failure = first_failure(solutions)
        directions = split_like(params, jnp.concatenate(solutions))
        moved, search = follow(self, objective, params, directions, batch, losses, state.search)
        return select(failure < 0, moved, params), State(gramian, search, failure), losses

    def check(self, state: State) -> None:
        """Raise FactorisationFailed where the last step had no finite direction."""
        block = int(state.failure)
        if block >= 0:
            damped = to_numpy(self._damped(state.gramian[block]))
            raise FactorisationFailed({f"Gramian block {block}": damped}, self.damping)

    def _damped(self, gramian: Array) -> Array:
        return gramian + self.damping * self.structure.identity(gramian)

    def _gramian(self, term: Linearization) -> list[Array]:
        blocks = self.structure.merge(jacobian_blocks(term))
        return [self.structure.gramian(rows) / len(term.residual) for rows in blocks]


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
