"""Slow, obvious NumPy oracle: n steps of SOAP and Muon, written from the formulas alone.

SOAP keeps its first moment in the parameters' own basis, and Muon works on singular values.
"""

import numpy as np
from oracle import TANH, gramian_and_gradient, like


def gradients(problem, params, batch, network):
    return like(params, gramian_and_gradient(problem, params, batch, network)[1])


def turned_basis(factor, Q, shift):
    """One subspace iteration with factor + shift·(mean eigenvalue)·I; the order of Q."""
    quotients = [q @ factor @ q for q in Q.T]
    order = sorted(range(len(Q)), key=lambda i: -quotients[i])  # stable
    shifted = factor + shift * np.mean(np.diag(factor)) * np.eye(len(factor))
    return np.linalg.qr(shifted @ Q[:, order])[0], order


def soap_steps(
    problem, params, batch, n, learning_rate=1e-2, beta1=0.95, beta2=0.95, eps=1e-8,
    interval=10, shift=1e-4, network=TANH,
):  # fmt: skip
    """Parameters after each of n steps on one batch."""
    shapes = [matrix.shape for matrix in params]
    factors = [[np.zeros((size, size)) for size in shape] for shape in shapes]
    bases = [[np.eye(size) for size in shape] for shape in shapes]
    first, second = ([np.zeros(shape) for shape in shapes] for _ in range(2))
    path = []
    for t in range(n):
        params = list(params)
        for k, G in enumerate(gradients(problem, params, batch, network)):
            left, right = bases[k]
            if t > 0:
                first[k] = beta1 * first[k] + (1 - beta1) * G
                second[k] = beta2 * second[k] + (1 - beta2) * (left.T @ G @ right) ** 2
                m = left.T @ first[k] @ right / (1 - beta1**t)
                root = np.sqrt(second[k]) / np.sqrt(1 - beta2**t)
                scaled = m / (root + eps / np.sqrt(1 - beta2**t))
                params[k] = params[k] - learning_rate * left @ scaled @ right.T
            new = G @ G.T, G.T @ G
            factors[k] = [
                beta2 * F + (1 - beta2) * N for F, N in zip(factors[k], new, strict=True)
            ]
            for _ in range(3 if t == 0 else 1 if t % interval == 0 else 0):
                turned = [
                    turned_basis(F, Q, shift)
                    for F, Q in zip(factors[k], bases[k], strict=True)
                ]
                bases[k], orders = zip(*turned, strict=True)
                second[k] = second[k][np.ix_(*orders)]
        path.append(params)
    return path


def near_orthogonal(matrix):
    """The five Newton-Schulz iterations, each a polynomial of the singular values."""
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return U @ np.diag(s) @ Vt


def muon_steps(
    problem, params, batch, n, learning_rate=2e-2, momentum=0.95, nesterov=True,
    adam_learning_rate=1e-2, network=TANH,
):  # fmt: skip
    """Parameters after each of n steps on one batch."""
    buffers = [np.zeros_like(matrix) for matrix in params]
    first, second = ([np.zeros_like(matrix) for matrix in params] for _ in range(2))
    path = []
    for t in range(1, n + 1):
        moved = []
        for k, G in enumerate(gradients(problem, params, batch, network)):
            buffers[k] = momentum * buffers[k] + G
            first[k] = 0.9 * first[k] + 0.1 * G
            second[k] = 0.999 * second[k] + 0.001 * G**2
            change = adam_learning_rate * first[k] / (1 - 0.9**t)
            change = change / (np.sqrt(second[k] / (1 - 0.999**t)) + 1e-8)
            if 0 < k < len(params) - 1:
                along = G + momentum * buffers[k] if nesterov else buffers[k]
                out, columns = G[:, :-1].shape
                length = learning_rate * np.sqrt(max(1, out / columns))
                change[:, :-1] = length * near_orthogonal(along[:, :-1])
            moved.append(params[k] - change)
        params = moved
        path.append(params)
    return path
