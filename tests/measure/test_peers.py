"""Peers beside us: the same numbers for everybody, walks in turn, and the table."""

import math

import numpy as np
import pytest
from small import needs

from benchmarks.peers import __main__ as peers
from benchmarks.peers.cases import CASES
from benchmarks.peers.ours import Ours
from optbench import problems
from optbench.implementations import FRAMEWORKS


def product(columns):
    return columns.prod(1, keepdims=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.problem}, {case.network}")
def test_the_source_is_that_of_our_problem(case):
    x = np.random.default_rng(0).uniform(size=(5, case.dimension))
    ours = problems.get(case.problem).terms["interior"].target(x)
    np.testing.assert_allclose(ours, np.zeros((5, 1)) + case.source(x, np.sin, product))
    shapes = [matrix.shape for matrix in case.start()]
    assert shapes == [
        (out, width + 1) for width, out in zip(case.widths, case.widths[1:], strict=False)
    ]
    assert sum(map(math.prod, shapes)) == case.parameters


class Walked:
    def __init__(self, log, name):
        self.log, self.name, self.steps = log, name, 0

    def walk(self, steps):
        self.log.append(self.name)
        self.steps += steps

    def loss(self):
        return 100.0 - self.steps


def test_walks_are_in_turn_and_losses_of_as_many_steps():
    log = []
    sides = {name: Walked(log, name) for name in ("ours", "theirs")}
    assert peers.compared(sides, 7) == {"ours": [100.0, 93.0], "theirs": [100.0, 93.0]}
    log.clear()
    seconds = peers.timed(sides, 3, 0.0)
    assert log == ["ours", "theirs"] * 4  # the first walks say how long a step takes
    assert [len(samples) for samples in seconds.values()] == [3, 3]


def test_the_table_has_ratios_with_intervals():
    row = {
        "problem": "poisson_sine_2d",
        "parameters": 9873,
        "optimizer": "adam",
        "framework": "jax",
        "peer": "jinns",
        "losses": [[2.0, 1.0], [2.0, 1.5]],
        "seconds": [[1e-3, 2e-3, 1e-3], [3e-3, 5e-3, 3e-3]],
    }
    line = peers.table([row]).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        *("`poisson_sine_2d`, D = 9,873", "adam, jax", "jinns", "1", "3"),
        *("3.00 [2.50, 3.00]", "2 → 1", "2 → 1.5"),
    ]


@pytest.mark.parametrize(
    "framework", [pytest.param(name, marks=needs[name]) for name in FRAMEWORKS]
)
def test_our_side_walks(framework):
    side = Ours(CASES[0], framework, "adam")
    before = side.loss()
    side.walk(3)
    assert side.loss() < before


def test_everybody_walks_the_same_path():
    """Where the peers are installed."""
    pytest.importorskip("deepxde", reason="make peers has not been run")
    rows = peers.measured("torch", small=True)
    for row in rows:
        ours, theirs = row["losses"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
