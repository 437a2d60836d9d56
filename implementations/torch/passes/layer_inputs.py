"""A layer's inputs a, channels [S, n, in], and what is computed from them.

The first layer's are known in closed form where a jet has the slopes along all axes: the
points, the identity and zero. They are stored as points alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Channels(NamedTuple):
    """Inputs whose channels are all stored."""

    array: Tensor  # a [S, n, in]

    def linear(self, matrix: Tensor) -> Tensor:
        """Apply a layer: W a [S, n, out], with b added to the value alone."""
        weights, bias = matrix[:, :-1], matrix[:, -1]
        outputs = self.array @ weights.T
        outputs[0].add_(bias)  # `+=` would copy the sum onto itself
        return outputs

    def weigh(self, cotangents: Tensor) -> Tensor:
        """Sum q aᵀ [out, in + 1] over points and channels of cotangents q [S, n, out]."""
        weights = rows(cotangents).T @ rows(self.array)
        return torch.cat([weights, cotangents[0].sum(0)[:, None]], dim=1)

    def full(self) -> Tensor:
        """Write the inputs out [S, n, in + 1], with the bias's coordinate."""
        bias = self.array.new_zeros(*self.array.shape[:2], 1)
        bias[0] = 1
        return torch.cat([self.array, bias], dim=2)

    def square(self) -> Tensor:
        """Sum a aᵀ [in, in] over points and channels."""
        flat = rows(self.array)
        return flat.T @ flat

    def value(self) -> Tensor:
        """Give the value's channel [n, in]."""
        return self.array[0]

    def mean(self) -> Tensor:
        """Average over the channels [n, in]."""
        return self.array.mean(0)

    def channels(self) -> int:
        """Count the channels, S."""
        return len(self.array)


class Points(NamedTuple):
    """The first layer's inputs: points, with the identity as slopes and no curvature."""

    array: Tensor  # x [n, d]; S = d + 2

    def linear(self, matrix: Tensor) -> Tensor:
        """Apply the layer: the slopes are columns of W, the same at every point."""
        weights, bias = matrix[:, :-1], matrix[:, -1]
        n, d = self.array.shape
        columns = weights.T[:, None].expand(d, n, len(matrix))
        value = torch.addmm(bias, self.array, weights.T)[None]
        return torch.cat([value, columns, torch.zeros_like(value)])

    def weigh(self, cotangents: Tensor) -> Tensor:
        """Sum q aᵀ [out, in + 1] over points and channels of cotangents q [S, n, out]."""
        slopes = cotangents[1:-1].sum(1).T
        weights = torch.addmm(slopes, cotangents[0].T, self.array)
        return torch.cat([weights, cotangents[0].sum(0)[:, None]], dim=1)

    def full(self) -> Tensor:
        """Write the inputs out [S, n, d + 1], with the bias's coordinate."""
        n, d = self.array.shape
        slopes = identity(self.array)[:, None].expand(d, n, d)
        value = self.array[None]
        return Channels(torch.cat([value, slopes, torch.zeros_like(value)])).full()

    def square(self) -> Tensor:
        """Sum a aᵀ [d, d] over points and channels."""
        return self.array.T @ self.array + len(self.array) * identity(self.array)

    def value(self) -> Tensor:
        """Give the points."""
        return self.array

    def mean(self) -> Tensor:
        """Average over the channels [n, d]: the slopes' sum is one in every coordinate."""
        return (self.array + 1) / self.channels()

    def channels(self) -> int:
        """Count the channels, S."""
        return self.array.shape[1] + 2


def rows(channels: Tensor) -> Tensor:
    """Put the channels of all points [S, n, h] below each other [S·n, h]."""
    return channels.flatten(0, 1)


def identity(points: Tensor) -> Tensor:
    """Make the identity on the coordinates of points [n, d]."""
    return torch.eye(points.shape[1], dtype=points.dtype, device=points.device)
