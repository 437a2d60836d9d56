"""Slow, obvious NumPy oracle: residuals, Jacobians, Kronecker factors, Gramian.

Written from the mathematics alone. Along a line a network is a power series, which goes
through an activation by the recurrence of its differential equation; a trace is a sum over
second derivatives along its matrix's eigenvectors. Derivatives by parameters are complex
steps, no backward pass.

Letters: n points, d inputs, m outputs, r residual components, S channels, D parameters.
"""

from math import factorial
from typing import NamedTuple

import numpy as np

from optbench.problems import networks, seeds
from optbench.problems.problem import INTERIOR, Jet

H = 1e-30  # complex step: H² underflows beside 1, so derivatives are exact to rounding


def tanh(z):
    t = np.tanh(z)
    return t, 1 - t**2, -2 * t * (1 - t**2)


def sin(z):
    return np.sin(z), np.cos(z), -np.sin(z)


def cos(z):
    return np.cos(z), -np.sin(z), -np.cos(z)


def tanh_series(z):
    """T of T′ = (1 - T²) z′, coefficient by coefficient."""
    t = [np.tanh(z[0])]
    for k in range(1, len(z)):
        slopes = [
            (j == k) - sum(t[i] * t[k - j - i] for i in range(k - j + 1))
            for j in range(1, k + 1)
        ]
        t.append(sum(j * z[j] * slopes[j - 1] for j in range(1, k + 1)) / k)
    return t


def waves(z):
    """S and C of S′ = C z′, C′ = -S z′."""
    s, c = [np.sin(z[0])], [np.cos(z[0])]
    for k in range(1, len(z)):
        s.append(sum(j * z[j] * c[k - j] for j in range(1, k + 1)) / k)
        c.append(-sum(j * z[j] * s[k - j] for j in range(1, k + 1)) / k)
    return s, c


ACTIVATIONS = {"tanh": tanh, "sin": sin, "cos": cos}  # z -> σ, σ′, σ″
SERIES = {  # the coefficients of a power series z -> those of σ(z)
    "tanh": tanh_series,
    "sin": lambda z: waves(z)[0],
    "cos": lambda z: waves(z)[1],
}


class Units(NamedTuple):
    """Units at n points with their derivatives by the raw coordinates."""

    value: np.ndarray  # [n, h]
    lines: list  # of each line of order K: coefficients [K, n, h] of ε, ε², …
    # of each trace: coefficients [2, k, n, h] of ε and ε² along its eigenvectors
    bends: list
    shifts: list  # of each trace: what it is beside tr(A ∇²), [n, h]; zero but for a nudge


class Linearized(NamedTuple):
    """One term of the loss at n points."""

    residual: np.ndarray  # [n, r]
    # one per layer: [S, n, in + 1], augmented by 1 in the value's channel, 0 in the others
    inputs: list
    # one per layer: [r, S, n, out], ∂r_{n,c} / ∂(channel s of the layer's output)
    cotangents: list


class Network(NamedTuple):
    """A network but for its parameters: its activation, and what it sees of a point."""

    activation: str = "tanh"
    see: object = lambda units: units


TANH = Network()


class Channels(NamedTuple):
    """What an operator reads, at n points."""

    lines: list  # (direction [n, d], order)
    traces: list  # eigenvalues [k, n] of A, its eigenvectors [k, n, d]
    slopes: dict  # axis -> the line along it


def channels(operator, x):
    """The lines and traces of an operator: the value is always read."""
    n, d = np.shape(x)
    if operator.diffusion is not None:
        lines = [(np.tile(unit, (n, 1)), 1) for unit in np.eye(d)]
        A = np.tile(operator.diffusion, (n, 1, 1))
        return Channels(lines, [spectral(A)], {axis: axis for axis in range(d)})
    lines, slopes = [], {}
    for number, (direction, order) in enumerate(operator.layout.lines):
        if callable(direction):
            v = columns(direction(x))
        else:
            v = np.zeros((n, d))
            for axis, component in direction:
                v[:, axis] = component
            if list(direction) == [(direction[0][0], 1.0)]:
                slopes[direction[0][0]] = number
        lines.append((v, order))
    traces = []
    for axes, matrix in operator.layout.families:
        A = (
            columns(matrix(x))
            if callable(matrix)
            else np.tile(matrix, (n, *[1] * matrix.ndim))
        )
        A = A if A.ndim == 3 else np.stack([np.diag(row) for row in A])
        whole = np.zeros((n, d, d))
        whole[:, np.array(axes)[:, None], np.array(axes)] = A
        traces.append(spectral(whole))
    return Channels(lines, traces, slopes)


