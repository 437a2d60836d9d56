"""How many numbers the matrices of a step hold, known before anything is allocated."""

import math

from optbench.implementations.protocol import Objective, Params
from optbench.problems.problem import Batch

# numbers of a layer's Jacobian that exist together, where a kernel is assembled
LARGEST = 2**23


def parameters(params: Params) -> int:
    """Count the parameters, D."""
    return sum(math.prod(matrix.shape) for matrix in params)


def jacobian_rows(batch: Batch) -> int:
    """Count the rows of all terms' Jacobian, one per residual component of a point."""
    return sum(math.prod(y.shape) for _, y in batch.values())


def by_channels(channels: int, others: int, out: int, columns: int) -> bool:
    """Say whether a layer's kernel takes fewer products of channels than of Jacobians.

    `channels` and `others` are those of two terms' jets; the layer's matrix is
    [out, columns].
    """
    return channels * others * (out + columns) < out * columns


def gramian(params: Params, batch: Batch, whole: bool) -> int:
    """Estimate a step with the Gramian, whole or in one block per layer, from below.

    It holds the Jacobian, the Gramian's blocks, and what solving the largest by its
    eigenvectors takes where it is nearly singular: as much as six such blocks, as measured.
    """
    layers = [math.prod(matrix.shape) for matrix in params]
    blocks = [sum(layers)] if whole else layers
    squares = [block**2 for block in blocks]
    return jacobian_rows(batch) * sum(layers) + sum(squares) + 5 * max(squares)


def jacobian(params: Params, batch: Batch) -> int:
    """Estimate a step with the singular values of the whole Jacobian."""
    return singular_values(jacobian_rows(batch), parameters(params))


def singular_values(rows: int, columns: int) -> int:
    """Estimate the singular values of a matrix, with it.

    It holds the matrix, its two orthogonal factors and four square matrices.
    """
    return 3 * rows * columns + 4 * min(rows, columns) ** 2


def gramian_diagonal(params: Params) -> int:
    """Estimate a step with the Gramian's diagonal.

    It holds two terms' squares and gradients at a time, and their sums.
    """
    return 6 * parameters(params)


def kernel(objective: Objective, params: Params, batch: Batch) -> int:
    """Estimate a solve with the kernel at its peak.

    Measured peaks lie within about a third of it, in both frameworks.

    It holds six matrices like the kernel, where it is solved by its eigenvectors, beside
    the inputs and cotangents of all channels of all jets; or where it is assembled, if that
    is more, three matrices, three times the inputs and cotangents, and twice the Jacobian
    of a layer that is made.
    """
    layers = [matrix.shape for matrix in params]
    matrix, passed, made = jacobian_rows(batch) ** 2, 0, [0]
    for name, term in objective.problem.terms.items():
        (points, components), channels = batch[name][1].shape, term.operator.channels
        passed += sum(
            channels * points * (columns + components * out) for out, columns in layers
        )
        made += [
            points * out * columns
            for out, columns in layers
            if channels > 1 and not by_channels(channels, channels, out, columns)
        ]
    assembled = 3 * matrix + 3 * passed + 2 * min(max(made), LARGEST)
    return max(6 * matrix + passed, assembled)


def iterates(params: Params, kept: int) -> int:
    """Estimate conjugate gradients that keep so many of their iterates [D]."""
    return kept * parameters(params)


def sketch(params: Params, rank: int) -> int:
    """Estimate a Nyström approximation: six matrices [D, rank].

    They are the directions, their images, these shifted and divided, the singular vectors
    and what the library works in.
    """
    return 6 * parameters(params) * min(rank, parameters(params))
