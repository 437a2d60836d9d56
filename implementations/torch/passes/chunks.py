"""Sums over points, one chunk at a time.

What a chunk needs stays in the cache, and bounds the memory.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils import _pytree as pytree

from optbench.implementations.chunks import chunk_size
from optbench.implementations.protocol import Tree


class Chunk(NamedTuple):
    """Some of the points, or what was computed for them."""

    share: float  # of all points
    content: Tree


Chunks = list[Chunk]


def most_channels(device: torch.device, widest: int) -> int:
    """Say how many channels, of all points, should pass a layer together."""
    # a CPU's cache holds few; below this many the calls themselves cost more. A GPU's array
    # may have 256 MB.
    return 2**25 // widest if device.type == "cuda" else 4096


def most_numbers(device: torch.device) -> int:
    """Say how many numbers of Jacobian rows should exist together."""
    # what stays in a CPU's cache: a layer of 512 neurons took 7 times as long with the rows
    # of 900 points
    return 2**25 if device.type == "cuda" else 2**17


def split(points: tuple[torch.Tensor, ...], most: int) -> Chunks:
    """Split points and their data, arrays [n, …], into chunks of up to `most` points."""
    n = len(points[0])
    size = chunk_size(n, most)
    parts = zip(*(array.split(size) for array in points), strict=True)
    return [Chunk(len(part[0]) / n, part) for part in parts]


def apply(function: Callable[[Tree], Tree], chunks: Chunks) -> Chunks:
    """Apply a function to every chunk's content."""
    return [Chunk(share, function(content)) for share, content in chunks]


def mean(function: Callable[[Tree], Tree], chunks: Chunks) -> Tree:
    """Average over all points a function that gives means over a chunk's points.

    It may give any tree of tensors.
    """
    share, content = chunks[0]
    total = function(content)
    if share == 1:
        return total
    total = pytree.tree_map(lambda mean: share * mean, total)
    for share, content in chunks[1:]:
        total = pytree.tree_map(
            lambda sum, mean, share=share: sum.add_(mean, alpha=share),
            total,
            function(content),
        )
    return total


def join(chunks: Chunks) -> Tree:
    """Join the arrays [n, …] in the contents of all chunks."""
    trees = [content for _, content in chunks]
    return (
        trees[0]
        if len(trees) == 1
        else pytree.tree_map(lambda *arrays: torch.cat(arrays), *trees)
    )
