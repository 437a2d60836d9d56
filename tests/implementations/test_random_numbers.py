"""Random numbers that are the same in both frameworks, against a plain loop."""

import hashed
import numpy as np
import pytest
from small import frameworks, small

from optbench import problems

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
    expected = hashed.words(*key, 500)
    if key in AGREED:
        assert [f"{number:08x}" for number in expected[:4]] == AGREED[key].split()
    for step in (k, case.framework.backend.from_numpy(np.array(k))):
        arguments = seed, step, stream, 500, *device
        assert np.array_equal(case.numpy(part.bits(*arguments)), expected)
        drawn = case.numpy(part.signs(*arguments))
        assert np.array_equal(drawn, hashed.signs(*key, 500))
        order = case.numpy(part.permutation(*arguments))
        assert np.array_equal(order, hashed.permutation(*key, 500))
