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

from harness import campaign as campaigns
from harness import checksums, cost_figures, crossovers, store
from harness.campaign import Campaign
from harness.frames import Frames, frames
from harness.progress import line
from harness.published import CAMPAIGN
from harness.widths import network
from problems.names import UnknownName

LARGE = 10_000  # parameters from which on a power law is fitted
CONFIDENCE = 0.95
COLUMNS = ["optimizer", "framework", "width", "parameters", "status", "step_seconds", "compile_seconds", "peak_memory"]


def campaign(
    problem: str, widths: Sequence[int], optimizers: Sequence[str], frameworks: Sequence[str], **limits: Any
) -> Campaign:
    """Some steps of each optimizer at each width, with the hyperparameters of `quick.toml`.

    The layers are in the proportions of `tanh_64_64_48_48`. Raises CampaignError and UnknownName.
    """
    tables = campaigns.read(campaigns.find("quick")).case[0].optimizers or {}
    known = {name: table for name, table in tables.items() if not table.stages}  # which have no one step to measure
    for optimizer in optimizers:
        if optimizer not in known:
            raise UnknownName("optimizer", optimizer, known)
    chosen = {name: table for name, table in known.items() if name in optimizers or not optimizers}
    tables = {name: {"from": table.origin, **(table.model_extra or {})} for name, table in chosen.items()}
    cases = [{"name": f"width {width}", "problem": problem, "network": network(width)} for width in widths]
    given = {"version": "1.0", "frameworks": list(frameworks), "optimizers": tables, "case": cases, **limits}
    return campaigns.parse(given, "scale")


def keep(plan: Campaign, folder: Path) -> None:
    """Write the campaign beside its records, for `optbench verify`; not where nothing that writes TOML is installed."""
    with suppress(ModuleNotFoundError):
        import tomli_w  # of the extra "tune"

        folder.mkdir(parents=True, exist_ok=True)
        store.replace(folder / CAMPAIGN, tomli_w.dumps(plan.model_dump(by_alias=True, exclude_none=True)))


def report(folder: Path, console: Console) -> None:
    """Print exponents and crossovers; write them, the measurements and their figure, and say where."""
    measured = measurements(frames(folder))
    fitted = pd.DataFrame(fits(measured))
    print(render(fitted), file=console.file)
    crossed = pd.DataFrame(crossovers.find(measured))
    for crossover in crossed.to_dict("records"):
        print(crossovers.in_words(crossover), file=console.file)
    for name, table in (("scale.csv", measured), ("exponents.csv", fitted), ("crossovers.csv", crossed)):
        store.replace(folder / name, table.to_csv(index=False))
        line(console, f"written: {folder / name}")
    for path in cost_figures.cost_over_parameters(measured, fitted, folder, crossed=crossed):
        line(console, f"written: {path}")
    checksums.write(folder)


def render(fitted: pd.DataFrame) -> str:
    """The exponents as text."""
    rows = [
        (optimizer, framework, f"{exponent:.2f} [{low:.2f}, {high:.2f}]", f"{smallest:,.0f} to {largest:,.0f}")
        for optimizer, framework, exponent, low, high, smallest, largest, _ in fitted.itertuples(index=False)
    ]
    return tabulate(rows, ("optimizer", "framework", "exponent of D", "D"))


def measurements(results: Frames) -> pd.DataFrame:
    """A row a run: what a step costs, NaN where none was done, and how the run ended."""
    history: Any = results.history.sort_values(["identity", "step"])
    steps = history.groupby("identity")[["step", "seconds"]].diff()
    each = (steps["seconds"] / steps["step"]).groupby(history["identity"]).median().rename("step_seconds")
    runs: Any = results.runs.merge(each, left_on="identity", right_index=True, how="left")
    widths = runs["network"].str.split("_").str[1].astype(int)
    return runs.assign(width=widths)[COLUMNS].sort_values(["optimizer", "framework", "width"]).reset_index(drop=True)


def fits(measured: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """For each optimizer and framework seconds ∝ D^exponent where D is large, with the exponent's interval."""
    large: Any = measured[(measured["parameters"] >= LARGE) & measured["step_seconds"].notna()]
    for (optimizer, framework), rows in large.groupby(["optimizer", "framework"]):
        if len(rows) < 3:  # two points have no interval
            continue
        fit: Any = stats.linregress(np.log(rows["parameters"]), np.log(rows["step_seconds"]))
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, len(rows) - 2) * fit.stderr
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
