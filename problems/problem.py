"""The vocabulary of a problem: jet, operator, term, problem. NumPy only.

The loss of a problem with K terms is L = Σ_k w_k/(2 n_k) Σ_n ‖F_k(u)(x_{k,n})‖². A problem
of two terms of weight 1, `interior` and `boundary`, may be written in a short form; what
was written before there could be more goes on working by it (`Problem.interior`).
"""

from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from optbench.problems.domains import Region
from optbench.problems.jets import Layout, Read, layout
from optbench.problems.own import Source
from optbench.problems.reference import Reference

# a NumPy array here, a framework's own array where an operator is applied to a network
Array = Any

# a function of points: x [n, d] -> [n, columns], float64
Field = Callable[[np.ndarray], np.ndarray]

# points and targets by the names of a problem's terms: x [n, d], y [n, r]
Batch = Mapping[str, tuple[Array, Array]]

INTERIOR = "interior"  # the term of the differential equation itself
# columns of a run's history, which no term may be called
RESERVED = ("step", "seconds", "loss", "relative_l2", "rms", "evaluations", "stage")


class Jet(NamedTuple):
    """u and its derivatives at n points, in d input dimensions, with m outputs."""

    value: Array  # u             [n, m]
    gradient: Array  # ∇u            [n, d, m]
    curvature: Array  # tr(A ∇²u)     [n, m]


class Derivatives:
    """The value and what an operator's `reads` name, [n, m] each, as attributes."""

    def __init__(self, **named: Array) -> None:
        for name, derivative in named.items():
            setattr(self, name, derivative)


