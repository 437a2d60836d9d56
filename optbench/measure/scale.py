"""How a step's cost grows with the network: `optbench scale`, its fits and crossovers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
from rich.console import Console
from scipy import stats
from tabulate import tabulate

from optbench.campaign import campaign as campaigns
from optbench.campaign.campaign import Campaign
from optbench.campaign.results_folder import CAMPAIGN
from optbench.measure import cost_figures
from optbench.measure.bootstrap import LEVEL
from optbench.measure.timed import WARM_UP, network
from optbench.problems.names import UnknownName
from optbench.records import checksums, files, store
from optbench.records.frames import Frames, from_records
from optbench.records.record import ANSWERS, Record
from optbench.schedule.progress import line

LARGE = 10_000  # parameters from which on a power law is fitted
# how a run ends whose steps are what they should be
MEASURED = (*ANSWERS, "timed-out")
COLUMNS = [
    *("optimizer", "framework", "width", "parameters", "status"),
    *("step_seconds", "evaluations", "compile_seconds", "peak_memory"),
]
TABLES = ("scale.csv", "exponents.csv", "crossovers.csv")
PAIRS = (
    ("engd", "kfac"),
    ("engd_per_layer", "kfac"),
    ("engd_woodbury", "kfac"),
)  # whose crossovers are named


def campaign(
    problem: str,
    widths: Sequence[int],
    optimizers: Sequence[str],
    frameworks: Sequence[str],
    steps: int = 1,
    **limits: float,
) -> Campaign:
    """Plan so many steps of each optimizer at each width after WARM_UP.

    The hyperparameters are those of `quick.toml`, the networks those of `network`. Raises
    CampaignError and UnknownName.
    """
    tables = campaigns.read(campaigns.find("quick")).case[0].optimizers or {}
    known = {
        name: table for name, table in tables.items() if not table.stages
    }  # which have no one step to measure
    for optimizer in optimizers:
        if optimizer not in known:
            raise UnknownName("optimizer", optimizer, known)
    plan = {
        "version": "1.0",
        "frameworks": list(frameworks),
        "optimizers": {
            name: {"from": table.origin, **(table.model_extra or {})}
            for name, table in known.items()
            if name in optimizers or not optimizers
        },
        "case": [
            {"name": f"width {width}", "problem": problem, "network": network(width)}
            for width in widths
        ],
        "steps": WARM_UP + steps,
        **limits,
    }
    return campaigns.parse(plan, "scale")


def keep(plan: Campaign, folder: Path) -> None:
    """Write the campaign beside its records, for `optbench verify`."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = plan.model_dump(by_alias=True, exclude_none=True)
    files.replace(folder / CAMPAIGN, tomli_w.dumps(tables))


def report(folder: Path, console: Console) -> None:
    """Print exponents and crossovers; write them, the measurements and their figure."""
    records = [record for _, record in store.records(folder)]
    made = tables(records)
    _, fitted, crossed = made.values()
    print(render(fitted), file=console.file)
    for crossover in crossed.to_dict("records"):
        print(in_words(crossover), file=console.file)
    for name, table in made.items():
        files.replace(folder / name, table.to_csv(index=False, lineterminator="\n"))
        line(console, f"written: {folder / name}")
    for path in draw(records, folder):
        line(console, f"written: {path}")
    checksums.write(folder)


