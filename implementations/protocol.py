"""Optimizer, objective and backend in either framework: their shapes and contracts.

Sizes are in brackets: n points in d dimensions, m outputs of the network, r components of a
residual, D parameters in all, and S channels of a jet: the value and the derivatives that
an operator reads, or S = 1 for the value alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import Field, dataclass
from functools import reduce
from operator import add
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from optbench.problems.problem import Batch, Problem

Array = Any  # of either framework
Tree = Any  # arrays in lists, tuples and named tuples
Params = list[Array]  # one matrix [W | b] per layer, [out, in + 1]


class Losses(NamedTuple):
    """The terms of the loss by name, in the problem's order, weights included."""

    terms: dict[str, Array]  # w/(2n) Σ r²

    @property
    def total(self) -> Array:
        """L, their sum."""
        return reduce(add, self.terms.values())


class LayerInputs(Protocol):
    """A layer's inputs a [S, n, in], stored as channels or in closed form."""

    def linear(self, matrix: Array) -> Array:
        """Apply a layer [W | b]: W a [S, n, out], with b added to the value alone."""
        ...

    def weigh(self, cotangents: Array) -> Array:
        """Sum q aᵀ [out, in + 1] over points and channels of cotangents q [S, n, out]."""
        ...

    def full(self) -> Array:
        """Write the inputs out [S, n, in + 1], with the bias's coordinate."""
        ...

    def square(self) -> Array:
        """Sum a aᵀ [in, in] over points and channels."""
        ...

    def value(self) -> Array:
        """Give the value's channel [n, in]."""
        ...

    def mean(self) -> Array:
        """Average over the channels [n, in]."""
        ...

    def channels(self) -> int:
        """Count the channels, S."""
        ...


class Linearization(NamedTuple):
    """A term's residual and the factors of its Jacobian, without the term's weight.

    In every layer, ∂r_{n,c}/∂[W | b] = Σ_s q_{n,c,s} a_{n,s}ᵀ with the layer's inputs a
    and the cotangents q of its outputs.
    """

    residual: Array  # [n, r]
    inputs: list[LayerInputs]  # per layer: a [S, n, in]
    cotangents: list[Array]  # per layer: q [r, S, n, out]


class Objective(Protocol):
    """L = Σ_k w_k/(2 n_k) Σ_n ‖r_k(x_{k,n})‖² for networks of one name.

    A batch has x [n, d] and y [n, r] of every term, by its name. Whatever takes a batch
    raises ValueError where shapes or types do not fit each other. What is given of every
    term is a dictionary in the order of the problem's terms.
    """

    @property
    def problem(self) -> Problem:
        """The problem whose residuals these are."""
        ...

    def predict(self, params: Params, x: Array) -> Array:
        """Evaluate u [n, m] at the points x [n, d]."""
        ...

    def residuals(self, params: Params, batch: Batch) -> dict[str, Array]:
        """Evaluate every term's r [n, r]."""
        ...

    def losses(self, params: Params, batch: Batch) -> Losses:
        """Evaluate every term of the loss."""
        ...

    def loss(self, params: Params, batch: Batch) -> Array:
        """Evaluate L, the sum of the terms."""
        ...

    def loss_of_each(self, many: Params, batch: Batch) -> Array:
        """Evaluate L [k] of k sets of parameters [k, out, in + 1] in one pass."""
        ...

    def residuals_of_each(self, many: Params, batch: Batch) -> dict[str, Array]:
        """Evaluate every term's r [k, n, r] of k sets of parameters in one pass."""
        ...

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """Compute the losses and ∇L, one matrix [out, in + 1] per layer."""
        ...

    def hessian_product(self, params: Params, batch: Batch, directions: Params) -> Params:
        """Multiply ∇²L by a direction: both are one matrix [out, in + 1] per layer."""
        ...

    def linearize(self, params: Params, batch: Batch) -> dict[str, Linearization]:
        """Compute every term's residual with the factors of its Jacobian."""
        ...

    def linearize_chunks(self, params: Params, batch: Batch) -> dict[str, Tree]:
        """Compute the same in chunks of the points, trees for `passes.chunks`."""
        ...

    def mean_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Average a function of linearizations over each term's points.

        The function gives means over the points of a linearization, without the weight.
        """
        ...

    def joined_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Join, for each term, arrays [n, …] that a function of linearizations gives."""
        ...

    def weighted_losses(self, halves: dict[str, Array]) -> Losses:
        """Weigh the terms' half mean squares 1/(2n) Σ r²."""
        ...

    def weighted_sum(self, parts: dict[str, Params]) -> Params:
        """Sum the terms' parts of ∇L, or other matrices, with their weights."""
        ...