def spectral(A):
    """Eigenvalues [k, n] and eigenvectors [k, n, d] of symmetric matrices [n, d, d]."""
    if all(np.array_equal(each, np.diag(np.diag(each))) for each in A):
        values = np.einsum("nii->in", A)
        vectors = np.tile(np.eye(A.shape[1])[:, None], (1, len(A), 1))
    else:
        values, vectors = np.linalg.eigh(A)
        values, vectors = values.T, np.transpose(vectors, (2, 0, 1))
    kept = values.any(1)
    return values[kept], vectors[kept]


def columns(v):
    return np.stack(v, 1) if isinstance(v, list | tuple) else v


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


def start(read, x):
    """The points themselves."""
    n, d = np.shape(x)
    lines = [
        np.concatenate([v[None], np.zeros((order - 1, n, d))]) for v, order in read.lines
    ]
    bends = [np.stack([vectors, 0 * vectors]) for _, vectors in read.traces]
    return Units(np.asarray(x), lines, bends, [np.zeros((n, d))] * len(read.traces))


def linear(units, W, b):
    """W times every derivative, b on the value alone."""
    value, lines, bends, shifts = units
    return Units(
        value @ W.T + b,
        [line @ W.T for line in lines],
        [bend @ W.T for bend in bends],
        [shift @ W.T for shift in shifts],
    )


def activated(units, activation):
    """Power series by their recurrence; what is linear in a shift by σ′."""
    value, lines, bends, shifts = units
    sigma, first, _ = ACTIVATIONS[activation](value)
    return Units(
        sigma,
        series_of(activation, value, lines),
        [np.stack(SERIES[activation]([value, *bend])[1:]) for bend in bends],
        [first * shift for shift in shifts],
    )


def series_of(activation, value, lines):
    """The lines of σ(z), those of one order together."""
    result = [None] * len(lines)
    for order in {len(line) for line in lines}:
        which = [number for number, line in enumerate(lines) if len(line) == order]
        together = np.stack([lines[number] for number in which], axis=1)
        passed = np.stack(SERIES[activation]([value, *together])[1:])
        for place, number in enumerate(which):
            result[number] = passed[:, place]
    return result


def side_by_side(parts):
    """Units next to each other."""
    value, lines, bends, shifts = zip(*parts, strict=True)
    return Units(
        np.concatenate(value, -1),
        [np.concatenate(line, -1) for line in zip(*lines, strict=True)],
        [np.concatenate(bend, -1) for bend in zip(*bends, strict=True)],
        [np.concatenate(shift, -1) for shift in zip(*shifts, strict=True)],
    )


def network(problem, name, seed=0):
    """The network of a name, with what it sees of a problem's points."""
    parsed = networks.parse(name)

    def coordinates(units):
        seen = []
        for axis in range(problem.dim):
            unit = np.eye(problem.dim)[axis : axis + 1]
            if axis in problem.periodic:
                period, modes = problem.periodic[axis]
                for mode in range(1, modes + 1):
                    z = linear(units, 2 * np.pi * mode / period * unit, 0.0)
                    seen += [activated(z, "cos"), activated(z, "sin")]
            elif parsed.box is None:
                seen.append(linear(units, unit, 0.0))
            else:  # (lower, upper) -> (-box, box)
                lower, upper = (bound[axis] for bound in problem.bounds)
                scale = 2 * parsed.box / (upper - lower)
                seen.append(linear(units, scale * unit, -parsed.box - scale * lower))
        return side_by_side(seen)

    def see(units):
        if problem.periodic or parsed.box is not None:
            units = coordinates(units)
        if not parsed.features:
            return units
        shape = parsed.features, units.value.shape[1]
        frequencies = seeds.stream(seed, "features").normal(0, parsed.spread, shape)
        z = linear(units, frequencies, 0.0)
        return side_by_side([activated(z, "cos"), activated(z, "sin")])

    return Network(parsed.activation, see)


def forward(operator, params, x, made=TANH, nudge=None):
    """(inputs of every layer, output) as Units.

    With nudge = (layer, change), `change` acts on that layer's output.
    """
    read = channels(operator, x)
    units, inputs = made.see(start(read, x)), []
    for layer, matrix in enumerate(params):
        if layer:
            units = activated(units, made.activation)
        inputs.append(units)
        units = linear(units, matrix[:, :-1], matrix[:, -1])
        if nudge and nudge[0] == layer:
            units = nudge[1](units)
    return inputs, units


def stacked(units, read):
    """The channels [S, n, h]: the value, derivatives along the lines, traces."""
    derivatives = [
        factorial(k) * coefficient
        for line in units.lines
        for k, coefficient in enumerate(line, start=1)
    ]
    traces = [
        2 * np.einsum("kn,knh->nh", values, bend[1]) + shift
        for (values, _), bend, shift in zip(
            read.traces, units.bends, units.shifts, strict=True
        )
    ]
    return np.stack([units.value, *derivatives, *traces])


def jet(operator, units, x):
    """What an operator reads of units."""
    rows = stacked(units, channels(operator, x))
    if operator.diffusion is None:
        return operator.jet(rows)
    return Jet(rows[0], np.moveaxis(rows[1:-1], 0, 1), rows[-1])