def tables(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Make the measurements, exponents and crossovers, by the names of their files."""
    measured = measurements(from_records(records))
    made = (measured, pd.DataFrame(fits(measured)), pd.DataFrame(crossovers(measured)))
    return dict(zip(TABLES, made, strict=True))


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw cost over parameters; give the paths."""
    measured, fitted, crossed = tables(records).values()
    memory = max(record.provenance.memory for record in records)
    return cost_figures.cost_over_parameters(measured, fitted, folder, memory, crossed)


def render(fitted: pd.DataFrame) -> str:
    """Render the exponents as text."""
    rows = [
        (
            fit["optimizer"],
            fit["framework"],
            f"{fit['exponent']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}]",
            f"{fit['smallest']:,.0f} to {fit['largest']:,.0f}",
        )
        for fit in fitted.to_dict("records")
    ]
    return tabulate(rows, ("optimizer", "framework", "exponent of D", "D"))


def measurements(results: Frames) -> pd.DataFrame:
    """Give what a step costs and how often its line search evaluates the loss, by run.

    Both are medians of the steps after WARM_UP, as `Timed` has it, since a line search that
    has not yet its scale is other work; NaN where there was no such step.
    """
    history: Any = results.history.sort_values(["run", "step"])
    steps = history.groupby("run")[["step", "seconds", "evaluations"]].diff()[
        history["step"] > WARM_UP
    ]
    costs = (
        steps[["seconds", "evaluations"]]
        .div(steps["step"], axis=0)
        .groupby(history["run"])
        .median()
    ).rename(columns={"seconds": "step_seconds"})
    runs: Any = results.runs.drop(columns=["evaluations", "step_seconds"]).merge(
        costs, left_on="run", right_index=True, how="left"
    )
    runs["step_seconds"] = runs["step_seconds"].where(runs["status"].isin(MEASURED))
    widths = runs["network"].str.split("_").str[1].astype(int)
    return (
        runs.assign(width=widths)[COLUMNS]
        .sort_values(["optimizer", "framework", "width"])
        .reset_index(drop=True)
    )


def fits(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Fit seconds ∝ D^exponent where D is large, by optimizer and framework.

    The exponent has an interval; fewer than three networks have none, and no fit.
    """
    large: Any = measured[
        (measured["parameters"] >= LARGE) & measured["step_seconds"].notna()
    ]
    for (optimizer, framework), rows in large.groupby(["optimizer", "framework"]):
        if len(rows) < 3:
            continue
        fit: Any = stats.linregress(
            np.log(rows["parameters"]), np.log(rows["step_seconds"])
        )
        reach = stats.t.ppf((1 + LEVEL) / 2, len(rows) - 2) * fit.stderr
        yield {
            "optimizer": optimizer,
            "framework": framework,
            "exponent": fit.slope,
            "low": fit.slope - reach,
            "high": fit.slope + reach,
            "smallest": rows["parameters"].min(),
            "largest": rows["parameters"].max(),
            "points": len(rows),
        }


def crossovers(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give where one optimizer's step begins to cost more than another's.

    Between two networks the cost is a straight line in the logarithms. `parameters` and
    `seconds` are NaN for a pair that never crosses; `below` is then the cheaper one
    everywhere.
    """
    for framework, rows in measured.dropna(subset=["step_seconds"]).groupby("framework"):
        seconds = rows.pivot(index="parameters", columns="optimizer", values="step_seconds")
        for pair in PAIRS:
            if set(pair) <= set(seconds):
                yield from (
                    {"framework": framework} | crossover
                    for crossover in _between(seconds[[*pair]].dropna())
                )


def _between(seconds: Any) -> Iterator[dict[str, Any]]:
    if seconds.empty:
        return
    D = np.log(seconds.index.to_numpy(float))
    one, other = np.log(seconds.to_numpy(float)).T
    reach = {"smallest": seconds.index.min(), "largest": seconds.index.max()}
    gap = one - other
    changes = np.flatnonzero(np.diff(gap > 0))
    for left in changes:
        share = gap[left] / (gap[left] - gap[left + 1])
        at, height = (
            line[left] + share * (line[left + 1] - line[left]) for line in (D, one)
        )
        below, above = seconds.columns[:: -1 if gap[left] > 0 else 1]
        yield {
            "below": below,
            "above": above,
            "parameters": np.exp(at),
            "seconds": np.exp(height),
            **reach,
        }
    if not len(changes):
        below, above = seconds.columns[:: -1 if gap[0] > 0 else 1]
        yield {
            "below": below,
            "above": above,
            "parameters": np.nan,
            "seconds": np.nan,
            **reach,
        }


def in_words(crossover: dict[str, Any]) -> str:
    """Say a crossover in a sentence."""
    claim = (
        f"{crossover['framework']}: a step of {crossover['below']} costs less than "
        f"one of {crossover['above']}"
    )
    if np.isnan(crossover["parameters"]):
        smallest, largest = crossover["smallest"], crossover["largest"]
        return f"{claim} at every D measured, {smallest:,.0f} to {largest:,.0f}"
    return f"{claim} up to D ≈ {cost_figures.rounded(crossover['parameters'])}, then more"
