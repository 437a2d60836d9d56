"""Which damping gives a step of some length, and how long a step may be.

A step p(λ) = −V (s b)/(s² + λ) of J = U diag(s) Vᵀ and b = Uᵀ r is the shorter, the larger
λ is.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.torch.solvers.control_flow import fori_loop, while_loop
from optbench.implementations.torch.solvers.singular_values import SingularValues

EPS = torch.finfo(torch.float64).eps
CLOSE = 1e-13  # of a radius, how far a step's length may be from it
MOST_ITERATIONS = 100
HALVINGS = 60


class Newton(NamedTuple):
    """Newton's iteration for the dampings of several radii."""

    damping: Tensor  # λ [k]
    done: Tensor  # [k]
    iterations: int | Tensor


def filtered(values: SingularValues, damping: Tensor, b: Tensor | None = None) -> Tensor:
    """Divide s b by s² + λ, for dampings λ [k]: [singular values, k].

    b is Uᵀ r, or what is given in its place [singular values, k].
    """
    s = values.s[:, None]
    b = values.b[:, None] if b is None else b
    return torch.where(s > 0, s * b / torch.where(s > 0, s * s + damping, 1), 0)


def damping_of(values: SingularValues, radii: Tensor) -> Tensor:
    """Find λ [k] with |p(λ)| = radius, 0 where the whole Gauss-Newton step is shorter.

    Newton on 1/|p| from 0 rises to the solution and does not pass it (Conn, Gould, Toint
    2000, section 7.3).
    """
    s = values.s[:, None]

    def improve(last: Newton) -> Newton:
        squares = filtered(values, last.damping) ** 2
        far = squares.sum(0).sqrt()
        fall = (squares / torch.where(s > 0, s * s + last.damping, 1)).sum(0)
        next = last.damping + far * far / fall * (far - radii) / radii
        arrived = (far - radii).abs() <= CLOSE * radii
        rises = next > last.damping * (1 + 2 * EPS)
        done = last.done | arrived | ~rises
        return Newton(torch.where(done, last.damping, next), done, last.iterations + 1)

    zeros = torch.zeros_like(radii)
    whole = (filtered(values, zeros) ** 2).sum(0).sqrt()
    start = Newton(zeros, whole <= radii, 0)
    return while_loop(
        lambda last: ~last.done.all() & (last.iterations < MOST_ITERATIONS), improve, start
    ).damping


def longest(radii: Tensor, ratios: Tensor, target: float) -> Tensor:
    """Choose the radius at which the ratio has fallen to the target.

    The radii [k] ascend and are equidistant in their logarithm; the ratios [k] do not rise.
    Between the last node that reaches the target and the next, the ratio is the monotone
    cubic over log radius (PCHIP: Fritsch and Butland 1984). It is the first radius where no
    node reaches the target, and the last where all do.
    """
    reached = (ratios >= target).sum()  # they do not rise
    place = (reached - 1).clamp(0, len(radii) - 2)
    x = torch.log(radii)
    step = x[1] - x[0]
    slopes = pchip_slopes(torch.diff(ratios) / step)
    ends = torch.stack([x, ratios, slopes])[:, torch.stack([place, place + 1])]
    (start, _), (y0, y1), (m0, m1) = ends

    def cubic(t: Tensor) -> Tensor:
        """Evaluate at the share t of the piece."""
        return (
            y0 * (1 + 2 * t) * (1 - t) ** 2
            + m0 * step * t * (1 - t) ** 2
            + y1 * t * t * (3 - 2 * t)
            - m1 * step * t * t * (1 - t)
        )

    def halve(i: int, ends: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        low, high = ends
        middle = (low + high) / 2
        holds = cubic(middle) >= target
        return torch.where(holds, middle, low), torch.where(holds, high, middle)

    share, _ = fori_loop(HALVINGS, halve, (torch.zeros_like(step), torch.ones_like(step)))
    between = torch.exp(start + share * step)
    return torch.where(
        reached == 0, radii[0], torch.where(reached == len(radii), radii[-1], between)
    )


def pchip_slopes(pieces: Tensor) -> Tensor:
    """Give a monotone cubic's slopes at equidistant nodes from those of the pieces."""
    left, right = pieces[:-1], pieces[1:]
    flat = (left == 0) | (right == 0)
    inside = torch.where(flat, 0, 2 * left * right / torch.where(flat, 1, left + right))
    ends = [
        ((3 * near - far) / 2).clamp(max=0)
        for near, far in ((pieces[0], pieces[1]), (pieces[-1], pieces[-2]))
    ]
    return torch.cat([ends[0][None], inside, ends[1][None]])
