"""How closely what is published keeps the bounds of `optbench verify`.

`python docs/made/margins.py` prints the numbers of docs/guides/promises.md, which are
written into it by hand: of every bound of speed the closest record, and how far the same
run in the two frameworks comes apart.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from optbench import implementations
from optbench.campaign import results_folder
from optbench.records.record import Record
from optbench.verify import rerun, speed

ROOT = Path(__file__).parents[2]
LARGE = 1e-3  # a difference after one step that is more than rounding


def closest(found: Sequence[results_folder.Results]) -> Iterator[str]:
    """Say which record comes closest to each bound of speed, and how close."""
    nearest: dict[str, tuple[float, Path]] = {}
    for results in found:
        every = [
            (file, bound)
            for file, record in results.records.items()
            for bound in speed.bounds(record)
        ]
        for file, bound in [*every, *speed.beside_seeds(results)]:
            times = bound.seconds / bound.usual if bound.usual else np.inf
            here = times, file.relative_to(ROOT)
            nearest[bound.rule] = min(here, nearest.get(bound.rule, here))
    for rule, (times, file) in nearest.items():
        yield f"{rule}: the closest has {times:.2g} times what is usual ({file})"


def pairs(found: Sequence[results_folder.Results]) -> Iterator[tuple[Record, Record]]:
    """Give the runs in PyTorch and in JAX that differ by nothing else."""
    for results in found:
        runs: dict[str, dict[str, Record]] = defaultdict(dict)
        for record in results.records.values():
            same = record.request.model_copy(update={"framework": "", "mode": ""})
            runs[same.identity][record.request.framework] = record
        for each in runs.values():
            if each.keys() >= set(implementations.FRAMEWORKS):
                yield each["torch"], each["jax"]


def apart(found: Sequence[results_folder.Results]) -> Iterator[str]:
    """Say how far the frameworks come apart: before a step, after one, and at the end."""
    before, after, ends = [], [], []
    for torch, jax in pairs(found):
        differences = rerun.by_step(torch, jax)
        before += [differences[0]] if 0 in differences else []
        after += [differences[1]] if 1 in differences else []
        if torch.status == jax.status == "finished" and (last := max(differences)):
            one, other = (
                next(row.rms for row in record.history if row.step == last)
                for record in (torch, jax)
            )
            ends.append(rerun.ratio(one, other))
    yield f"before a step: {len(before)} pairs, at most {max(before):.1e} apart"
    yield (
        f"after one step: {len(after)} pairs, {np.median(after):.1e} apart in half, "
        f"{np.quantile(after, 0.95):.1e} in one of twenty, and more than {LARGE:g} in "
        f"{sum(by > LARGE for by in after)}"
    )
    yield (
        f"after the last common step: {len(ends)} pairs, the errors of "
        f"{sum(times > rerun.FACTOR for times in ends)} by more than {rerun.FACTOR:g} times"
    )


if __name__ == "__main__":
    published = results_folder.find(ROOT / "results")
    print(f"{sum(len(results.records) for results in published)} records")
    for line in [*closest(published), *apart(published)]:
        print(line)
