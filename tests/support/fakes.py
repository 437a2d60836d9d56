"""A framework made of NumPy: its device does its work late, and a test moves its time."""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from optbench.implementations.blocks import Block
from optbench.implementations.protocol import Losses, Optimizer
from optbench.records.record import Labels, Request
from optbench.training.clock import Clock
from optbench.training.limits import Limits
from optbench.training.run import perform

STEP, EVALUATE, DRAW, COMPILE = 1.0, 100.0, 1e4, 1e6  # seconds


class Ticks:
    """A clock that a test moves."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def pass_by(self, seconds):
        self.time += seconds


class Search(NamedTuple):
    stalls: Any
    evaluations: Any


class State(NamedTuple):
    search: Search


@dataclass(frozen=True)
class Descent(Optimizer):
    """Halves the parameters; its work is done when somebody waits for it."""

    name: ClassVar[str] = "sgd"
    learning_rate: float = 0.5
    momentum: float = 0.9
    schedule: str = "constant"  # as a campaign spells SGD out
    schedule_steps: int | None = None
    schedule_end: float = 0.01
    warm_up: float = 0.0

    def init(self, objective, params):
        return State(Search(np.array(0), np.array(0)))

    def step(self, objective, params, state, batch):
        objective.steps(params, batch)
        searched = State(Search(*(count + 1 for count in state.search)))
        with np.errstate(over="ignore"):  # a framework does not warn
            moved = [matrix * self.learning_rate for matrix in params]
        return moved, searched, objective.losses(params, batch)

    def counters(self, state):
        return state.search._asdict()


class Fake:
    """What `implementations.load` gives, and the records of what was asked."""

    def __init__(self, on_step=lambda count: None):
        self.name, self.ticks, self.pending, self.batches, self.calls = (
            "torch",
            Ticks(),
            0.0,
            [],
            0,
        )
        self.OPTIMIZERS, self.backend, self._on_step = {"sgd": Descent}, self, on_step
        self.blocks = []  # steps of each, the two that warm up among them

    def Objective(self, problem, network, seed):
        return SimpleNamespace(losses=self._losses, predict=self._predict, steps=self._step)

    def compile(self, function, donate=()):
        # what is asked for the first time is compiled by the device, then
        state = {"new": True}

        def call(*arguments):
            if state["new"]:
                self.pending += COMPILE
            state["new"] = False
            return function(*arguments)

        return call

    def compile_block(self, optimizer, objective):
        step = self.compile(partial(optimizer.step, objective))

        def run(params, state, batch, shares, count, bounds):
            for share in shares[:count].tolist():
                params, state, losses = step(
                    params, optimizer.progress(state, share), batch
                )
            self.blocks.append(count)
            return Block(params, state, losses, count, count, 0)

        return run

    def _step(self, params, batch):
        self.pending += STEP
        self.calls += 1
        self.batches.append(batch)
        if self.calls > 2:  # the first two warm up
            self._on_step(self.calls - 2)

    def _losses(self, params, batch):
        return Losses({name: np.array(np.abs(params[0]).mean()) for name in batch})

    def _predict(self, params, x):
        self.pending += EVALUATE
        return np.full((len(x), 1), np.abs(params[0]).mean())

    def wait(self, tree):
        self.ticks.pass_by(self.pending)
        self.pending = 0.0

    def to_numpy(self, array):
        self.wait(array)
        return np.asarray(array)

    def from_numpy_tree(self, tree):
        return tree

    def from_numpy(self, array):
        return array

    def allow_tf32(self, allowed):
        self.tf32 = allowed

    def reset_peak_memory(self):
        pass

    def peak_memory(self):
        return 7

    def state_bytes(self, optimizer, objective, params):
        return 8

    def free_memory(self):
        return 1e9

    def device_name(self):
        return "a fake"

    def perform(self, request, report=lambda *_: None, stop=lambda: False, **limits):
        return perform(
            request,
            Limits(**limits),
            report=report,
            stop=stop,
            load=lambda name: self,
            clock=Clock(self.ticks),
        )


def request(**fields):
    """A run of the fake framework: ten steps unless a budget is given."""
    budget = {} if {"steps", "seconds"} & set(fields) else {"steps": 10}
    given = {
        "problem": "poisson_sine_2d",
        "problem_version": 1,
        "network": "tanh_4",
        "points": {"interior": 9, "boundary": 6},
        "resample_every": 0,
        "optimizer": "sgd",
        "optimizer_version": 1,
        "hyperparameters": {"learning_rate": 0.5, "momentum": 0.9},
        "framework": "torch",
        "threads": 1,
        "mode": "eager",
        "dtype": "float64",
        "seed": 3,
        "labels": Labels(
            campaign="c",
            campaign_version="1.0",
            case="",
            optimizer="sgd",
            hyperparameters_from="default",
        ),
    }
    return Request(**given | budget | fields)
