"""Whether one commit's steps are worse than another's: pure functions of what both were measured at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from optbench.measure import bootstrap
from optbench.measure.commit_process import Measured
from optbench.measure.parity import difference

WORK = 0.01  # the share by which a count may rise
ACCURACY = 1e-3  # the share by which the error of a short run may change
TWINS = 1e-10  # what the twins' parameters may always differ by in a short run, relatively
TIME = 0.05  # the least share of the time that is called slower, however quiet the machine
MOVED = (
    0.15  # the share by which the calibration kernel's time may differ between the commits
)
RESAMPLES = 2000  # of the bootstrap
TREES = ("base", "again", "head")  # the base twice: what equal commits differ by

Kind = Literal["work", "accuracy", "lost", "time"]


@dataclass(frozen=True)
class Verdict:
    """One number of both commits."""

    kind: Kind
    framework: str
    optimizer: str
    what: str
    base: float
    head: float
    worse: bool
    interval: tuple[float, float] | None = None  # of head / base

    @property
    def ratio(self) -> float:
        """Head over base."""
        return self.head / self.base if self.base else np.inf if self.head else 1.0


@dataclass(frozen=True)
class Times:
    """What a framework's processes took with each tree, a list a process: `samples[tree][process][optimizer]`."""

    framework: str
    processes: dict[str, list[Measured]]
    counts: dict[str, Measured]  # work and accuracy of base and head

    def minima(self, tree: str, optimizer: str) -> np.ndarray:
        """Each process's fastest call, in seconds."""
        return np.array(
            [
                min(one.samples[optimizer])
                for one in self.processes[tree]
                if one.samples.get(optimizer)
            ]
        )

    def calibration(self, tree: str) -> float:
        """The fastest product of two matrices, in seconds."""
        return min(min(one.calibration) for one in self.processes[tree])

    def optimizers(self) -> list[str]:
        """Those that all trees have samples of."""
        found = [
            set(one.samples) for processes in self.processes.values() for one in processes
        ]
        return sorted(set.intersection(*found))


def counted(framework: str, base: Measured, head: Measured) -> Iterator[Verdict]:
    """Work and accuracy, exactly; and what the head has lost."""
    for optimizer in base.work:
        if optimizer not in head.work:
            yield Verdict(
                "lost",
                framework,
                optimizer,
                head.failed.get(optimizer, "not measured"),
                1,
                0,
                worse=True,
            )
            continue
        for quantity, before in base.work[optimizer].items():
            after = head.work[optimizer].get(quantity)
            if after is None:
                yield Verdict(
                    "lost", framework, optimizer, quantity, before, np.nan, worse=True
                )
            else:
                yield Verdict(
                    "work",
                    framework,
                    optimizer,
                    quantity,
                    before,
                    after,
                    after > (1 + WORK) * before,
                )
        before, after = base.error[optimizer], head.error[optimizer]
        changed = not abs(after - before) <= ACCURACY * before
        yield Verdict(
            "accuracy", framework, optimizer, "relative L2", before, after, changed
        )


def parted(every: Sequence[Times]) -> Iterator[Verdict]:
    """How far the twins walk apart; worse where the head's do ten times as far as the base's."""
    for one, other in combinations(every, 2):
        paths = {
            tree: (one.counts[tree].path, other.counts[tree].path)
            for tree in ("base", "head")
        }
        for optimizer in one.counts["base"].path:
            if all(optimizer in path for pair in paths.values() for path in pair):
                before, after = (
                    difference(*(np.array(path[optimizer]) for path in paths[tree]))
                    for tree in ("base", "head")
                )
                apart = not after <= 10 * max(TWINS, before)
                twins = f"{one.framework} and {other.framework}"
                yield Verdict(
                    "accuracy",
                    twins,
                    optimizer,
                    "difference of the twins",
                    before,
                    after,
                    apart,
                )


def unmeasured(times: Times) -> Iterator[str]:
    """Why an optimizer was not compared; one that only the head has is new, and nothing to compare."""
    base, head = times.counts["base"], times.counts["head"]
    for optimizer, why in base.failed.items():
        if optimizer not in head.work or not why.startswith(LookupError.__name__):
            yield f"{times.framework}: {optimizer} was not measured at the base: {why}"
    failed = {
        name: why
        for found in times.processes.values()
        for one in found
        for name, why in one.failed.items()
    }
    for optimizer in base.work.keys() & head.work.keys() & failed.keys():
        yield f"{times.framework}: {optimizer} was not timed: {failed[optimizer]}"


def timed(times: Times) -> list[Verdict]:
    """The ratio of the fastest calls; worse where all of its interval is past what the base twice differs by."""
    optimizers = times.optimizers()
    allowed = 1 + max(
        [TIME, *(abs(np.log(ratio(times, "again", name)[0])) for name in optimizers)]
    )
    verdicts = []
    for optimizer in optimizers:
        _, interval = ratio(times, "head", optimizer)
        base, head = (times.minima(tree, optimizer).min() for tree in ("base", "head"))
        worse = interval[0] > allowed
        verdicts.append(
            Verdict(
                "time",
                times.framework,
                optimizer,
                "seconds a step",
                base,
                head,
                worse,
                interval,
            )
        )
    return verdicts


def ratio(times: Times, tree: str, optimizer: str) -> tuple[float, tuple[float, float]]:
    """The ratio of a tree's fastest call to the base's, and its 95 % interval: a bootstrap over processes."""
    base, other = times.minima("base", optimizer), times.minima(tree, optimizer)

    def of_minima(other: np.ndarray, base: np.ndarray, axis: int = -1) -> np.ndarray:
        return other.min(axis) / base.min(axis)

    if min(len(base), len(other)) < 2:
        value = float(of_minima(other, base))
        return value, (value, value)
    interval = bootstrap.interval(of_minima, other, base, resamples=RESAMPLES)
    return float(of_minima(other, base)), interval


def unsteady(times: Times) -> str | None:
    """Why times cannot be judged: the machine worked at another speed for one of the trees."""
    speeds = {tree: times.calibration(tree) for tree in TREES}
    if max(speeds.values()) <= (1 + MOVED) * min(speeds.values()):
        return None
    told = ", ".join(
        f"{1e3 * seconds:.2f} ms for {tree}" for tree, seconds in speeds.items()
    )
    return f"{times.framework}: a product of two matrices took {told}: more than {MOVED:.0%} apart"


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """A row a verdict, the worse ones first."""
    rows = [
        {
            "": "worse" if verdict.worse else "",
            "by": verdict.kind,
            "framework": verdict.framework,
            "optimizer": verdict.optimizer,
            "what": verdict.what,
            "base": f"{verdict.base:.4g}",
            "head": f"{verdict.head:.4g}",
            "head / base": f"{verdict.ratio:.3f}",
            "interval": "[{:.3f}, {:.3f}]".format(*verdict.interval)
            if verdict.interval
            else "",
        }
        for verdict in sorted(verdicts, key=lambda verdict: not verdict.worse)
    ]
    return pd.DataFrame(rows)
