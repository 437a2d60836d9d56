"""Jets of any order: derivatives along lines, and collapsed traces.

A line of order K has the channels z₁ … z_K, z_k = dᵏ/dεᵏ z(x + εv) at ε = 0, derivatives
and not Taylor coefficients. An activation takes them to those of ε ↦ σ(z(ε)) by Faà di
Bruno's formula; a collapsed trace z_A = tr(A ∇²z) to σ′ z_A + σ″ ∇zᵀ A ∇z.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple

import torch
from torch import Tensor

from optbench.implementations.protocol import LayerInputs
from optbench.implementations.torch.passes.activations import (
    Activation,
    derivatives,
    further,
)
from optbench.implementations.torch.passes.layer_inputs import Channels
from optbench.problems.jets import Family, Layout, Line
from optbench.problems.problem import Operator


class Lines(NamedTuple):
    """Lines of one order, whose channels are side by side."""

    start: int
    number: int
    order: int

    def of(self, channels: Tensor) -> Tensor:
        """Take their channels [..., number, order, n, h] out of a jet's [..., S, n, h]."""
        *before, _, n, h = channels.shape
        part = channels[..., self.start : self.start + self.number * self.order, :, :]
        return part.reshape(*before, self.number, self.order, n, h)


class Trace(NamedTuple):
    """A collapsed trace at some points."""

    slopes: slice | list[int]  # the channels of ∇z [k]
    channel: int  # of z_A
    diffuse: Callable[[Tensor], Tensor]  # ∇z ↦ A ∇z [k, n, h]


class Kept(NamedTuple):
    """What an activation's way back needs of its way there."""

    derivatives: list[Tensor]  # σ, σ′, … at the values z, each [n, h]
    bends: list[Tensor]  # ∇zᵀ A ∇z of every trace [n, h]


class Taylor:
    """How a jet of some layout begins at points x [n, d], and how it passes an activation.

    A layout without lines and traces is the value alone. `matrices` are those of
    `constant_matrices`.
    """

    def __init__(
        self, layout: Layout, x: Tensor, matrices: Sequence[Tensor | None] = ()
    ) -> None:
        self.layout, self.x = layout, x
        self.lines, start = [], 1
        orders = [line.order for line in layout.lines]  # ascending
        for order in dict.fromkeys(orders):
            self.lines.append(Lines(start, orders.count(order), order))
            start += self.lines[-1].number * order
        self.traces = [
            Trace(evenly(slopes), channel, matrix_at(family, x, matrix))
            for channel, (family, slopes, matrix) in enumerate(
                zip(layout.families, layout.slopes, matrices, strict=True), start
            )
        ]

    def begin(self) -> LayerInputs:
        """Make the first layer's inputs: the points, then the lines' directions."""
        if not self.layout.lines and not self.traces:
            return Channels(self.x[None])
        nothing, channels = torch.zeros_like(self.x), [self.x]
        for line in self.layout.lines:
            channels += [direction_at(line, self.x), *[nothing] * (line.order - 1)]
        return Channels(torch.stack(channels + [nothing] * len(self.traces)))

    def activate(self, activation: Activation, jet: Tensor) -> tuple[Tensor, Kept]:
        """Compute the channels of σ(z) of those of z, both [S, n, h]."""
        known = derivatives(activation, jet[0], max(self.layout.order, 1))
        parts, bends = [known[0][None]], []
        for lines in self.lines:
            z = lines.of(jet)
            h = faa_di_bruno(known, [z[:, k] for k in range(lines.order)])
            parts.append(torch.stack(h[1:], 1).reshape(-1, *jet.shape[1:]))
        for trace in self.traces:
            slopes = jet[trace.slopes]
            bends.append((slopes * trace.diffuse(slopes)).sum(0))
            parts.append((known[1] * jet[trace.channel] + known[2] * bends[-1])[None])
        return joined(parts, 0), Kept(known, bends)

    def activate_transposed(
        self, activation: Activation, kept: Kept, jet: Tensor, cotangents: Tensor
    ) -> Tensor:
        """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h].

        On a line, h_k = dᵏ/dεᵏ σ(z(ε)) depends on z_j by Leibniz's rule as

            ∂h_k/∂z_j = C(k, j) D_{k−j}    with    D_i = dⁱ/dεⁱ σ′(z(ε)),

        and of a trace h_A = σ′ z_A + σ″ ∇zᵀ A ∇z, with its cotangent q_A, come

            (σ″ z_A + σ‴ ∇zᵀ A ∇z) q_A  to the value,   2 σ″ q_A A ∇z  to the slopes,
            σ′ q_A  to z_A.
        """
        known = further(activation, kept.derivatives) if self.lines else kept.derivatives
        value = known[1] * cotangents[:, 0]
        parts = []
        for lines in self.lines:
            z, q = lines.of(jet), lines.of(cotangents)
            D = faa_di_bruno(known[1:], [z[:, k] for k in range(lines.order)])
            orders = range(1, lines.order + 1)
            value += sum((D[k] * q[:, :, k - 1]).sum(1) for k in orders)
            pulled: list[Any] = [
                sum(
                    comb(k, j) * D[k - j] * q[:, :, k - 1]
                    for k in range(j, lines.order + 1)
                )
                for j in orders
            ]
            flat = torch.stack(pulled, 2)
            parts.append(flat.reshape(len(flat), -1, *jet.shape[1:]))
        for trace, bend in zip(self.traces, kept.bends, strict=True):
            q = cotangents[:, trace.channel]
            value += (known[2] * jet[trace.channel] + known[3] * bend) * q
            parts.append((known[1] * q)[:, None])
        back = joined([value[:, None], *parts], 1)
        for trace in self.traces:
            q = cotangents[:, trace.channel]
            back[:, trace.slopes] += (
                2 * (known[2] * q)[:, None] * trace.diffuse(jet[trace.slopes])
            )
        return back


