"""The vocabulary of a problem: jet, operator, term, problem. NumPy only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from optbench.problems.own import Source
from optbench.problems.reference import Reference

# a NumPy array here, a framework's own array where an operator is applied to a network
Array = Any

# a function of points: x [n, d] -> [n, columns], float64
Field = Callable[[np.ndarray], np.ndarray]


class Jet(NamedTuple):
    """u and its derivatives at n points, in d input dimensions, with m outputs."""

    value: Array  # u             [n, m]
    gradient: Array  # ∇u            [n, d, m]
    curvature: Array  # tr(A ∇²u)     [n, m]


# compared and hashed by identity: it holds an array, and compilers key on it
@dataclass(frozen=True, eq=False)
class Operator:
    """The map u ↦ F(u, ∇u, tr(A ∇²u)) whose root is the solution.

    `residual(jet, x [n, d], y [n, r]) -> [n, r]` uses arithmetic alone: it runs on NumPy,
    PyTorch and JAX alike. `diffusion` is the symmetric matrix A [d, d]; None where F reads
    the value alone (then `jet.gradient` and `jet.curvature` are None). Raises ValueError
    where A is not a symmetric matrix of finite numbers.
    """

    residual: Callable[[Jet, Array, Array], Array]
    diffusion: np.ndarray | None = None

    def __post_init__(self) -> None:
        A = self.diffusion
        if A is None:
            return
        if np.ndim(A) != 2 or np.shape(A)[0] != np.shape(A)[1]:
            raise ValueError(
                "diffusion must be a square matrix [d, d], "
                f"not an array of shape {list(np.shape(A))}"
            )
        if not np.isfinite(A).all() or not np.array_equal(A, np.transpose(A)):
            raise ValueError(
                "diffusion must be a symmetric matrix of finite numbers: "
                "A is not equal to its transpose"
            )

    @property
    def channels(self) -> int:
        """S, the channels of a jet that it reads: d + 2, or the value alone."""
        return 1 if self.diffusion is None else len(self.diffusion) + 2


# u ↦ u - g: boundary values and initial values
DIRICHLET = Operator(lambda jet, x, y: jet.value - y)


@dataclass(frozen=True, eq=False)
class Term:
    """One mean squared residual of the loss: an operator, where it holds, and its data.

    `sample(generator, n) -> (x [n, d], y [n, r])` draws n points and their targets, in
    float64.
    """

    operator: Operator
    sample: Callable[[Generator, int], tuple[np.ndarray, np.ndarray]]

    @cached_property
    def components(self) -> int:
        """r, the number of residual components."""
        return self.sample(np.random.default_rng(0), 1)[1].shape[1]

    def is_affine(self, outputs: int) -> bool:
        """Try whether F(u + v) + F(0) = F(u) + F(v) at a few points with made-up jets.

        The jets have m = `outputs` outputs.
        """
        random = np.random.default_rng(0)
        x, y = self.sample(random, 8)
        n, d = x.shape
        shapes = (
            [(n, outputs)]
            if self.operator.diffusion is None
            else [(n, outputs), (n, d, outputs), (n, outputs)]
        )
        u, v = ([random.standard_normal(shape) for shape in shapes] for _ in "uv")

        def residual(jet: list[np.ndarray]) -> np.ndarray:
            return self.operator.residual(Jet(*jet, *[None] * (3 - len(jet))), x, y)

        together, nothing = ([a + b for a, b in zip(u, v, strict=True)], [0 * a for a in u])
        return np.allclose(
            residual(together) + residual(nothing),
            residual(u) + residual(v),
            rtol=1e-9,
            atol=1e-9,
        )

    @classmethod
    def of(
        cls,
        operator: Operator,
        points: Callable[[Generator, int], np.ndarray],
        target: Field,
    ) -> "Term":
        """Make the term of points and their targets.

        `points(generator, n)` [n, d] have the targets `target(x)` [n, r].
        """

        def sample(generator: Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
            x = points(generator, n)
            return x, target(x)

        return cls(operator, sample)


class Batch(NamedTuple):
    """Points and targets of the two terms."""

    interior: tuple[np.ndarray, np.ndarray]  # x [N, d], y [N, r]
    boundary: tuple[np.ndarray, np.ndarray]  # x [M, d], y [M, r_b]


@dataclass(frozen=True, eq=False)
class Problem:
    """A PDE with its data and its solution.

    L(u) = 1/(2N) Σ_n ‖F(u)(x_n)‖² + 1/(2M) Σ_m ‖F_b(u)(x_m)‖² is minimal at the solution.

    Compared and hashed by identity; `problems.get` returns the same object for the same
    name.
    """

    name: str  # a family and a dimension of space: "heat_sine_1d"
    dim: int  # the number of network inputs, time included
    outputs: int  # m
    interior: Term
    boundary: Term  # boundary and initial conditions
    # the domain's box: smallest and largest value of every input, [d] each
    bounds: tuple[np.ndarray, np.ndarray]
    solution: Field  # u* at x [n, d] -> [n, m]: a formula, or a Reference
    solution_norm: float  # ‖u*‖ = (E |u*(x)|²)^½ over the interior's points
    interior_points: int  # default N
    boundary_points: int  # default M
    resample_every: int  # default number of steps between new points; 0: one fixed batch
    networks: tuple[str, ...]  # the paper's networks for it
    reference: str  # where it comes from
    # raised whenever a run's trajectory changes
    version: int = field(default=1, kw_only=True)
    # which points x [n, d] of the box are in the domain [n]; None: all of them
    inside: Callable[[np.ndarray], np.ndarray] | None = field(default=None, kw_only=True)

    @property
    def floor(self) -> float:
        """The relative L2 accuracy of the solution: a Reference's, else 0.

        An error below it says nothing.
        """
        return self.solution.accuracy if isinstance(self.solution, Reference) else 0.0

    @cached_property
    def affine(self) -> bool:
        """Whether both terms' residuals are affine in u."""
        return all(term.is_affine(self.outputs) for term in (self.interior, self.boundary))

    @property
    def data(self) -> tuple[Source, ...]:
        """The files that it is made of besides the one that defines it: a Reference's."""
        return (self.solution.source,) if isinstance(self.solution, Reference) else ()

    def batch(self, generator: Generator, interior: int, boundary: int) -> Batch:
        """Draw `interior` and `boundary` points with their targets."""
        return Batch(
            self.interior.sample(generator, interior),
            self.boundary.sample(generator, boundary),
        )
