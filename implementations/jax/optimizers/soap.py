"""SOAP: Adam in the eigenvectors' basis of Shampoo's factors (arXiv 2409.11321).

Vyas et al. (2024), algorithm 3. For every matrix [W | b], m × n, with its gradient G, step
1 + t (t = 1, 2, …)

1. takes G′ = Q_Lᵀ G Q_R,
2. averages M ← β₁ M + (1 − β₁) G′ and V ← β₂ V + (1 − β₂) G′²,
3. moves θ ← θ − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · Q_L (M / (√V + ε)) Q_Rᵀ,
4. averages L ← β₂ L + (1 − β₂) G Gᵀ and R ← β₂ R + (1 − β₂) Gᵀ G, and
5. where `interval` divides t, turns Q_L and Q_R towards the eigenvectors of L and R by one
   subspace iteration, and M and V with them.

The first step of all only makes L, R and, by three iterations from the identity, Q_L and
Q_R: the parameters do not move.

| paper | here | |
|---|---|---|
| L, R | `L`, `R` | Shampoo's factors |
| Q_L, Q_R | `Q_L`, `Q_R` | nearly their eigenvectors, those of large eigenvalues first |
| M, V | `M`, `V` | Adam's moments in that basis |
| f | `interval` | |
| ε | `eps` | |

Two things differ from the authors' code. A bias is a column of its layer's matrix here;
theirs leaves it to plain Adam. And the iterations begin at the identity, with L + σ tr(L)/m
in place of L (σ is `shift`), where theirs begin at the eigenvectors that a solver gives: G
has lower rank than m or n, so that L or R has a null space, in which a solver chooses by
rounding. That moves the parameters by 2 % in five steps.
"""

from typing import ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.hyperparameters import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Share,
    optimizer,
)
from optbench.implementations.jax.passes.parameters import Params
from optbench.implementations.jax.solvers.control_flow import fori_loop, when
from optbench.implementations.jax.solvers.learning_rate import (
    Progress,
    after,
    learning_rate,
    start,
    tell,
)
from optbench.implementations.protocol import Losses, Objective, Optimizer
from optbench.problems.problem import Batch

BEGINNING = 3  # iterations from the identity in the first step


class Layer(NamedTuple):
    """What SOAP remembers of a layer's matrix [m, n]."""

    L: Array  # moving average of G Gᵀ [m, m]
    R: Array  # moving average of Gᵀ G [n, n]
    Q_L: Array  # orthogonal [m, m]
    Q_R: Array  # orthogonal [n, n]
    M: Array  # moving average of G′ = Q_Lᵀ G Q_R [m, n]
    V: Array  # moving average of its square [m, n]


class State(NamedTuple):
    """What SOAP remembers."""

    step: Array  # steps done
    layers: list[Layer]
    progress: Progress | tuple[()]  # of a learning rate that changes


@optimizer
class SOAP(Optimizer):
    """Adam in a basis that turns slowly."""

    name: ClassVar[str] = "soap"
    version: ClassVar[int] = 1

    learning_rate: Positive = 1e-2
    beta1: Fraction = 0.95
    beta2: Fraction = 0.95
    eps: Positive = 1e-8
    interval: Count = 10  # steps from one turn of the basis to the next
    shift: NonNegative = 1e-4  # of the factors, in units of their mean eigenvalue
    schedule: Literal["constant", "cosine", "exponential"] = "constant"  # after the warm-up
    schedule_steps: Count | None = (
        None  # its length with the warm-up; None: the run's budget, seconds or steps
    )
    schedule_end: Share = 0.01  # of the learning rate that is left at its end
    warm_up: Fraction = (
        0.0  # the share of its length in which the learning rate rises from 0
    )

    def init(self, objective: Objective, params: Params) -> State:
        """Begin without factors and moments, in the parameters' own basis."""
        return State(
            jnp.zeros((), int), [beginning(m) for m in params], start(self, params)
        )

    def step(
        self, objective: Objective, params: Params, state: State, batch: Batch
    ) -> tuple[Params, State, Losses]:
        """Do one step; the losses are those before it."""
        losses, gradient = objective.gradient(params, batch)
        step = state.step
        params, layers = when(
            step == 0,
            lambda: (params, state.layers),
            lambda: descended(self, params, gradient, state),
        )
        layers = [
            gathered(self, layer, G) for layer, G in zip(layers, gradient, strict=True)
        ]
        turns = (step % self.interval == 0) * (1 + (BEGINNING - 1) * (step == 0))
        layers = fori_loop(
            turns, lambda _, layers: [turned(self, layer) for layer in layers], layers
        )
        return params, State(step + 1, layers, after(state.progress)), losses

    def progress(self, state: State, share: float) -> State:
        """Tell the schedule the share of the run's budget that is spent."""
        return tell(self, state, share)


