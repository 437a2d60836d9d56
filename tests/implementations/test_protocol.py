"""What `@optimizer` gives to a user's class, and what the twins' estimates say."""

from types import SimpleNamespace
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from made_up import coupled_2d
from small import frameworks, small

from optbench import problems
from optbench.implementations import memory_estimates
from optbench.implementations.hyperparameters import Positive, optimizer
from optbench.implementations.protocol import Losses, Optimizer


class State(NamedTuple):
    steps: int


@optimizer
class Bare:
    """As a user writes it: without the base, `check` or anything else that is optional."""

    name: ClassVar[str] = "bare"
    version: ClassVar[int] = 1
    rate: Positive = 1.0

    def init(self, objective, params):
        return State(0)

    def step(self, objective, params, state, batch):
        return params, State(state.steps + 1), Losses({})


@optimizer
class Counting(Bare):
    def counters(self, state):
        return {"evaluations": state.steps}


def test_a_class_that_does_not_name_the_base_has_its_defaults():
    made, state = Bare(rate=2.0), State(3)
    assert issubclass(Bare, Optimizer)
    assert made.check(state) is None
    assert made.progress(state, 0.5) is state
    assert made.working(None, [], {}) == 0
    assert made.counters(state) == {}


def test_what_a_class_has_itself_stays():
    assert Counting().counters(State(3)) == {"evaluations": 3}


def test_a_class_without_the_decorator_says_so():
    class Undecorated(Optimizer):
        init = step = Bare.init

    with pytest.raises(TypeError, match="Undecorated is not under @optimizer"):
        Undecorated(rate=1.0)


# kernel, Gramian, Gramian in blocks, its diagonal, kept iterates, with 420 + 80 points:
# numbers from before the estimates had a file of their own
ESTIMATES = {
    "narrow": ([(8, 3), (8, 9), (1, 9)], (1_566_880, 118_650, 84_261, 630, 2_205)),
    "wide": (
        [(256, 3), (256, 257), (1, 257)],
        (6_833_520, 26_820_477_434, 26_005_587_957, 400_902, 1_403_157),
    ),
}


@pytest.mark.parametrize("network", ESTIMATES)
def test_the_estimates_are_those_that_were_measured(network):
    shapes, expected = ESTIMATES[network]
    params = [np.empty(shape) for shape in shapes]
    objective = SimpleNamespace(problem=problems.get("poisson_sine_2d"))
    counts = {"interior": 420, "boundary": 80}
    batch = {name: (np.empty((n, 2)), np.empty((n, 1))) for name, n in counts.items()}
    assert (
        memory_estimates.kernel(objective, params, batch),
        memory_estimates.gramian(params, batch, whole=True),
        memory_estimates.gramian(params, batch, whole=False),
        memory_estimates.gramian_diagonal(params),
        memory_estimates.iterates(params, 21),
    ) == expected


@frameworks
def test_the_counters_of_a_search_are_named_as_a_record_names_them(framework):
    case = small(framework, coupled_2d)
    names = {"kfac": {"stalls", "evaluations"}, "adam": set(), "kfac_star": set()}
    names |= {"hessian_free": {"stalls", "evaluations", "iterations"}}
    names |= {"nystrom_newton": {"stalls", "evaluations", "iterations", "resets"}}
    for name, expected in names.items():
        made, state, step = case.prepare(name)
        _, state, _ = step(case.params, state, case.batch)
        counters = made.counters(state)
        assert set(counters) == expected
        assert all(int(case.numpy(count)) >= 0 for count in counters.values())
