"""The certificate that no baseline is weak: how it is made, kept, judged and read.

`optbench baselines` makes it.
"""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from optbench.measure import baselines
from optbench.measure.baselines import TIME, Baseline, Comparison, Posed
from optbench.problems.names import InvalidName, UnknownName
from optbench.records import cores, files, provenance

NAME = "baselines.json"
PACKAGES = ("scipy", "optax", "pytorch_optimizer")  # of the rivals, beside the frameworks


class OtherCertificate(InvalidName):
    """A certificate of another machine or other packages; the message is one line."""


@dataclass(frozen=True)
class Certificate:
    """All comparisons, and where they come from."""

    machine: str
    versions: dict[str, str | None]
    comparisons: list[Comparison]

    @property
    def holds(self) -> bool:
        """Every comparison holds."""
        return all(comparison.holds for comparison in self.comparisons)


def chosen(
    problems: Sequence[str], optimizers: Sequence[str], frameworks: Sequence[str]
) -> list[tuple[Baseline, Posed]]:
    """Give the baselines to be measured on each problem; all where none are named.

    Raises UnknownName.
    """
    posed = {each.problem: each for each in baselines.PROBLEMS}
    known = list(dict.fromkeys(each.optimizer for each in baselines.BASELINES))
    for name in problems:
        if name not in posed:
            raise UnknownName("problem with baselines", name, posed)
    for name in optimizers:
        if name not in known:
            raise UnknownName("baseline", name, known)
    return [
        (baseline, posed[problem])
        for framework in frameworks  # each has a process of its own
        for problem in problems or posed
        for baseline in baselines.BASELINES
        if baseline.framework == framework and baseline.optimizer in (optimizers or known)
    ]


def packages(jobs: Sequence[tuple[Baseline, Posed]]) -> set[str]:
    """Name the packages of the rivals."""
    return {rival.package for baseline, _ in jobs for rival in baseline.rivals}


def run(
    jobs: Sequence[tuple[Baseline, Posed]],
    gradients: int,
    seeds: int,
    rounds: int,
    say: Callable[[str], None],
) -> Iterator[Comparison]:
    """Measure on a core of its own, in a process for each framework.

    `say` is told what is measured, and where other processes of ours are on the core.
    """
    context = multiprocessing.get_context("spawn")
    frameworks = dict.fromkeys(baseline.framework for baseline, _ in jobs)
    done = 0
    with cores.claimed(1, say) as claim:
        for framework in frameworks:
            with ProcessPoolExecutor(
                1, context, initializer=cores.pin_to, initargs=(claim.cores,)
            ) as pool:
                for baseline, posed in jobs:
                    if baseline.framework != framework:
                        continue
                    done += 1
                    names = " and ".join(rival.name for rival in baseline.rivals)
                    say(
                        f"[{done}/{len(jobs)}] {posed.problem}: {baseline.optimizer} in "
                        f"{framework} beside {names}"
                    )
                    yield from pool.submit(
                        baselines.measure, baseline, posed, gradients, seeds, rounds
                    ).result()


def made(comparisons: Sequence[Comparison]) -> Certificate:
    """Make the certificate of what was measured here."""
    source = provenance.collect()
    commit = (source.commit or "unknown") + ("+" if source.dirty else "")
    versions = {name: _version(name) for name in PACKAGES}
    return Certificate(
        source.machine,
        source.packages | versions,
        [replace(each, commit=commit) for each in comparisons],
    )


def joined(kept: Certificate, new: Certificate) -> Certificate:
    """Put new comparisons in the place of the same ones that are kept, or after all.

    Raises OtherCertificate where they are of another machine or of other packages.
    """
    for what in ("machine", "versions"):
        was, here = getattr(kept, what), getattr(new, what)
        if was != here:
            raise OtherCertificate(
                f"the certificate that is there has other {what}, {was} in place of "
                f"{here}: name another folder"
            )
    pairs = {each.pair: each for each in (*kept.comparisons, *new.comparisons)}
    return replace(new, comparisons=list(pairs.values()))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write(certificate: Certificate, folder: Path) -> Path:
    """Keep a certificate, with all counts and samples, and give its file."""
    folder.mkdir(parents=True, exist_ok=True)
    files.replace(folder / NAME, json.dumps(asdict(certificate), indent=1) + "\n")
    return folder / NAME


