"""Slow, obvious NumPy oracle: residuals, Jacobians, Kronecker factors, Gramian.

Written from the mathematics alone.
Jets carry the full Hessian, contracted with A at the end only; derivatives are complex
steps, no backward pass. Letters: n points, d inputs, m outputs, r residual components, S
jet rows (value, derivatives, curvature), D parameters.
"""

from typing import NamedTuple

import numpy as np

from optbench.problems.problem import Jet

H = 1e-30  # complex step: H² underflows beside 1, so derivatives are exact to rounding


def tanh(z):
    t = np.tanh(z)
    return t, 1 - t**2, -2 * t * (1 - t**2)


def sin(z):
    return np.sin(z), np.cos(z), -np.sin(z)


ACTIVATIONS = {"tanh": tanh, "sin": sin}  # z -> σ, σ′, σ″


class Full(NamedTuple):
    """A layer's units at n points with all first and second derivatives by the inputs."""

    value: np.ndarray  # [n, h]
    gradient: np.ndarray  # [n, d, h]
    hessian: np.ndarray  # [n, d, d, h]


class Linearized(NamedTuple):
    """One term of the loss at n points."""

    residual: np.ndarray  # [n, r]
    # one per layer: [S, n, in + 1], augmented by 1 in the value's row, 0 in the others
    inputs: list
    # one per layer: [r, S, n, out], ∂r_{n,c} / ∂(row s of the layer's output)
    cotangents: list


def flat(params):
    """All matrices row-major in layer order [D]."""
    return np.concatenate([np.ravel(matrix) for matrix in params])


def like(params, vector):
    """The inverse of `flat`: matrices shaped like params."""
    ends = np.cumsum([matrix.size for matrix in params])[:-1]
    return [
        part.reshape(matrix.shape)
        for part, matrix in zip(np.split(vector, ends), params, strict=True)
    ]


def forward(params, x, activation="tanh", nudge=None):
    """(inputs of every layer, output) as Full.

    With nudge = (layer, change), `change` acts on that layer's output.
    """
    n, d = np.shape(x)
    state = Full(np.asarray(x), np.tile(np.eye(d), (n, 1, 1)), np.zeros((n, d, d, d)))
    inputs = []
    for layer, matrix in enumerate(params):
        if layer:
            state = activated(state, activation)
        inputs.append(state)
        W, b = matrix[:, :-1], matrix[:, -1]
        state = Full(state.value @ W.T + b, state.gradient @ W.T, state.hessian @ W.T)
        if nudge and nudge[0] == layer:
            state = nudge[1](state)
    return inputs, state


def activated(state, activation):
    """∇σ(z) = σ′∇z, ∇²σ(z) = σ″ ∇z∇zᵀ + σ′ ∇²z."""
    value, first, second = ACTIVATIONS[activation](state.value)
    outer = np.einsum("nih,njh->nijh", state.gradient, state.gradient)
    hessian = second[:, None, None] * outer + first[:, None, None] * state.hessian
    return Full(value, first[:, None] * state.gradient, hessian)


def jet(state, A):
    """What an operator with diffusion A reads of a state."""
    if A is None:
        return Jet(state.value, None, None)
    return Jet(state.value, state.gradient, np.einsum("ij,nijh->nh", A, state.hessian))


def residual(term, params, points, activation="tanh", nudge=None):
    """r [n, r] of `term` at `points` = (x, y)."""
    x, y = points
    state = forward(params, x, activation, nudge)[1]
    return term.operator.residual(jet(state, term.operator.diffusion), x, y)


def losses(problem, params, batch, activation="tanh"):
    """(interior, boundary): 1/(2n) Σ r² each."""
    terms = zip((problem.interior, problem.boundary), batch, strict=True)
    return tuple(
        np.sum(residual(term, params, at, activation) ** 2) / (2 * len(at[0]))
        for term, at in terms
    )


def jacobian(term, params, points, activation="tanh"):
    """∂r_{n,c}/∂θ [n·r, D]: one complex step per parameter."""
    theta = flat(params)
    nearby = [like(params, theta + step) for step in 1j * H * np.eye(len(theta))]
    return np.stack(
        [residual(term, each, points, activation).imag.ravel() / H for each in nearby], 1
    )


def gramian_and_gradient(problem, params, batch, activation="tanh"):
    """G = Σ_terms JᵀJ/n [D, D] and ∇L = Σ_terms Jᵀr/n [D]."""
    G, gradient = 0, 0
    for term, points in zip((problem.interior, problem.boundary), batch, strict=True):
        J, n = jacobian(term, params, points, activation), len(points[0])
        G = G + J.T @ J / n
        gradient = gradient + J.T @ residual(term, params, points, activation).ravel() / n
    return G, gradient


def linearized(term, params, points, activation="tanh"):
    """Residual, layer inputs and cotangents of `term` at `points` = (x, y)."""
    A = term.operator.diffusion
    states = forward(params, points[0], activation)[0]
    inputs = [rows(state, A) for state in states]
    cotangents = [
        cotangent(term, params, points, activation, layer, len(inputs[0]))
        for layer in range(len(params))
    ]
    return Linearized(residual(term, params, points, activation), inputs, cotangents)


def rows(state, A):
    """The augmented rows (value; 1), (∂ᵢ; 0) …, (tr A∇²; 0), [S, n, in + 1].

    Without A there is the first alone.
    """
    value, gradient, curvature = jet(state, A)
    stacked = (
        value[None]
        if A is None
        else np.stack([value, *np.moveaxis(gradient, 1, 0), curvature])
    )
    bias = np.zeros((*stacked.shape[:2], 1))
    bias[0] = 1  # derivatives of a constant vanish
    return np.concatenate([stacked, bias], 2)


def cotangent(term, params, points, activation, layer, S):
    """q [r, S, n, out] of one layer.

    One complex step per entry of its output's rows, at all points at once.
    """
    units = len(params[layer])
    q = [
        [
            nudged(term, params, points, activation, layer, row, unit).imag / H
            for unit in range(units)
        ]
        for row in range(S)
    ]
    return np.transpose(np.array(q), (3, 0, 2, 1))  # from [S, out, n, r]


def nudged(term, params, points, activation, layer, row, unit):
    """The residual where iH is added to one row's entry of the layer's output."""
    A, d = term.operator.diffusion, np.shape(points[0])[1]

    def change(state):
        value, gradient, hessian = (part.astype(complex) for part in state)
        if row == 0:
            value[:, unit] += 1j * H
        elif row <= d:
            gradient[:, row - 1, unit] += 1j * H
        else:  # any ∇² whose tr(A ∇²) grows by iH
            hessian[..., unit] += 1j * H * A / np.sum(A * A)
        return Full(value, gradient, hessian)

    return residual(term, params, points, activation, (layer, change))


def kronecker_factors(linear, approximation="expand", curvature="type-2"):
    """(A [in + 1, in + 1], B [out, out]) of every layer of a Linearized term."""
    factors = []
    for a, q in zip(linear.inputs, linear.cotangents, strict=True):
        if curvature == "empirical":  # q_{n,s} = Σ_c r_{n,c} q_{n,c,s}
            q = np.einsum("nc,csno->sno", linear.residual, q)[None]
        if approximation == "reduce":
            a, q = a.mean(0, keepdims=True), q.sum(1, keepdims=True)
        S, n = a.shape[:2]
        A = np.einsum("sni,snj->ij", a, a) / (n * S)
        B = (
            np.eye(q.shape[-1])
            if curvature == "forward-only"
            else np.einsum("csno,csnp->op", q, q) / n
        )
        factors.append((A, B))
    return factors
