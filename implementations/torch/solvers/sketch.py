"""A random sketch x ↦ S x of the parameters: s of D coordinates of a mixed basis.

S has random signs, a permutation, an orthonormal cosine transform, and s coordinates of it,
in this order: Sᵀ S is a projection, and S Sᵀ the identity.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.random_numbers import permutation, signs


class Sketch(NamedTuple):
    """What was drawn for it."""

    signs: Tensor  # [D]
    order: Tensor  # [D]
    coordinates: Tensor  # [s]

    def apply(self, rows: Tensor) -> Tensor:
        """Compute S x of rows x [k, D]: [k, s]."""
        mixed = dct((rows * self.signs)[:, self.order])
        return mixed[:, self.coordinates]

    def lift(self, rows: Tensor) -> Tensor:
        """Compute Sᵀ z of rows z [k, s]: [k, D]."""
        empty = rows.new_zeros(len(rows), len(self.order))
        ordered = idct(empty.index_copy(1, self.coordinates, rows))
        return empty.index_copy(1, self.order, ordered) * self.signs


def draw(
    seed: int, step: int | Tensor, size: int, coordinates: int, device: torch.device
) -> Sketch:
    """Draw the sketch of a step, from `size` parameters to so many coordinates."""
    return Sketch(
        signs(seed, step, 0, size, device),
        permutation(seed, step, 1, size, device),
        permutation(seed, step, 2, size, device)[:coordinates],
    )


def dct(rows: Tensor) -> Tensor:
    """Compute the orthonormal DCT-II of rows [k, D], by one Fourier transform.

    Source: Makhoul 1980. PyTorch has none.
    """
    size = rows.shape[1]
    evens_and_odds = torch.cat([rows[:, ::2], rows[:, 1::2].flip(1)], dim=1)
    turned = torch.fft.fft(evens_and_odds) * quarter_wave(size, rows)
    return turned.real * weights(size, rows)


def idct(rows: Tensor) -> Tensor:
    """Compute its inverse, which is its transpose."""
    size = rows.shape[1]
    scaled = rows / weights(size, rows)
    # the transform of real numbers at k and D − k are conjugates
    mirrored = torch.cat([torch.zeros_like(rows[:, :1]), scaled[:, 1:].flip(1)], dim=1)
    spectrum = torch.complex(scaled, -mirrored) / quarter_wave(size, rows)
    evens_and_odds = torch.fft.ifft(spectrum).real
    half = (size + 1) // 2
    result = torch.empty_like(rows)
    result[:, ::2] = evens_and_odds[:, :half]
    result[:, 1::2] = evens_and_odds[:, half:].flip(1)
    return result


def quarter_wave(size: int, like: Tensor) -> Tensor:
    """Give e^(−iπk/2D) for k = 0 … D − 1."""
    angle = torch.arange(size, dtype=like.dtype, device=like.device) * (
        -math.pi / (2 * size)
    )
    return torch.complex(angle.cos(), angle.sin())


def weights(size: int, like: Tensor) -> Tensor:
    """Give what makes the transform orthonormal: √(2/D), √(1/D) for k = 0."""
    scale = like.new_full((size,), math.sqrt(2 / size))
    scale[0] = math.sqrt(1 / size)
    return scale
