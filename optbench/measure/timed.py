"""The one definition of a timed step, and what it takes: seconds, counts, memory.

asv, `make bench`, `optbench profile` and `optbench regressions` measure it. `optbench
scale` counts the steps of recorded runs after as many that warm up: its runs can lack
memory or time. Counts are the same on every machine, whatever else it does; they are taken
on few points, which pass in a single chunk, because JAX counts the body of a loop once.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from optbench import implementations, problems
from optbench.measure import commits, launches
from optbench.measure.launches import Launches
from optbench.problems import networks
from optbench.training.memory import foresee

WARM_UP = 5  # steps: by then a line search has found its scale
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # of networks whose cost is fitted
# on which a step's work is counted: of the equation, of every other term
FEW_POINTS = 30, 20


@dataclass(frozen=True)
class Work:
    """A step to be timed."""

    framework: str
    optimizer: str
    problem: str
    network: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    # by term; the problem's where a term is not named
    points: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0


class Timed:
    """A step with everything made, compiled and warmed: a call does it and waits for it.

    Every call is the same work: it starts from the parameters and the state after the
    warm-up. Raises ArithmeticError where a warm-up step gives losses that are not finite,
    MemoryError where a step cannot fit, and what `implementations.load` and `problems.get`
    raise.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.framework = implementations.load(work.framework)
        self.problem = problems.get(work.problem)
        start = networks.initial_parameters(
            work.network, commits.inputs(self.problem), self.problem.outputs, work.seed
        )
        backend = self.framework.backend
        self.batch = backend.from_numpy_tree(
            commits.batch(
                self.problem, work.seed, {**commits.points(self.problem), **work.points}
            )
        )
        self.objective = commits.objective(
            self.framework, self.problem, work.network, work.seed
        )
        self.params = backend.from_numpy_tree(start)
        self.optimizer, self.step = self._made()
        if commits.foresees(backend):
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
        self.compile_seconds = time.perf_counter() - begin  # a step is among them
        for _ in range(WARM_UP):
            self.params, self.state, _ = self._checked()
        self._checked()

    def __call__(self) -> None:
        """Do the step and wait for it."""
        self.framework.backend.wait(self.step(self.params, self.state, self.batch))

    def variant(self, **hyperparameters: Any) -> Callable[[], None]:
        """Give the same step, from the same state, with other hyperparameters."""
        _, step = self._made(**hyperparameters)
        return lambda: self.framework.backend.wait(
            step(self.params, self.state, self.batch)
        )

    def function(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Compile a function of parameters, batch and arguments; a call waits for it."""
        compiled = self.framework.backend.compile(function)

        def call() -> Any:
            result = compiled(self.params, self.batch, *arguments)
            self.framework.backend.wait(result)
            return result

        return call

    def block(self, steps: int) -> Callable[[], None]:
        """Compile a block of so many steps from the same state; a call waits for it."""
        # an older commit that asv times has no blocks
        from optbench.implementations.blocks import LONGEST, Bounds

        run = self.framework.compile_block(self.optimizer, self.objective, donate=False)
        free = Bounds(ceiling=float("inf"), idle=0, most_idle=LONGEST)
        shares = np.zeros(LONGEST)
        return lambda: self.framework.backend.wait(
            run(self.params, self.state, self.batch, shares, steps, free)
        )

    def evaluations(self) -> int:
        """Count how often the line search evaluates the loss in a step; 0 without one."""
        return self._counted("evaluations")

    def products(self) -> int:
        """Count a step's products of the curvature with a vector; 0 without any.

        There is one per iteration of its conjugate gradients.
        """
        return self._counted("iterations")

    def launches(self) -> Launches:
        """Count the launches of a step."""
        arguments = self.params, self.state, self.batch
        return launches.count(self.work.framework, self.step, *arguments)

    def launches_of(self, function: Callable[..., Any], *arguments: Any) -> Launches:
        """Count the launches of a function of parameters, batch and arguments."""
        compiled = self.framework.backend.compile(function)
        arguments = self.params, self.batch, *arguments
        return launches.count(self.work.framework, compiled, *arguments)

    def reads(self) -> int:
        """Count how often a step asks the device for numbers."""
        before = commits.reads(self.framework.backend)
        self()
        return commits.reads(self.framework.backend) - before

    def _counted(self, name: str) -> int:
        _, state, _ = self.step(self.params, self.state, self.batch)
        after, before = (
            int(self.framework.backend.to_numpy(self.optimizer.counters(it).get(name, 0)))
            for it in (state, self.state)
        )
        return after - before

    def _checked(self) -> tuple[Any, Any, Any]:
        """Do a step; raise where its optimizer complains or its losses are not finite."""
        params, state, losses = self.step(self.params, self.state, self.batch)
        self.optimizer.check(state)
        if not commits.loss(self.framework, losses) < float("inf"):
            raise ArithmeticError(f"{self.work.optimizer} diverged while it was warmed up")
        return params, state, losses

    def _made(self, **hyperparameters: Any) -> tuple[Any, Callable[..., Any]]:
        optimizer = commits.optimizer(
            self.framework,
            self.work.optimizer,
            {**self.work.hyperparameters, **hyperparameters},
        )
        step = self.framework.backend.compile(partial(optimizer.step, self.objective))
        return optimizer, step


def few_points(
    problem: Any, interior: int | None = None, others: int | None = None
) -> dict[str, int]:
    """Give so many points of the equation and of every other term; FEW_POINTS if None."""
    equation, condition = FEW_POINTS
    return {
        name: (interior or equation) if name == "interior" else (others or condition)
        for name in commits.points(problem)
    }


def network(width: int) -> str:
    """Name the network of a width, its layers in the proportions of `tanh_64_64_48_48`."""
    narrow = 3 * width // 4
    return f"tanh_{width}_{width}_{narrow}_{narrow}"


def product(framework: "implementations.Framework", size: int) -> Callable[[], None]:
    """Compile the product of two square matrices, which tells a machine's speed."""
    backend = framework.backend
    matrix = backend.from_numpy(np.random.default_rng(0).normal(size=(size, size)))
    multiply = backend.compile(lambda matrix: matrix @ matrix)
    return lambda: backend.wait(multiply(matrix))


def medians(
    functions: Mapping[str, Callable[[], None]], seconds: float, least: int = 5
) -> dict[str, float]:
    """Give the median seconds of each function, called in turn for so long.

    What drifts in the machine drifts for all of them.
    """
    for function in functions.values():
        function()
    samples: dict[str, list[float]] = {name: [] for name in functions}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < least or time.perf_counter() < end:
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            samples[name].append(time.perf_counter() - begin)
        rounds += 1
    return {name: statistics.median(times) for name, times in samples.items()}


def _flops(timed: Timed) -> float:
    """Count the floating-point operations of a step, factorisations left out.

    In PyTorch those of the matrix products that are called, in JAX those of the compiled
    program, elementwise ones included and the body of a loop once.
    """
    if timed.work.framework == "jax":
        step: Any = timed.step
        program = step.lower(timed.params, timed.state, timed.batch).compile()
        return float(program.cost_analysis()["flops"])
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        timed()
    return float(counter.get_total_flops())


def _compilations(timed: Timed) -> int:
    """Count the programs compiled for the step so far.

    0 where it runs eagerly; more than one where its state changes its types.
    """
    return getattr(timed.step, "_cache_size", int)()


QUANTITIES: dict[str, Callable[[Timed], float]] = {
    "flops": _flops,
    "host_reads": Timed.reads,
    "line_search_evaluations": Timed.evaluations,
    "compilations": _compilations,
    "launches": lambda timed: timed.launches().number,
}


def counts(work: Work) -> dict[str, float]:
    """Count every quantity of a step on few points, but for those unknown to a commit.

    Raises what `Timed` raises.
    """
    timed = Timed(replace(work, points=few_points(problems.get(work.problem))))
    unknown = commits.uncounted(timed.framework.backend, timed.optimizer, timed.state)
    return {name: count(timed) for name, count in QUANTITIES.items() if name not in unknown}


def peak_memory(work: Work) -> int:
    """Give the bytes that a step adds to those held with the framework loaded.

    Raises NotImplementedError in an old commit whose backends do not tell.
    """
    if not commits.peaks(implementations.load(work.framework).backend):
        raise NotImplementedError("this commit does not tell its peak memory")
    return with_memory(work)[1]


def with_memory(work: Work) -> tuple[Timed, int]:
    """Do a step once; give it, and the bytes that it adds to the loaded framework's.

    In a process of its own: what an earlier step freed would be counted as held.
    """
    backend = implementations.load(work.framework).backend
    backend.reset_peak_memory()
    before = backend.peak_memory() or 0
    timed = Timed(work)
    warmed = backend.peak_memory()
    backend.reset_peak_memory()
    timed()
    # JAX on a GPU tells only a peak above those before
    return timed, (backend.peak_memory() or warmed or 0) - before
