"""Sums over points, a piece of the points at a time: what a piece needs stays in the cache, and bounds the memory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from optbench.implementations import chunks as pieces
from torch.utils import _pytree as pytree


class Piece(NamedTuple):
    """Some of the points, or what was computed for them."""

    share: float  # of all points
    content: Any


Pieces = list[Piece]


def most_rows(device: torch.device, widest: int) -> int:
    """Rows of a jet that should pass a layer together."""
    # a CPU's cache holds few; below this many the calls themselves cost more. A GPU's array
    # may have 256 MB.
    return 2**25 // widest if device.type == "cuda" else 4096


def most_numbers(device: torch.device) -> int:
    """Numbers of Jacobian rows that should exist together."""
    # what stays in a CPU's cache: a layer of 512 neurons took 7 times as long with the rows
    # of 900 points
    return 2**25 if device.type == "cuda" else 2**17


def split(points: tuple[torch.Tensor, ...], most: int) -> Pieces:
    """The points and their data, arrays [n, …], in pieces of up to `most` points."""
    n = len(points[0])
    size = pieces.size(n, most)
    parts = zip(*(array.split(size) for array in points), strict=True)
    return [Piece(len(part[0]) / n, part) for part in parts]


def each(function: Callable[[Any], Any], pieces: Pieces) -> Pieces:
    """What `function` gives for every piece's content."""
    return [Piece(share, function(content)) for share, content in pieces]


def mean(function: Callable[[Any], Any], pieces: Pieces) -> Any:
    """The mean over all points of a function that gives means over a piece's points, in any tree of tensors."""
    share, content = pieces[0]
    total = function(content)
    if share == 1:
        return total
    total = pytree.tree_map(lambda mean: share * mean, total)
    for share, content in pieces[1:]:
        total = pytree.tree_map(
            lambda sum, mean, share=share: sum.add_(mean, alpha=share),
            total,
            function(content),
        )
    return total


def join(pieces: Pieces) -> Any:
    """The arrays [n, …] in the contents of all pieces as one."""
    trees = [content for _, content in pieces]
    return (
        trees[0]
        if len(trees) == 1
        else pytree.tree_map(lambda *arrays: torch.cat(arrays), *trees)
    )