def residual(term, params, points, made=TANH, nudge=None):
    """r [n, r] of `term` at `points` = (x, y)."""
    x, y = points
    units = forward(term.operator, params, x, made, nudge)[1]
    result = term.operator.residual(jet(term.operator, units, x), x, y)
    return np.concatenate(result, 1) if isinstance(result, tuple | list) else result


def losses(problem, params, batch, made=TANH):
    """w/(2n) Σ r² of every term by name."""
    return {
        name: term.weight
        * np.sum(residual(term, params, batch[name], made) ** 2)
        / (2 * len(batch[name][0]))
        for name, term in problem.terms.items()
    }


def loss(problem, params, batch, made=TANH):
    """L, their sum."""
    return sum(losses(problem, params, batch, made).values())


def jacobian(term, params, points, made=TANH):
    """∂r_{n,c}/∂θ [n·r, D]: one complex step per parameter."""
    theta = flat(params)
    nearby = [like(params, theta + step) for step in 1j * H * np.eye(len(theta))]
    return np.stack(
        [residual(term, each, points, made).imag.ravel() / H for each in nearby], 1
    )


def weighted_rows(problem, params, batch, made=TANH):
    """J [N, D] and r [N] of all terms, the rows times √(w/n)."""
    J, r = [], []
    for name, term in problem.terms.items():
        root = np.sqrt(term.weight / len(batch[name][0]))
        J.append(root * jacobian(term, params, batch[name], made))
        r.append(root * residual(term, params, batch[name], made).ravel())
    return np.concatenate(J), np.concatenate(r)


def gramian_and_gradient(problem, params, batch, made=TANH):
    """G = Σ_k w/n JᵀJ [D, D] and ∇L = Σ_k w/n Jᵀr [D]."""
    J, r = weighted_rows(problem, params, batch, made)
    return J.T @ J, J.T @ r


def linearized(term, params, points, made=TANH):
    """Residual, layer inputs and cotangents of `term` at `points` = (x, y)."""
    read = channels(term.operator, points[0])
    inputs = [
        augmented(stacked(units, read))
        for units in forward(term.operator, params, points[0], made)[0]
    ]
    cotangents = [
        cotangent(term, params, points, made, layer, len(inputs[0]))
        for layer in range(len(params))
    ]
    return Linearized(residual(term, params, points, made), inputs, cotangents)


def augmented(rows):
    """The channels with the bias's coordinate [S, n, in + 1]."""
    bias = np.zeros((*rows.shape[:2], 1))
    bias[0] = 1  # derivatives of a constant vanish
    return np.concatenate([rows, bias], 2)


def cotangent(term, params, points, made, layer, S):
    """q [r, S, n, out] of one layer.

    One complex step per entry of its output's channels, at all points at once.
    """
    units = len(params[layer])
    q = [
        [
            nudged(term, params, points, made, layer, channel, unit).imag / H
            for unit in range(units)
        ]
        for channel in range(S)
    ]
    return np.transpose(np.array(q), (3, 0, 2, 1))  # from [S, out, n, r]


def nudged(term, params, points, made, layer, channel, unit):
    """The residual where iH is added to one channel's entry of the layer's output."""
    read = channels(term.operator, points[0])
    places = [(line, k) for line, (_, order) in enumerate(read.lines) for k in range(order)]

    def change(units):
        value = units.value.astype(complex)
        lines = [line.astype(complex) for line in units.lines]
        bends = [bend.astype(complex) for bend in units.bends]
        shifts = [shift.astype(complex) for shift in units.shifts]
        if channel == 0:
            value[:, unit] += 1j * H
        elif channel <= len(places):
            line, k = places[channel - 1]
            lines[line][k, :, unit] += 1j * H / factorial(k + 1)
            # the traces read the same slope
            for axis, along in read.slopes.items():
                if (line, k) == (along, 0):
                    for bend, (_, vectors) in zip(bends, read.traces, strict=True):
                        bend[0, :, :, unit] += 1j * H * vectors[:, :, axis]
        else:
            shifts[channel - 1 - len(places)][:, unit] += 1j * H
        return Units(value, lines, bends, shifts)

    return residual(term, params, points, made, (layer, change))


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


def merged_factors(problem, factors):
    """(A, B, A_c, B_c) of every layer: of the equation, and of all conditions together.

    `factors` are those of every term by name. Weights enter B alone.
    """
    weights = problem.weights
    layers = []
    for layer in range(len(factors[INTERIOR])):
        A, B = factors[INTERIOR][layer]
        A_c = sum(weights[k] * factors[k][layer][0] for k in problem.conditions)
        A_c = A_c / sum(weights[k] for k in problem.conditions)
        B_c = sum(weights[k] * factors[k][layer][1] for k in problem.conditions)
        layers.append((A, weights[INTERIOR] * B, A_c, B_c))
    return layers