class Optimizer(ABC):
    """A method with its hyperparameters, which are the fields of a frozen dataclass.

    A subclass has a `name`, a `version`, `init` and `step`, and in a user's file a
    `framework`; the other methods have defaults for optimizers that need nothing of the
    kind. `@optimizer` gives them to a class that does not name this base, too.
    """

    name: ClassVar[str]
    version: ClassVar[int]  # raised whenever a trajectory changes
    framework: ClassVar[str]  # of one in a user's file: "torch" or "jax"
    # fields that came after runs of this version had been published
    later: ClassVar[tuple[str, ...]] = ()
    # whether it is refused in lower precision, where its rounding leaves it no direction
    float64_only: ClassVar[bool] = False
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init__(self, **hyperparameters: object) -> None:
        """Take hyperparameters by name; `@optimizer` writes this for the fields of a class.

        Raises:
            pydantic.ValidationError: a name or a value is wrong, a ValueError.
        """
        raise TypeError(f"{type(self).__name__} is not under @optimizer")

    @abstractmethod
    def init(self, objective: Objective, params: Params) -> Tree:
        """Make the first state: a named tuple of arrays, nested if need be."""

    @abstractmethod
    def step(
        self, objective: Objective, params: Params, state: Tree, batch: Batch
    ) -> tuple[Params, Tree, Losses]:
        """Compute new parameters, the new state, and the losses *before* the step.

        A step changes none of its arguments. It may be compiled: it cannot raise, and where
        it fails, the state says so and `check` raises.
        """

    def check(self, state: Tree) -> None:
        """Raise what a compiled step could not: FactorisationFailed, or Stalled.

        Stalled says that no further step would move the parameters on this batch, which a
        run ends with unless its points are drawn anew.
        """
        return

    def ends(self, state: Tree) -> "bool | Array":
        """Say whether `check` raises, without asking the device; False by default.

        A block of steps ends there.
        """
        return False

    def progress(self, state: Tree, share: float) -> Tree:
        """Tell the state the share, 0 to 1, of the run's budget that is spent.

        It is called before every step, outside the clock but for blocks of steps. By
        default the state stays as it is.
        """
        return state

    def working(self, objective: Objective, params: Params, batch: Batch) -> int:
        """Estimate how many numbers the matrices of a step hold; 0 by default.

        A run that cannot have so much memory ends before its first step.
        """
        return 0

    def counters(self, state: Tree) -> dict[str, Array]:
        """Read what the steps so far have counted; nothing by default.

        Names are "stalls" (steps that did not move the parameters, as the search sees them:
        a record has the run's own count), "evaluations" (of the loss, by a line search) and
        "iterations" (of conjugate gradients).
        """
        return {}


class Backend(Protocol):
    """A framework's module for arrays, devices and memory."""

    __package__: str | None
    reads: int  # how often steps of this process asked the device for numbers

    def allow_tf32(self, allowed: bool) -> None:
        """Allow or forbid a GPU to round factors of float32 products to TF32's 10 bits."""
        ...

    def from_numpy(self, array: np.ndarray) -> Array:
        """Copy an array to the device, in its own type."""
        ...

    def to_numpy(self, array: Array, /) -> np.ndarray:
        """Copy an array's numbers from the device; waits for them."""
        ...

    def from_numpy_tree(self, tree: Tree) -> Tree:
        """Apply `from_numpy` to every array of a tree."""
        ...

    def to_numpy_tree(self, tree: Tree) -> Tree:
        """Apply `to_numpy` to every array of a tree."""
        ...

    def compile(self, function: Callable, donate: tuple[int, ...] = ()) -> Callable:
        """Make the function that the runner calls.

        It may write its results over the arguments at the positions in `donate`.
        """
        ...

    def wait(self, tree: Tree) -> None:
        """Return when all work behind the arrays of a tree is done."""
        ...

    def reset_peak_memory(self) -> None:
        """Begin a new peak for `peak_memory`."""
        ...

    def peak_memory(self) -> int | None:
        """Measure the most bytes held since `reset_peak_memory`; None if not known."""
        ...

    def free_memory(self) -> int:
        """Measure the free bytes of the GPU's memory, or of the machine's on a CPU."""
        ...

    def state_bytes(
        self, optimizer: Optimizer, objective: Objective, params: Params
    ) -> int:
        """Count the bytes of an optimizer's state, without allocating them."""
        ...

    def device_name(self) -> str:
        """Name the accelerator, or "cpu"."""
        ...


@dataclass(frozen=True)
class Framework:
    """What a framework offers: its optimizers by name, its objective, its backend."""

    name: str
    OPTIMIZERS: dict[str, type[Optimizer]]
    Objective: Callable[..., Objective]  # of a problem, a network's name and a seed
    backend: Backend
    compile_block: Callable[..., Callable]  # of an optimizer and an objective: `blocks`


class StepSize(Protocol):
    """The hyperparameters that a line search reads."""

    @property
    def learning_rate(self) -> float | None:
        """A constant step size, or None for the line search."""
        ...

    @property
    def line_search(self) -> str:
        """Which search: "grid", the descent on the grid, or "grid_exhaustive"."""
        ...


class Schedule(Protocol):
    """The hyperparameters that a schedule of learning rates reads."""

    @property
    def learning_rate(self) -> float:
        """The learning rate after the warm-up."""
        ...

    @property
    def schedule(self) -> str:
        """The shape after the warm-up: "constant", "cosine" or "exponential"."""
        ...

    @property
    def schedule_steps(self) -> int | None:
        """The length in steps, with the warm-up; None for the run's budget."""
        ...

    @property
    def schedule_end(self) -> float:
        """The share of the learning rate that is left at the end."""
        ...

    @property
    def warm_up(self) -> float:
        """The share of the length in which the learning rate rises from 0."""
        ...


class Preconditioning(Protocol):
    """The hyperparameters that KFAC's preconditioner reads."""

    @property
    def damping(self) -> float:
        """λ."""
        ...

    @property
    def decay(self) -> float:
        """The share of the past in the factors' moving averages."""
        ...

    @property
    def identity_init(self) -> bool:
        """Whether the factors begin as identities, or else as zeros."""
        ...

    @property
    def factor_interval(self) -> int:
        """The number of steps from one update of the factors to the next."""
        ...

    @property
    def inverse_interval(self) -> int:
        """The number of steps from one inversion to the next."""
        ...

    @property
    def approximation(self) -> str:
        """How channels enter the factors: "expand" or "reduce"."""
        ...

    @property
    def curvature(self) -> str:
        """The matrix approximated: "type-2", "empirical" or "forward-only"."""
        ...

    @property
    def damping_rule(self) -> str:
        """How λ is shared between a block's two factors: "same" or "trace-norm"."""
        ...
