"""Whether our baselines are weak: each beside the best-kept implementations of its method.

Both walk on our objective, from the same start, on the same points. Counted are the
gradients (of least-squares methods the Jacobians) that each computes on the way to a loss,
by the objective itself; both walks are timed in turn.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from optbench.measure import bootstrap, rivals
from optbench.measure.rivals import Ground, Walk, Walker

THRESHOLDS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the loss
# a threshold too, of a rival that reaches none of those: the level of its end, and not its
# lowest loss, which on a noisy walk is luck
LEVEL = "its last tenth"
TIME = 1.1  # the ratio of times that its interval must reach


@dataclass(frozen=True)
class Rival:
    """An implementation by others."""

    name: str
    package: str
    walker: Walker


@dataclass(frozen=True)
class Baseline:
    """A method of ours, and who has it too."""

    optimizer: str
    framework: str
    rivals: tuple[Rival, ...]
    # ours and, by the same names, the rivals'
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    ours: Mapping[str, Any] = field(default_factory=dict)  # that no rival has a name for
    allowed: float = 1.25  # times the rival's gradients
    share: float = 1.0  # of the budget of gradients, which is for searches
    counts: str = "gradients"  # or "Jacobians"
    timed: int = 50  # of a walk that is timed
    network: str | None = None  # in place of the problem's


@dataclass(frozen=True)
class Posed:
    """A problem with its network and the numbers of its points."""

    problem: str
    network: str
    points: Mapping[str, int] = field(default_factory=dict)


SGD = {"learning_rate": 3e-3, "momentum": 0.99}
ADAM = {"learning_rate": 1e-2}
PAIRS = {"history_size": 50}
MUON = {"learning_rate": 2e-2, "adam_learning_rate": 1e-2}
SOAP = {"learning_rate": 1e-2}

TORCH_SGD = Rival("torch.optim.SGD", "torch", rivals.torch_sgd)
TORCH_ADAM = Rival("torch.optim.Adam", "torch", rivals.torch_adam)
TORCH_LBFGS = Rival("torch.optim.LBFGS, tolerances 0", "torch", rivals.torch_lbfgs)
TORCH_USUAL = Rival("torch.optim.LBFGS, defaults", "torch", rivals.torch_lbfgs_by_default)
TORCH_MUON = Rival("torch.optim.Muon and Adam", "torch", rivals.torch_muon)
OTHERS_SOAP = Rival(
    "pytorch_optimizer.SOAP", "pytorch_optimizer", rivals.pytorch_optimizer_soap
)
OPTAX_SGD = Rival("optax.sgd", "optax", rivals.optax_sgd)
OPTAX_ADAM = Rival("optax.adam", "optax", rivals.optax_adam)
OPTAX_LBFGS = Rival("optax.lbfgs", "optax", rivals.optax_lbfgs)
OPTAX_MUON = Rival("optax.contrib.muon and adam", "optax", rivals.optax_muon)
SCIPY_LBFGSB = Rival("SciPy L-BFGS-B", "scipy", rivals.scipy_lbfgsb)
SCIPY_BFGS = Rival("SciPy BFGS", "scipy", rivals.scipy_bfgs)
SCIPY_LM = Rival("SciPy least_squares lm", "scipy", rivals.scipy_lm)

# what no search chooses walks nearly the same path: a quarter of the budget shows it
WALKED = 0.25
# with one hidden layer Muon is Adam
DEEP = "tanh_20_20_20"
BASELINES = (
    Baseline("sgd", "torch", (TORCH_SGD,), SGD, share=WALKED),
    Baseline("sgd", "jax", (OPTAX_SGD,), SGD, share=WALKED),
    Baseline("adam", "torch", (TORCH_ADAM,), ADAM, share=WALKED),
    Baseline("adam", "jax", (OPTAX_ADAM,), ADAM, share=WALKED),
    Baseline("muon", "torch", (TORCH_MUON,), MUON, share=WALKED, network=DEEP),
    Baseline("muon", "jax", (OPTAX_MUON,), MUON, share=WALKED, network=DEEP),
    Baseline("soap", "torch", (OTHERS_SOAP,), SOAP, share=WALKED),
    Baseline("lbfgs_wolfe", "torch", (TORCH_LBFGS, TORCH_USUAL), PAIRS),
    Baseline("lbfgs_wolfe", "jax", (SCIPY_LBFGSB, OPTAX_LBFGS), PAIRS),
    # SciPy's search begins so too
    Baseline("bfgs", "jax", (SCIPY_BFGS,), ours={"first_trial": "decrease"}, allowed=1.6),
    # a Jacobian costs as much as many gradients
    Baseline(
        "levenberg_marquardt",
        "jax",
        (SCIPY_LM,),
        share=1 / 50,
        counts="Jacobians",
        timed=3,
    ),
)
PROBLEMS = (
    Posed("poisson_sine_2d", "tanh_64"),
    Posed("heat_sine_1d", "tanh_64"),
    Posed(
        "burgers_1d", "tanh_20_20_20", {"interior": 2000, "initial": 100, "boundary": 100}
    ),
)


@dataclass(frozen=True)
class Comparison:
    """A baseline beside a rival on a problem: what was counted and timed.

    Pairs are (ours, the rival's), one for each seed.
    """

    problem: str
    network: str
    framework: str
    optimizer: str
    hyperparameters: Mapping[str, Any]
    rival: str
    counts: str
    allowed: float
    gradients: int  # of each walk
    losses: Sequence[tuple[float, float]]  # the lowest among so many gradients
    # by threshold, the gradients until a loss is no larger; None where it was not reached
    reached: Mapping[str, Sequence[tuple[int | None, int | None]]]
    # per gradient, in each round of ours and the rival's
    seconds: Sequence[tuple[float, float]]
    commit: str = "unknown"  # that it was measured at; + has uncommitted changes

    @property
    def pair(self) -> tuple[str, ...]:
        """Who is compared with whom, and on what."""
        return self.problem, self.network, self.framework, self.optimizer, self.rival

    def ratios(self, threshold: str) -> list[float]:
        """Give ours / the rival's gradients of the seeds in which the rival arrived.

        It is infinite where ours did not arrive within what is allowed.
        """
        return [
            np.inf if ours is None else ours / theirs
            for ours, theirs in self.reached[threshold]
            if theirs is not None
        ]

    def gradient_ratio(self, threshold: str) -> float:
        """Average the ratios of a threshold, geometrically; NaN where there are none."""
        ratios = self.ratios(threshold)
        return float(_geometric_mean(np.array(ratios))) if ratios else np.nan

    @property
    def worst(self) -> str | None:
        """The threshold with the largest ratio; None where the rival reached none.

        It reached one where it did from most of the starts: from a few it may have been
        lucky, and ours from others.
        """
        known = [
            name
            for name, pairs in self.reached.items()
            if len(self.ratios(name)) > len(pairs) / 2
        ]
        decades = [name for name in known if name in map(named, THRESHOLDS)]
        return max(decades or known, key=self.gradient_ratio, default=None)

    @property
    def gradient_interval(self) -> tuple[float, float]:
        """The interval of the largest ratio, over the seeds."""
        return _interval(_geometric_mean, self.ratios(self.worst) if self.worst else [])

    @property
    def time_ratio(self) -> float:
        """The median, over the rounds, of ours / the rival's seconds per gradient."""
        return float(np.median(self._time_ratios))

    @property
    def time_interval(self) -> tuple[float, float]:
        """Its interval, over the rounds."""
        return _interval(np.median, self._time_ratios)

    @property
    def _time_ratios(self) -> list[float]:
        # of walks one after the other: what drifts in the machine drifts for both
        return [ours / theirs for ours, theirs in self.seconds]

    @property
    def few_gradients(self) -> bool:
        """No threshold takes more than the allowed times the rival's gradients."""
        return self.worst is None or self.gradient_ratio(self.worst) <= self.allowed

    @property
    def fast(self) -> bool:
        """The time per gradient may be no longer than the rival's."""
        return self.time_interval[0] <= TIME

    @property
    def holds(self) -> bool:
        """Nothing that a reader could install instead is better."""
        return self.few_gradients and self.fast


class Side:
    """One of two that are compared, made for a counted ground and for the plain one."""

    def __init__(self, walker: Callable[[Ground], Walk], grounds: tuple[Ground, Ground]):
        self.counted, self.plain = grounds
        self.walk = walker(self.counted)
        self.timed = walker(self.plain)

    def losses(self, gradients: int) -> list[float]:
        """Walk until so many gradients are counted, or a little further; their losses."""
        return self._count(gradients)[0]

    def timer(self, gradients: int) -> Callable[[], float]:
        """Give a function that walks once, uncounted, and gives seconds per gradient."""
        losses, questions = self._count(gradients)

        def seconds() -> float:
            enough = _after(questions)
            begin = time.perf_counter()
            self.timed(enough)
            return (time.perf_counter() - begin) / len(losses)

        seconds()  # compiles
        return seconds

    def _count(self, gradients: int) -> tuple[list[float], int]:
        """Walk; give the losses, and how often it was asked whether that is enough."""
        told, questions = self.counted.told, 0
        told.clear()

        def enough() -> bool:
            nonlocal questions
            questions += 1
            return len(told) >= gradients or questions > gradients

        self.walk(enough)
        return list(told), questions


def _after(questions: int) -> Callable[[], bool]:
    """Answer yes to the question of this number, and no to those before."""
    left = questions

    def enough() -> bool:
        nonlocal left
        left -= 1
        return left <= 0

    return enough


def measure(
    baseline: Baseline,
    posed: Posed,
    gradients: int,
    seeds: int = 1,
    rounds: int = 0,
) -> list[Comparison]:
    """Compare a baseline with each of its rivals on a problem.

    Walks have the baseline's share of so many gradients; ours goes on for as many more as
    it is allowed to need, so that every threshold is decided. `rounds` of walks are timed.
    Raises what `implementations.load` raises, and ModuleNotFoundError.
    """
    network = baseline.network or posed.network
    grounds = [
        Ground(baseline.framework, posed.problem, network, posed.points, counted=counted)
        for counted in (True, False)
    ]
    walkers = [
        partial(
            rivals.ours,
            optimizer=baseline.optimizer,
            hyperparameters={**baseline.hyperparameters, **baseline.ours},
        ),
        *(partial(rival.walker, **baseline.hyperparameters) for rival in baseline.rivals),
    ]
    sides = [Side(walker, (grounds[0], grounds[1])) for walker in walkers]
    budget = max(1, round(baseline.share * gradients))
    budgets = [int(np.ceil(baseline.allowed * budget)), *[budget] * len(baseline.rivals)]
    walked: list[list[list[float]]] = []  # by seed, by side
    for seed in range(seeds):
        for ground in grounds:
            ground.begin(seed)
        pairs = zip(sides, budgets, strict=True)
        walked.append([side.losses(budget)[:budget] for side, budget in pairs])
    for ground in grounds:
        ground.begin(0)
    timers = [side.timer(baseline.timed) for side in sides] if rounds else []
    seconds = [[timer() for timer in timers] for _ in range(rounds)]
    return [
        Comparison(
            problem=posed.problem,
            network=network,
            framework=baseline.framework,
            optimizer=baseline.optimizer,
            hyperparameters={**baseline.hyperparameters, **baseline.ours},
            rival=rival.name,
            counts=baseline.counts,
            allowed=baseline.allowed,
            gradients=budget,
            losses=[(lowest(each[0][:budget]), lowest(each[number])) for each in walked],
            reached=reached([(each[0], each[number]) for each in walked]),
            seconds=[(each[0], each[number]) for each in seconds],
        )
        for number, rival in enumerate(baseline.rivals, 1)
    ]


def reached(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
) -> dict[str, list[tuple[int | None, int | None]]]:
    """Count the gradients until each threshold, of pairs of ours and the rival's losses."""
    counts: dict[str, list[tuple[int | None, int | None]]] = {}
    for ours, theirs in pairs:
        thresholds = {named(loss): loss for loss in THRESHOLDS}
        # within a hundredth: equal walks differ by rounding
        thresholds[LEVEL] = 1.01 * level(theirs)
        for name, loss in thresholds.items():
            both = until(ours, loss), until(theirs, loss)
            counts.setdefault(name, []).append(both)
    return counts


def named(threshold: float) -> str:
    """Write a threshold as a comparison has it."""
    return f"{threshold:.0e}"


def level(losses: Sequence[float]) -> float:
    """Give the median of the last tenth of the losses; infinity where none is a number."""
    last = np.asarray(losses)[-max(1, len(losses) // 10) :]
    return float(np.nanmedian(last)) if np.isfinite(last).any() else np.inf


def lowest(losses: Sequence[float]) -> float:
    """Give the lowest loss; one that is not a number is none."""
    return float(np.nanmin(losses)) if np.isfinite(losses).any() else np.inf


def until(losses: Sequence[float], threshold: float) -> int | None:
    """Count the gradients until a loss is no larger than the threshold; None: never."""
    below = np.flatnonzero(np.asarray(losses) <= threshold)
    return int(below[0]) + 1 if len(below) else None


def _geometric_mean(ratios: np.ndarray, axis: int = -1) -> Any:
    return np.exp(np.log(ratios).mean(axis))


def _interval(
    statistic: Callable[..., Any], values: Sequence[float]
) -> tuple[float, float]:
    """Give a statistic's interval; of a single value, or where one is infinite, itself."""
    if not values:
        return np.nan, np.nan
    if len(values) < 2 or np.isinf(values).any():
        value = float(statistic(np.array(values)))
        return value, value
    return bootstrap.interval(statistic, values)
