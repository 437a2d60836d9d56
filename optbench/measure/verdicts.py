"""Whether one commit's steps are worse than another's: pure functions of measurements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from optbench.measure import bootstrap
from optbench.measure.commit_process import Measurements
from optbench.measure.parity import difference

WORK = 0.01  # the share by which a count may rise
EXACT = {"launches"}  # counts that may not rise at all
ACCURACY = 1e-3  # the share by which the error of a short run may change
TWINS = 1e-10  # what the twins' parameters may always differ by in a short run, relatively
TIME = 0.05  # the least share of the time that is called slower, however quiet the machine
MOVED = 0.15  # the share by which the calibration's time may differ between the commits
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
    """What a framework's processes measured."""

    framework: str
    processes: dict[str, list[Measurements]]  # by tree
    counts: dict[str, Measurements]  # work and accuracy of base and head

    def minima(self, tree: str, optimizer: str) -> np.ndarray:
        """Give the fastest call of each of a tree's processes, in seconds."""
        processes = (process.samples.get(optimizer) for process in self.processes[tree])
        return np.array([min(samples) for samples in processes if samples])

    def calibration(self, tree: str) -> float:
        """Give the fastest product of two matrices, in seconds."""
        return min(min(process.calibration) for process in self.processes[tree])

    def optimizers(self) -> list[str]:
        """Name those that all processes have samples of."""
        every = (process for tree in self.processes.values() for process in tree)
        return sorted(set.intersection(*(set(process.samples) for process in every)))


def counted(framework: str, base: Measurements, head: Measurements) -> Iterator[Verdict]:
    """Compare work and accuracy, exactly; name what the head has lost."""
    for optimizer, counts in base.work.items():
        names: dict[str, Any] = {"framework": framework, "optimizer": optimizer}
        if optimizer not in head.work:
            reason = head.failed.get(optimizer, "not measured")
            yield Verdict("lost", **names, what=reason, base=1, head=0, worse=True)
            continue
        for quantity, before in counts.items():
            after = head.work[optimizer].get(quantity, np.nan)
            allowed = 0 if quantity in EXACT else WORK
            yield Verdict(
                kind="lost" if np.isnan(after) else "work",
                **names,
                what=quantity,
                base=before,
                head=after,
                worse=not after <= (1 + allowed) * before,
            )
        before, after = base.error[optimizer], head.error[optimizer]
        yield Verdict(
            "accuracy",
            **names,
            what="relative L2",
            base=before,
            head=after,
            worse=not abs(after - before) <= ACCURACY * before,
        )


def parted(frameworks: Sequence[Times]) -> Iterator[Verdict]:
    """Compare how far the twins walk apart.

    It is worse where the head's do more than ten times as far as the base's.
    """
    for one, other in combinations(frameworks, 2):
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
                yield Verdict(
                    "accuracy",
                    framework=f"{one.framework} and {other.framework}",
                    optimizer=optimizer,
                    what="difference of the twins",
                    base=before,
                    head=after,
                    worse=not after <= 10 * max(TWINS, before),
                )


def unmeasured(times: Times) -> Iterator[str]:
    """Say why optimizers were not compared, but for new ones, which only the head has."""
    base, head = times.counts["base"], times.counts["head"]
    for optimizer, reason in base.failed.items():
        if optimizer not in head.work or not reason.startswith(LookupError.__name__):
            yield f"{times.framework}: {optimizer} was not measured at the base: {reason}"
    reasons = {
        optimizer: reason
        for tree in times.processes.values()
        for process in tree
        for optimizer, reason in process.failed.items()
    }
    for optimizer in base.work.keys() & head.work.keys() & reasons.keys():
        yield f"{times.framework}: {optimizer} was not timed: {reasons[optimizer]}"


def timed(times: Times) -> list[Verdict]:
    """Compare the fastest calls.

    The head is worse where all of the ratio's interval is past what the base differs from
    itself by.
    """
    optimizers = times.optimizers()
    itself = (abs(np.log(ratio(times, "again", name)[0])) for name in optimizers)
    allowed = 1 + max([TIME, *itself])
    verdicts = []
    for optimizer in optimizers:
        _, interval = ratio(times, "head", optimizer)
        verdicts.append(
            Verdict(
                "time",
                framework=times.framework,
                optimizer=optimizer,
                what="seconds per step",
                base=times.minima("base", optimizer).min(),
                head=times.minima("head", optimizer).min(),
                worse=interval[0] > allowed,
                interval=interval,
            )
        )
    return verdicts


def ratio(times: Times, tree: str, optimizer: str) -> tuple[float, tuple[float, float]]:
    """Give the ratio of a tree's fastest call to the base's, and its interval.

    It is a bootstrap over processes.
    """
    base, other = times.minima("base", optimizer), times.minima(tree, optimizer)

    def of_minima(other: np.ndarray, base: np.ndarray, axis: int = -1) -> Any:
        return other.min(axis) / base.min(axis)

    value = float(of_minima(other, base))
    if min(len(base), len(other)) < 2:
        return value, (value, value)
    return value, bootstrap.interval(of_minima, other, base, resamples=RESAMPLES)


def unsteady(times: Times) -> str | None:
    """Say why times cannot be judged: the machine's speed was not that of all trees."""
    speeds = {tree: times.calibration(tree) for tree in TREES}
    if max(speeds.values()) <= (1 + MOVED) * min(speeds.values()):
        return None
    words = ", ".join(
        f"{1e3 * seconds:.2f} ms for {tree}" for tree, seconds in speeds.items()
    )
    return (
        f"{times.framework}: a product of two matrices took {words}: "
        f"more than {MOVED:.0%} apart"
    )


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Lay the verdicts out, one per row, the worse ones first."""
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