def read(file: Path) -> Certificate:
    """Read a certificate."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    comparisons = [Comparison(**each) for each in content.pop("comparisons")]
    return Certificate(**content, comparisons=comparisons)


def failures(certificate: Certificate) -> Iterator[str]:
    """Say in a line for each what does not hold."""
    for each in certificate.comparisons:
        where = f"{each.problem}: {each.optimizer} in {each.framework}"
        if not each.few_gradients and each.worst is not None:
            yield (
                f"{where} needs {_factor(each.gradient_ratio(each.worst))} times the "
                f"{each.counts} of {each.rival} to a loss of {each.worst}"
            )
        if not each.fast:
            yield (
                f"{where} needs {_factor(each.time_ratio)} times the time of "
                f"{each.rival}, {_between(each.time_interval)}"
            )


def data(certificate: Certificate) -> pd.DataFrame:
    """Lay the numbers out, one row per comparison; counts are medians of the seeds."""
    rows = []
    for each in certificate.comparisons:
        ours, theirs = (_medians(pairs) for pairs in zip(*each.losses, strict=True))
        row: dict[str, Any] = {
            "problem": each.problem,
            "network": each.network,
            "framework": each.framework,
            "ours": each.optimizer,
            "hyperparameters": _hyperparameters(each),
            "rival": each.rival,
            "counts": each.counts,
            "budget": each.gradients,
            "loss_ours": ours,
            "loss_rival": theirs,
        }
        for name, pairs in each.reached.items():
            short = name.replace(" ", "_")
            row[f"ours_{short}"], row[f"rival_{short}"] = (
                _medians([np.inf if n is None else n for n in counts])
                for counts in zip(*pairs, strict=True)
            )
        seconds = [_medians(times) for times in zip(*each.seconds, strict=True)]
        row |= {
            "gradient_ratio": each.gradient_ratio(each.worst) if each.worst else np.nan,
            "gradient_low": each.gradient_interval[0],
            "gradient_high": each.gradient_interval[1],
            "allowed": each.allowed,
            "seconds_ours": seconds[0],
            "seconds_rival": seconds[1],
            "time_ratio": each.time_ratio,
            "time_low": each.time_interval[0],
            "time_high": each.time_interval[1],
            "holds": each.holds,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def shown(certificate: Certificate) -> pd.DataFrame:
    """Lay them out as people read them: ours / the rival's."""
    numbers: Any = data(certificate)
    rows = []
    for each, row in zip(certificate.comparisons, numbers.to_dict("records"), strict=True):
        cells = {
            "problem": each.problem,
            "ours": f"{each.optimizer} ({each.framework})",
            "beside": each.rival,
            "loss after": f"{row['loss_ours']:.1e} / {row['loss_rival']:.1e} "
            f"({each.gradients:,})",
        }
        for threshold in baselines.THRESHOLDS:
            name = baselines.named(threshold)
            counts = [row[f"{side}_{name}"] for side in ("ours", "rival")]
            cells[f"to {name}"] = " / ".join(map(_count, counts))
        cells |= {
            "largest ratio": _ratio(row["gradient_ratio"], each.gradient_interval),
            "ms": " / ".join(
                f"{1e3 * row[f'seconds_{side}']:.3g}" for side in ("ours", "rival")
            ),
            "time": _ratio(each.time_ratio, each.time_interval),
            "holds": "yes" if each.holds else "NO",
        }
        rows.append(cells)
    return pd.DataFrame(rows)


def table(certificate: Certificate, form: str = "simple") -> str:
    """Render a certificate as text, or in another of tabulate's formats."""
    return tabulate(
        shown(certificate),  # type: ignore[arg-type]
        headers="keys",
        tablefmt=form,
        showindex=False,
        disable_numparse=True,
    )


def caption(certificate: Certificate) -> str:
    """Say what the table shows and what it was made from."""
    seeds = max((len(each.losses) for each in certificate.comparisons), default=0)
    versions = ", ".join(
        f"{name} {version}" for name, version in certificate.versions.items() if version
    )
    return (
        f"Ours / theirs: the lowest loss among so many gradients (of least-squares methods "
        f"Jacobians), the gradients to losses of {baselines.THRESHOLDS[0]:.0e} to "
        f"{baselines.THRESHOLDS[-1]:.0e} ({_seeds(seeds)}), the largest ratio of those, "
        f"and milliseconds per gradient with the median ratio of walks in turn; 95 % "
        f"intervals in brackets. A row holds where the first ratio is at most what is "
        f"allowed (1.25; BFGS 1.6) and the interval of the second reaches {TIME}. A loss "
        f"counts where theirs reached it from most of the starts. "
        f"Measured on {certificate.machine}, {_commits(certificate)}, with "
        f"{versions}."
    )


def _seeds(number: int) -> str:
    return "one seed" if number == 1 else f"medians of {number} seeds"


def _commits(certificate: Certificate) -> str:
    commits = dict.fromkeys(each.commit for each in certificate.comparisons)
    names = [commit[:10] + "+" * commit.endswith("+") for commit in commits]
    return f"commit{'s' * (len(names) > 1)} {' and '.join(names)}"


def _medians(values: Sequence[float]) -> float:
    # the lower one of two: a walk that arrives nowhere has no number
    return float(np.quantile(values, 0.5, method="lower")) if len(values) else np.nan


def _hyperparameters(each: Comparison) -> str:
    values = (f"{name}={value}" for name, value in each.hyperparameters.items())
    return ", ".join(values) or "defaults"


def _count(number: float) -> str:
    return f"{number:,.0f}" if np.isfinite(number) else "–"


def _factor(ratio: float) -> str:
    return f"{ratio:.2f}" if np.isfinite(ratio) else "more than the allowed"


def _between(interval: tuple[float, float]) -> str:
    return "[{:.2f}, {:.2f}]".format(*interval)


def _ratio(value: float, interval: tuple[float, float]) -> str:
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞"
    return (
        f"{value:.2f} {_between(interval)}" if interval[0] < interval[1] else f"{value:.2f}"
    )
