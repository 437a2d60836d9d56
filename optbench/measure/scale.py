"""How a step's cost grows with the network's width: `optbench scale`, a campaign whose records are fitted."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy import stats
from tabulate import tabulate

from optbench.campaign import campaign as campaigns
from optbench.campaign.campaign import Campaign
from optbench.campaign.results_folder import CAMPAIGN
from optbench.measure import cost_figures, crossovers
from optbench.measure.bootstrap import LEVEL
from optbench.measure.timed import WARM_UP
from optbench.measure.widths import network
from optbench.problems.names import UnknownName
from optbench.records import checksums, store
from optbench.records.frames import Frames, from_records
from optbench.schedule.progress import line

LARGE = 10_000  # parameters from which on a power law is fitted
MEASURED = ("finished", "timed-out")  # how a run ends whose steps are what they should be
COLUMNS = ["optimizer", "framework", "width", "parameters", "status", "step_seconds", "evaluations", "compile_seconds",
           "peak_memory"]  # fmt: skip


def campaign(
    problem: str,
    widths: Sequence[int],
    optimizers: Sequence[str],
    frameworks: Sequence[str],
    steps: int = 1,
    **limits: float,
) -> Campaign:
    """So many steps of each optimizer at each width after WARM_UP, with the hyperparameters of `quick.toml`.

    The layers are in the proportions of `tanh_64_64_48_48`. Raises CampaignError and
    UnknownName.
    """
    tables = campaigns.read(campaigns.find("quick")).case[0].optimizers or {}
    known = {
        name: table for name, table in tables.items() if not table.stages
    }  # which have no one step to measure
    for optimizer in optimizers:
        if optimizer not in known:
            raise UnknownName("optimizer", optimizer, known)
    chosen = {
        name: table for name, table in known.items() if name in optimizers or not optimizers
    }
    tables = {
        name: {"from": table.origin, **(table.model_extra or {})}
        for name, table in chosen.items()
    }
    cases = [
        {"name": f"width {width}", "problem": problem, "network": network(width)}
        for width in widths
    ]
    given = {
        "version": "1.0",
        "frameworks": list(frameworks),
        "optimizers": tables,
        "case": cases,
    }
    given |= {"steps": WARM_UP + steps, **limits}
    return campaigns.parse(given, "scale")


def keep(plan: Campaign, folder: Path) -> None:
    """Write the campaign beside its records, for `optbench verify`; not where nothing that writes TOML is installed."""
    with suppress(ModuleNotFoundError):
        import tomli_w  # of the extra "tune"

        folder.mkdir(parents=True, exist_ok=True)
        store.replace(
            folder / CAMPAIGN,
            tomli_w.dumps(plan.model_dump(by_alias=True, exclude_none=True)),
        )


def report(folder: Path, console: Console) -> None:
    """Print exponents and crossovers; write them, the measurements and their figure, and say where."""
    records = [record for _, record in store.records(folder)]
    measured, memory = (
        measurements(from_records(records)),
        max(record.provenance.memory for record in records),
    )
    fitted = pd.DataFrame(fits(measured))
    print(render(fitted), file=console.file)
    crossed = pd.DataFrame(crossovers.find(measured))
    for crossover in crossed.to_dict("records"):
        print(crossovers.in_words(crossover), file=console.file)
    for name, table in (
        ("scale.csv", measured),
        ("exponents.csv", fitted),
        ("crossovers.csv", crossed),
    ):
        store.replace(folder / name, table.to_csv(index=False))
        line(console, f"written: {folder / name}")
    for path in cost_figures.cost_over_parameters(
        measured, fitted, folder, memory, crossed
    ):
        line(console, f"written: {path}")
    checksums.write(folder)


def render(fitted: pd.DataFrame) -> str:
    """The exponents as text."""
    rows = [
        (
            optimizer,
            framework,
            f"{exponent:.2f} [{low:.2f}, {high:.2f}]",
            f"{smallest:,.0f} to {largest:,.0f}",
        )
        for optimizer, framework, exponent, low, high, smallest, largest, _ in fitted.itertuples(
            index=False
        )
    ]
    return tabulate(rows, ("optimizer", "framework", "exponent of D", "D"))


def measurements(results: Frames) -> pd.DataFrame:
    """A row a run: what a step costs, and how often its line search evaluates the loss, NaN where none was done.

    Medians of the steps after WARM_UP, as `Timed` has it: a line search that has not found
    its scale is other work.
    """
    history: Any = results.history.sort_values(["identity", "step"])
    steps = history.groupby("identity")[["step", "seconds", "evaluations"]].diff()[
        history["step"] > WARM_UP
    ]
    each = (
        steps[["seconds", "evaluations"]]
        .div(steps["step"], axis=0)
        .groupby(history["identity"])
        .median()
    )
    each = each.rename(columns={"seconds": "step_seconds"})
    runs: Any = results.runs.drop(columns="evaluations").merge(
        each, left_on="identity", right_index=True, how="left"
    )
    runs["step_seconds"] = runs["step_seconds"].where(runs["status"].isin(MEASURED))
    widths = runs["network"].str.split("_").str[1].astype(int)
    return (
        runs.assign(width=widths)[COLUMNS]
        .sort_values(["optimizer", "framework", "width"])
        .reset_index(drop=True)
    )


def fits(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each optimizer and framework seconds ∝ D^exponent where D is large, with the exponent's interval."""
    large: Any = measured[
        (measured["parameters"] >= LARGE) & measured["step_seconds"].notna()
    ]
    for (optimizer, framework), rows in large.groupby(["optimizer", "framework"]):
        if len(rows) < 3:  # two points have no interval
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
