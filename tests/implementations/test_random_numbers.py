"""Random numbers that are the same in both frameworks, against a plain loop."""

import numpy as np
import pytest
from small import frameworks, small

from optbench import problems

MASK = 2**32 - 1


def mixed(x):
    x = (x + 0x9E3779B9) & MASK
    x ^= x >> 16
    x = (x * 0x7FEB352D) & MASK
    x ^= x >> 15
    x = (x * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def word(seed, k, stream, i):
    return mixed(mixed(mixed(mixed(seed) ^ k) ^ stream) ^ i)


# written down when the rule was agreed
AGREED = {
    (0, 0, 0): "bbcac71f 1adcd5bd 7069096b d4dff36b",
    (3, 1, 2): "cb611921 bbc432c9 a6a22353 ad8c4857",
}


@frameworks
@pytest.mark.parametrize("key", [*AGREED, (2**31 + 5, 70_000, 3)])
def test_numbers_signs_and_permutations(framework, key):
    case = small(framework, problems.get("poisson_sine_2d"))
    part = case.part("solvers.random_numbers")
    seed, k, stream = key
    device = [case.params[0].device] if framework == "torch" else []
    expected = np.array([word(*key, i) for i in range(500)])
    if key in AGREED:
        assert [f"{number:08x}" for number in expected[:4]] == AGREED[key].split()
    for step in (k, case.framework.backend.from_numpy(np.array(k))):
        arguments = seed, step, stream, 500, *device
        assert np.array_equal(case.numpy(part.bits(*arguments)), expected)
        signs = case.numpy(part.signs(*arguments))
        assert np.array_equal(signs, np.where(expected >> 31, -1.0, 1.0))
        order = case.numpy(part.permutation(*arguments))
        assert np.array_equal(order, np.argsort(expected, kind="stable"))
