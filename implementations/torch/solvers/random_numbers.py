"""Random signs and permutations that are the same in both frameworks, on every device.

A number is a hash of the seed, the step k, the stream and its place, in 32-bit integers.
"""

from functools import reduce

import torch
from torch import Tensor

GOLDEN, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B
LOWEST = 2**32 - 1  # the bits that are kept of 64: few operations know unsigned integers


def bits(
    seed: int, k: int | Tensor, stream: int, count: int, device: torch.device
) -> Tensor:
    """Draw 32-bit integers [count], uniform: those of step k of a stream."""
    place = torch.arange(count, device=device)
    keys = (torch.as_tensor(key, device=device) for key in (k, stream, place))
    start = torch.full((), seed, dtype=torch.int64, device=device)
    return reduce(lambda word, key: mixed(word ^ key), keys, mixed(start))


def mixed(word: Tensor) -> Tensor:
    """Mix the bits of 32-bit integers."""
    word = (word + GOLDEN) & LOWEST
    word = ((word ^ (word >> 16)) * FIRST) & LOWEST
    word = ((word ^ (word >> 15)) * SECOND) & LOWEST
    return word ^ (word >> 16)


def signs(
    seed: int, k: int | Tensor, stream: int, count: int, device: torch.device
) -> Tensor:
    """Draw signs [count] in float64: −1 where the highest bit is set."""
    return 1.0 - 2.0 * (bits(seed, k, stream, count, device) >> 31).double()


def permutation(
    seed: int, k: int | Tensor, stream: int, count: int, device: torch.device
) -> Tensor:
    """Draw a permutation of 0 … count − 1: the order of so many numbers."""
    return torch.argsort(bits(seed, k, stream, count, device), stable=True)
