"""Slow, obvious NumPy oracle: L-BFGS's direction pair by pair, and pairs to try it on."""

import numpy as np


def two_loop(pairs, gradient, dtype):
    """−H g by the two-loop recursion (Nocedal 1980), computed in a type of numbers.

    `pairs` (s, y) are from the oldest to the newest.
    """
    pairs = [(s.astype(dtype), y.astype(dtype)) for s, y in pairs]
    q, weights = -gradient.astype(dtype), []
    for s, y in reversed(pairs):
        weights.insert(0, s @ q / (y @ s))
        q = q - weights[0] * y
    s, y = pairs[-1]
    z = (y @ s) / (y @ y) * q
    for weight, (s, y) in zip(weights, pairs, strict=True):
        z = z + (weight - y @ z / (y @ s)) * s
    return z


def descended(dimension, decades, slots, steps, dtype):
    """The pairs of a descent on a quadratic form, each with the gradient after it.

    The form's eigenvalues span so many decades. The steps are seven tenths of L-BFGS's own.
    """
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(dimension, dimension)))[0]
    matrix = basis * np.logspace(0, -decades, dimension) @ basis.T
    gradient, pairs = matrix @ random.normal(size=dimension), []
    for _ in range(steps):
        direction = two_loop(pairs[-slots:], gradient, float) if pairs else -gradient
        step = 0.7 * direction
        pair = step.astype(dtype), (matrix @ step).astype(dtype)
        gradient = gradient + matrix @ step
        pairs.append(pair)
        yield pair, gradient.astype(dtype)
