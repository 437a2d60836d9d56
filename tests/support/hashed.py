"""The random numbers that both frameworks share, one at a time."""

import numpy as np

MASK = 2**32 - 1


def mixed(x):
    x = (x + 0x9E3779B9) & MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def words(seed, k, stream, count):
    start = mixed(mixed(mixed(seed) ^ k) ^ stream)
    return np.array([mixed(start ^ i) for i in range(count)])


def signs(*key):
    return np.where(words(*key) >> 31, -1.0, 1.0)


def permutation(*key):
    return np.argsort(words(*key), kind="stable")