def joined(parts: list[Tensor], axis: int) -> Tensor:
    """Join channels along an axis; those of one part alone are not copied."""
    return torch.cat(parts, axis) if len(parts) > 1 else parts[0]


def faa_di_bruno(outer: list[Tensor], inner: list[Tensor]) -> list[Tensor]:
    """Differentiate f(z(ε)) at ε = 0 as often as z is, by Faà di Bruno's formula.

    `outer` are f, f′, … at z, `inner` z′, z″, …; gives f, and so many derivatives.
    """
    f, z = outer, [None, *inner]
    formulas = (
        lambda: f[1] * z[1],
        lambda: f[1] * z[2] + f[2] * z[1] ** 2,
        lambda: f[1] * z[3] + 3 * f[2] * z[1] * z[2] + f[3] * z[1] ** 3,
        lambda: (
            f[1] * z[4]
            + f[2] * (4 * z[1] * z[3] + 3 * z[2] ** 2)
            + 6 * f[3] * z[1] ** 2 * z[2]
            + f[4] * z[1] ** 4
        ),
    )
    return [f[0], *(formula() for formula in formulas[: len(inner)])]


def direction_at(line: Line, x: Tensor) -> Tensor:
    """Evaluate a line's direction v at the points [n, d]."""
    if callable(line.direction):
        return in_columns(line.direction(x))
    v = torch.zeros_like(x)
    for axis, component in line.direction:
        v[:, axis] = component
    return v


def evenly(channels: Sequence[int]) -> slice | list[int]:
    """Give channels that have equal distances as a slice, which no GPU waits for."""
    first, last = channels[0], channels[-1]
    step = channels[1] - first if len(channels) > 1 else 1
    even = list(channels) == list(range(first, last + 1, max(step, 1)))
    return slice(first, last + 1, step) if even else list(channels)


@lru_cache
def constant_matrices(
    operator: Operator, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor | None, ...]:
    """Put the matrices of an operator's traces on a device; None: it is of the points.

    They are made before Inductor looks, and not in a pass: a CUDA graph takes nothing from
    the host.
    """
    return tuple(
        None
        if callable(family.matrix)
        else torch.as_tensor(family.matrix, dtype=dtype, device=device)
        for family in operator.layout.families
    )


def matrix_at(
    family: Family, x: Tensor, constant: Tensor | None
) -> Callable[[Tensor], Tensor]:
    """Make ∇z ↦ A ∇z [k, n, h] of a trace's matrix, or its diagonal, at the points."""
    if callable(family.matrix):
        A = in_columns(family.matrix(x))
        if A.ndim == 3:
            return lambda slopes: torch.einsum("nij,jnh->inh", A, slopes)
        return lambda slopes: A.T[:, :, None] * slopes
    A: Any = constant
    if A.ndim == 2:
        return lambda slopes: torch.einsum("ij,jnh->inh", A, slopes)
    return lambda slopes: A[:, None, None] * slopes


def in_columns(v: Tensor | list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Put columns [n] side by side, where a function of the points gives columns."""
    return torch.stack(v, dim=1) if isinstance(v, list | tuple) else v
