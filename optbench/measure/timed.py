"""The one definition of a timed step: what asv, pytest-benchmark and `optbench profile` measure.

`optbench scale` counts the steps of recorded runs after as many that warm up: its runs can
lack memory or time.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from optbench import implementations, problems
from optbench.problems import networks, seeds
from optbench.training.memory import foresee

WARM_UP = 5  # steps: by then a line search has found its scale


@dataclass(frozen=True)
class Work:
    """A step to be timed."""

    framework: str
    optimizer: str
    problem: str
    network: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    interior: int | None = None  # points; if not given, the problem's
    boundary: int | None = None
    seed: int = 0


class Timed:
    """A step with everything made, compiled and warmed: a call is the step and the wait for its results.

    Every call is the same work: it starts from the parameters and the state after the
    warm-up. Raises ArithmeticError where a warm-up step gives parameters that are not
    finite, MemoryError where a step cannot fit, and what `load` and `problems.get` raise.
    """

    def __init__(
        self, work: Work, load: Callable[[str], Any] = implementations.load
    ) -> None:
        self.work, self.framework, self.problem = (
            work,
            load(work.framework),
            problems.get(work.problem),
        )
        points = (
            work.interior or self.problem.interior_points,
            work.boundary or self.problem.boundary_points,
        )
        start = networks.initial_parameters(
            work.network, self.problem.dim, self.problem.outputs, work.seed
        )
        backend = self.framework.backend
        self.batch = backend.from_numpy_tree(
            seeds.batch(self.problem, work.seed, 0, *points)
        )
        self.objective = self.framework.Objective(
            self.problem, networks.parse(work.network).activation
        )
        self.params = backend.from_numpy_tree(start)
        self.optimizer, self.step = self._made()
        if hasattr(
            backend, "free_memory"
        ):  # asv times commits too whose backends do not tell
            foresee(
                self.optimizer,
                self.objective,
                self.params,
                self.batch,
                backend,
                float("inf"),
            )
        self.state = self.optimizer.init(self.objective, self.params)
        begin = time.perf_counter()
        self()
        self.compile_seconds = (
            time.perf_counter() - begin
        )  # the first call: compilation and one step
        for _ in range(WARM_UP):
            self.params, self.state, _ = self._checked()
        self._checked()

    def __call__(self) -> None:
        """Do the step and wait for it."""
        self.framework.backend.wait(self.step(self.params, self.state, self.batch))

    def variant(self, **hyperparameters: Any) -> Callable[[], None]:
        """The same step, from the same state, with other hyperparameters."""
        _, step = self._made(**hyperparameters)
        return lambda: self.framework.backend.wait(
            step(self.params, self.state, self.batch)
        )

    def function(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """A compiled function of parameters, batch and further arguments; a call waits for what it gives."""
        compiled = self.framework.backend.compile(function)

        def call() -> Any:
            result = compiled(self.params, self.batch, *arguments)
            self.framework.backend.wait(result)
            return result

        return call

    def evaluations(self) -> int:
        """How often the line search evaluates the loss in a step; 0 without one."""
        return self._counted("evaluations")

    def products(self) -> int:
        """Products of the curvature with a vector in a step, one an iteration of its conjugate gradients; 0 without."""
        return self._counted("iterations")

    def reads(self) -> int:
        """How often a step asks the device for numbers."""
        before = self.framework.backend.reads
        self()
        return self.framework.backend.reads - before

    def _counted(self, name: str) -> int:
        if not hasattr(getattr(self.state, "search", None), name):
            return 0
        _, state, _ = self.step(self.params, self.state, self.batch)
        counts = (
            self.framework.backend.to_numpy(getattr(each.search, name))
            for each in (state, self.state)
        )
        return int(next(counts)) - int(next(counts))

    def _checked(self) -> tuple[Any, Any, Any]:
        """What the step gives; raises where its optimizer complains or its losses are not finite."""
        params, state, losses = self.step(self.params, self.state, self.batch)
        self.optimizer.check(state)
        if not sum(float(self.framework.backend.to_numpy(loss)) for loss in losses) < float(
            "inf"
        ):
            raise ArithmeticError(f"{self.work.optimizer} diverged while it was warmed up")
        return params, state, losses

    def _made(self, **hyperparameters: Any) -> tuple[Any, Callable[..., Any]]:
        found = self.framework.OPTIMIZERS.get(self.work.optimizer)
        if found is None:
            from optbench.implementations import (
                named,
            )  # which not every commit has that asv measures

            found = named.optimizer(self.framework, self.work.optimizer)
        optimizer = found(**{**self.work.hyperparameters, **hyperparameters})
        return optimizer, self.framework.backend.compile(
            partial(optimizer.step, self.objective)
        )


def medians(
    functions: Mapping[str, Callable[[], None]], seconds: float, least: int = 5
) -> dict[str, float]:
    """Median seconds of each, called in turn for so long: what drifts in the machine drifts for all of them."""
    for function in functions.values():
        function()
    taken: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - begin)
        rounds += 1
    return {name: statistics.median(times) for name, times in taken.items()}