# compared and hashed by identity: it holds an array, and compilers key on it
@dataclass(frozen=True, eq=False)
class Operator:
    """The map u ↦ F(u) whose root is the solution, and the derivatives that F reads.

    `residual(jet, x [n, d], y [n, r]) -> [n, r]` uses arithmetic alone: it runs on NumPy,
    PyTorch and JAX alike. `reads` names derivatives (`jets.partial`, `along`, `trace`): the
    residual finds each in `jet.<name>` [n, m], beside `jet.value` [n, m]; what is not named
    is not computed. Of several residual components it may give a tuple of columns [n, 1].

    The short form of second order: `diffusion` is the symmetric matrix A [d, d], and the
    residual reads the fields of a `Jet`. Without either, F reads the value alone.

    Raises:
        ValueError: A is not a symmetric matrix of finite numbers, both forms are given, or
            a name cannot be one of a jet's.
    """

    residual: Callable[[Any, Array, Array], Array]
    diffusion: np.ndarray | None = None
    reads: Mapping[str, Read] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, read in self.reads.items():
            if not name.isidentifier() or name == "value":
                raise ValueError(f"reads has the name {name!r}: must be another identifier")
            if not isinstance(read, Read):
                raise ValueError(
                    f"reads[{name!r}] is {read!r}: must be partial(…), along(…) or trace(…)"
                )
        A = self.diffusion
        if A is None:
            return
        if self.reads:
            raise ValueError("an operator has diffusion or reads, not both")
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

    @cached_property
    def layout(self) -> Layout:
        """The channels of a jet that its `reads` need."""
        return layout(self.reads)

    @property
    def channels(self) -> int:
        """S, the channels of a jet that it reads: with `diffusion` d + 2."""
        return self.layout.channels if self.diffusion is None else len(self.diffusion) + 2

    @property
    def order(self) -> int:
        """The highest order of a derivative that it reads."""
        return self.layout.order if self.diffusion is None else 2

    def jet(self, channels: Array) -> Any:
        """Name the channels [S, n, m] of a network's jet as the residual reads them."""
        # compilers cannot look at the array `diffusion` here: the value alone is 1 channel
        if not self.reads and len(channels) > 1:
            return Jet(channels[0], channels[1:-1].swapaxes(0, 1), channels[-1])
        if not self.reads:
            return Jet(channels[0], None, None)
        named = {
            name: sum(
                (weight * channels[channel] for weight, channel in terms[1:]),
                terms[0][0] * channels[terms[0][1]],
            )
            for name, terms in self.layout.sums.items()
        }
        return Derivatives(value=channels[0], **named)

    def apply(
        self, jet: Any, x: Array, y: Array, join: Callable[..., Array] = np.concatenate
    ) -> Array:
        """Compute the residual [n, r]; `join(columns, axis)` is the framework's."""
        residual = self.residual(jet, x, y)
        return join(residual, 1) if isinstance(residual, tuple | list) else residual


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
    default_points: int = field(default=0, kw_only=True)  # n of a batch
    weight: float = field(default=1.0, kw_only=True)  # w > 0
    # what `sample` is made of, where a Sobol sequence can be placed and points can be
    # moved in time; None: `sample` alone knows
    region: Region | None = field(default=None, kw_only=True)
    target: Field | None = field(default=None, kw_only=True)

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
        u, v = random.standard_normal((2, self.operator.channels, len(x), outputs))

        def residual(channels: np.ndarray) -> np.ndarray:
            return self.operator.apply(self.operator.jet(channels), x, y)

        return np.allclose(
            residual(u + v) + residual(0 * u),
            residual(u) + residual(v),
            rtol=1e-9,
            atol=1e-9,
        )

    @classmethod
    def of(
        cls,
        operator: Operator,
        points: Region | Callable[[Generator, int], np.ndarray],
        target: Field,
        default_points: int = 0,
        weight: float = 1.0,
    ) -> "Term":
        """Make the term of points and their targets.

        `points(generator, n)` [n, d], such as a Region, have the targets `target(x)`
        [n, r].
        """

        def sample(generator: Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
            x = points(generator, n)
            return x, target(x)

        return cls(
            operator,
            sample,
            default_points=default_points,
            weight=weight,
            region=points if isinstance(points, Region) else None,
            target=target,
        )


class Periodic(NamedTuple):
    """An axis of which u is a periodic function, exactly: the network sees its waves."""

    period: float
    modes: int = 1  # cos ωx, sin ωx, cos 2ωx, … up to so many, with ω = 2π/period


class _Own(dict[str, Term]):
    """The terms of a problem, as it holds them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """A PDE with its data and its solution.

    L(u) = Σ_k w_k/(2 n_k) Σ_n ‖F_k(u)(x_{k,n})‖² is minimal at the solution. The first of
    the terms is the equation's, `interior`; the others are conditions.

    Two terms, `interior` and `boundary`, may be given by these names and their default
    numbers of points as `interior_points` and `boundary_points` instead of `terms`. This
    is the short form of all that was written before there could be more.

    Compared and hashed by identity; `problems.get` returns the same object for the same
    name.

    Raises:
        ValueError: there is no term `interior`, or a term has a reserved name or a weight
            that is not positive.
    """

    name: str  # a family and a dimension of space: "heat_sine_1d"
    dim: int  # the number of coordinates of a point, time included
    outputs: int  # m
    terms: Mapping[str, Term] = field(default_factory=dict)  # by name, in order
    interior: InitVar[Term | None] = None
    boundary: InitVar[Term | None] = None
    interior_points: InitVar[int | None] = None
    boundary_points: InitVar[int | None] = None
    # the domain's box: smallest and largest value of every input, [d] each
    bounds: tuple[np.ndarray, np.ndarray]
    solution: Field  # u* at x [n, d] -> [n, m]: a formula, or a Reference
    # ‖u*‖ = (E |u*(x)|²)^½ over the evaluation's points
    solution_norm: float
    resample_every: int  # default number of steps between new points; 0: one fixed batch
    networks: tuple[str, ...]  # the networks for it, its default first
    reference: str  # where it comes from
    # raised whenever a run's trajectory changes
    version: int = 1
    # which points x [n, d] of the box are in the domain [n]; None: all of them
    inside: Callable[[np.ndarray], np.ndarray] | None = None
    axes: tuple[str, ...] = ()  # what the coordinates are called, "t" the time
    periodic: Mapping[int, Periodic] = field(default_factory=dict)  # by axis
    sampling: Literal["uniform", "sobol"] = "uniform"  # default way of drawing points
    march: int = 0  # default number of steps in which the points reach the last time
    # x [n, d] at which errors are taken; None: drawn as the interior's points
    evaluation: Callable[[Generator, int], np.ndarray] | None = None

    def __post_init__(
        self,
        interior: Term | None,
        boundary: Term | None,
        interior_points: int | None,
        boundary_points: int | None,
    ) -> None:
        terms = _Own(self.terms)
        short = {
            INTERIOR: (interior, interior_points),
            "boundary": (boundary, boundary_points),
        }
        # `replace` hands on every field, the short ones too. Beside terms that a problem
        # had already they may be new; terms that are new stand for themselves
        if not terms or isinstance(self.terms, _Own):
            for name, (given, number) in short.items():
                if (term := given or terms.get(name)) is not None:
                    number = term.default_points if number is None else number
                    terms[name] = replace(term, default_points=number)
        _check_terms(self.name, terms)
        object.__setattr__(self, "terms", terms)
        for name in short:
            object.__setattr__(self, name, terms.get(name))
            number = terms[name].default_points if name in terms else 0
            object.__setattr__(self, f"{name}_points", number)

    @property
    def floor(self) -> float:
        """The relative L2 accuracy of the solution: a Reference's, else 0.

        An error below it says nothing.
        """
        return self.solution.accuracy if isinstance(self.solution, Reference) else 0.0

    @cached_property
    def affine(self) -> bool:
        """Whether all terms' residuals are affine in u."""
        return all(term.is_affine(self.outputs) for term in self.terms.values())

    @property
    def order(self) -> int:
        """The highest order of a derivative that a term reads."""
        return max(term.operator.order for term in self.terms.values())

    @property
    def inputs(self) -> int:
        """The numbers that a network sees of a point: a periodic axis gives its waves."""
        return self.dim + sum(2 * axis.modes - 1 for axis in self.periodic.values())

    @property
    def conditions(self) -> tuple[str, ...]:
        """The names of the terms but the equation's."""
        return tuple(name for name in self.terms if name != INTERIOR)

    @property
    def points(self) -> dict[str, int]:
        """The default number of points of every term."""
        return {name: term.default_points for name, term in self.terms.items()}

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every term."""
        return {name: term.weight for name, term in self.terms.items()}

    def with_weights(self, weights: Mapping[str, float]) -> "Problem":
        """Give the problem with other weights of some terms; the same where none differ.

        Raises:
            ValueError: it has no term of a name, or a weight is not a positive number.
        """
        for name in weights:
            if name not in self.terms:
                known = ", ".join(self.terms)
                raise ValueError(f"{self.name} has no term {name!r}: it has {known}")
        if all(self.terms[name].weight == weight for name, weight in weights.items()):
            return self
        weighted = {
            name: replace(term, weight=weights.get(name, term.weight))
            for name, term in self.terms.items()
        }
        return replace(self, terms=weighted)

    @property
    def data(self) -> tuple[Source, ...]:
        """The files that it is made of besides the one that defines it: a Reference's."""
        return (self.solution.source,) if isinstance(self.solution, Reference) else ()

    def batch(self, generator: Generator, points: Mapping[str, int]) -> Batch:
        """Draw so many points of every term with their targets, term by term."""
        return {
            name: term.sample(generator, points[name]) for name, term in self.terms.items()
        }


def _check_terms(problem: str, terms: Mapping[str, Term]) -> None:
    if next(iter(terms), None) != INTERIOR:
        first = f"{next(iter(terms))!r} first" if terms else "no terms"
        raise ValueError(f"{problem} has {first}: must be {INTERIOR!r}, the equation's")
    for name, term in terms.items():
        if not name.isidentifier() or name in RESERVED:
            raise ValueError(
                f"{problem} has a term {name!r}: must be letters, digits and _, "
                f"and none of {', '.join(RESERVED)}"
            )
        if not 0 < term.weight < np.inf:
            raise ValueError(
                f"{problem}: the weight of {name} is {term.weight!r}: "
                "must be a positive number"
            )
