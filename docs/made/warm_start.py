"""How far KFAC's direction is off where its inverse is refreshed from the last step's.

`python docs/made/warm_start.py` prints the table of docs/notebook.md as Markdown, in about
a minute on a core.

A refresh takes the last step's basis K and refines it for the new factors, by sweeps of
Ogita and Aishima (2018, doi 10.1007/s13160-018-0310-3), algorithm 1, with a matrix in place
of the identity: products alone, which a GPU does faster than an eigendecomposition.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optbench import implementations, problems
from optbench.implementations.jax.optimizers.kfac import KFAC, damped, invert
from optbench.implementations.jax.solvers.linear_algebra import KroneckerSum

Array = Any

PROBLEM, NETWORK = "poisson_sine_2d", "tanh_64"
OPTIONS = KFAC(damping=1e-5, decay=0.9, momentum=0.5)
AFTER = (1, 5, 20, 50)  # steps
SWEEPS = (1, 2, 4)


def refined(K: Array, reference: Array, matrix: Array, sweeps: int) -> tuple[Array, Array]:
    """Refine K with Kᵀ reference K ≈ I and Kᵀ matrix K ≈ diag(s); s and K."""
    off = 1 - jnp.eye(len(K))
    for _ in range(sweeps):
        R, S = jnp.eye(len(K)) - K.T @ reference @ K, K.T @ matrix @ K
        s = jnp.diag(S) / (1 - jnp.diag(R))
        gaps = s[None, :] - s[:, None]
        least = 2 * (jnp.linalg.norm(S * off) + jnp.linalg.norm(S) * jnp.linalg.norm(R))
        apart = jnp.abs(gaps) > least
        E = jnp.where(apart, (S + s[None, :] * R) / jnp.where(apart, gaps, 1), R / 2)
        K = K + K @ E
    R, S = jnp.eye(len(K)) - K.T @ reference @ K, K.T @ matrix @ K
    return jnp.diag(S) / (1 - jnp.diag(R)), K


@partial(jax.jit, static_argnames="sweeps")
def refreshed(last: list[KroneckerSum], factors: list[Any], sweeps: int) -> list[Any]:
    """Make the inverses of new factors from the last step's."""
    inverses = []
    for before, layer in zip(last, factors, strict=True):
        A, B, A_c, B_c = damped(OPTIONS, layer)
        of_left, left = refined(before.left, B, B_c, sweeps)
        of_right, right = refined(before.right, A, A_c, sweeps)
        inverses.append(KroneckerSum(left, right, 1 + jnp.outer(of_left, of_right)))
    return inverses


def rounded(factors: list[Any], generator: np.random.Generator) -> list[Any]:
    """Change every number of the factors by rounding, symmetrically."""

    def change(factor: Array) -> Array:
        noise = generator.uniform(-1, 1, factor.shape) * np.finfo(float).eps
        return factor * (1 + noise + noise.T)

    return [type(layer)(*map(change, layer)) for layer in factors]


def rows() -> Iterator[str]:
    """Walk with exact inverses, and give how far other directions are off on the way."""
    problem, framework = problems.get(PROBLEM), implementations.load("jax")
    to_arrays = framework.backend.from_numpy_tree
    params = to_arrays(problems.networks.initial_parameters(NETWORK, problem.inputs, 1, 0))
    batch = to_arrays(problems.seeds.batch(problem, 0, 0, problem.points))
    objective = framework.Objective(problem, NETWORK)
    step = jax.jit(partial(OPTIONS.step, objective))
    gradient_of, inverted = jax.jit(objective.gradient), jax.jit(partial(invert, OPTIONS))
    state, generator = OPTIONS.init(objective, params), np.random.default_rng(0)
    for number in range(1, max(AFTER) + 2):
        before = state.preconditioner.inverses
        _, gradient = gradient_of(params, batch)
        params, state, _ = step(params, state, batch)
        if number - 1 not in AFTER:
            continue
        factors = state.preconditioner.factors

        def direction(inverses: list[Any], gradient: Any = gradient) -> np.ndarray:
            pairs = zip(inverses, gradient, strict=True)
            return np.concatenate([np.ravel(each.solve(part)) for each, part in pairs])

        exact = direction(state.preconditioner.inverses)
        others = [inverted(rounded(factors, generator))]
        others += [refreshed(before, factors, sweeps) for sweeps in SWEEPS]
        far = [np.linalg.norm(direction(each) - exact) for each in others]
        cells = " | ".join(f"{each / np.linalg.norm(exact):.1e}" for each in far)
        yield f"| {number - 1} | {cells} |"


if __name__ == "__main__":
    sweeps = " | ".join(f"{number} sweep{'s' * (number > 1)}" for number in SWEEPS)
    print(f"| after steps | rounding | {sweeps} |")
    print(f"|--:|--:|{'--:|' * len(SWEEPS)}")
    for row in rows():
        print(row)