def beginning(matrix: Array) -> Layer:
    """Make zeros, and identities for the basis, of a layer's matrix [m, n]."""
    m, n = matrix.shape
    L, R, M, V = (
        jnp.zeros(shape, matrix.dtype) for shape in ((m, m), (n, n), (m, n), (m, n))
    )
    Q_L, Q_R = (jnp.eye(size, dtype=matrix.dtype) for size in (m, n))
    return Layer(L, R, Q_L, Q_R, M, V)


def descended(
    options: SOAP, params: Params, gradient: Params, state: State
) -> tuple[Params, list[Layer]]:
    """Do Adam's step in the present basis (1 to 3)."""
    # in float64 as in the twin: 1 − β₂ᵗ of a float32 β₂ is wrong by 1e-5
    unbias = 1 - jnp.array([options.beta1, options.beta2]) ** state.step
    correction = (unbias[1] ** 0.5 / unbias[0]).astype(params[0].dtype)
    rate = learning_rate(options, state.progress) * correction
    moved, layers = [], []
    for matrix, G, layer in zip(params, gradient, state.layers, strict=True):
        seen = layer.Q_L.T @ G @ layer.Q_R
        M = options.beta1 * layer.M + (1 - options.beta1) * seen
        V = options.beta2 * layer.V + (1 - options.beta2) * seen * seen
        direction = layer.Q_L @ (M / (jnp.sqrt(V) + options.eps)) @ layer.Q_R.T
        moved.append(matrix - rate * direction)
        layers.append(layer._replace(M=M, V=V))
    return moved, layers


def gathered(options: SOAP, layer: Layer, G: Array) -> Layer:
    """Average the factors over the steps, with those of a gradient [m, n] (4)."""
    return layer._replace(
        L=options.beta2 * layer.L + (1 - options.beta2) * G @ G.T,
        R=options.beta2 * layer.R + (1 - options.beta2) * G.T @ G,
    )


def turned(options: SOAP, layer: Layer) -> Layer:
    """Turn the basis towards the factors' eigenvectors, and the moments with it (5)."""
    Q_L, rows = iterated(options, layer.L, layer.Q_L)
    Q_R, columns = iterated(options, layer.R, layer.Q_R)
    M = (Q_L.T @ layer.Q_L) @ layer.M @ (layer.Q_R.T @ Q_R)
    # squares cannot be turned: they stay with the vector that was theirs
    V = layer.V[rows][:, columns]
    return layer._replace(Q_L=Q_L, Q_R=Q_R, M=M, V=V)


def iterated(options: SOAP, factor: Array, Q: Array) -> tuple[Array, Array]:
    """Do one subspace iteration of a basis [n, n] with a factor [n, n].

    Returns the new basis and the order in which it takes the old one's vectors: the largest
    Rayleigh quotient first. The vectors' signs mean nothing.
    """
    product = factor @ Q
    order = jnp.argsort((Q * product).sum(0), descending=True, stable=True)
    shifted = product + options.shift * factor.trace() / len(factor) * Q
    return jnp.linalg.qr(shifted[:, order])[0], order
