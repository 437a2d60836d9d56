"""What the published results say to somebody with a problem, a size and a budget."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from optbench.problems.names import UnknownName
from optbench.records import plain_text
from optbench.records.frames import Frames
from optbench.report import compare, statistics
from optbench.report.statistics import BEFORE, SOLVER

SHOWN = 8  # solvers, the best first
TARGET = 1e-3  # of the relative L2 error, whose seconds are shown


class Advice(NamedTuple):
    """What is published on the case that is most like what somebody asked for."""

    case: str
    network: str
    parameters: int
    machine: str
    seconds: float  # of optimizer steps after which errors are compared
    longest: float  # that the case's runs had; infinite where they had a number of steps
    # a row for each solver, the best first: label, framework, median, low, high, runs,
    # finished, to_target (seconds), before (seconds until the first step is done), among
    # (whether it is the best, or its interval reaches the best median)
    table: pd.DataFrame


def ask(
    frames: Frames, problem: str, parameters: int | None, seconds: float | None
) -> Advice:
    """Take the published case of a problem whose D is nearest, and rank what ran on it.

    Without `parameters` it is the smallest case, without `seconds` the whole budget; a case
    of which several machines have results is the one with the most runs. Errors are the
    last that were recorded by then.

    Raises:
        UnknownName: no result of the problem is among the frames.
    """
    frames = frames.floored()
    runs: Any = frames.runs
    if problem not in set(runs["problem"]):
        raise UnknownName("problem with published results", problem, set(runs["problem"]))
    cases = runs[runs["problem"] == problem].groupby(["case", "machine"])
    sizes: Any = cases.agg(parameters=("parameters", "first"), runs=("run", "size"))
    asked = parameters or sizes["parameters"].min()
    sizes["far"] = np.abs(np.log(sizes["parameters"].astype(float) / asked)).round(12)
    case, machine = sizes.sort_values(["far", "runs"], ascending=[True, False]).index[0]
    # whichever campaign they are of
    frames = frames._replace(runs=runs.assign(campaign=""))
    one = compare.of(frames, (runs["case"] == case) & (runs["machine"] == machine))
    first: Any = one.runs.iloc[0]
    longest = compare.budget(one)
    after = min(seconds or longest, longest)
    size, table = int(first["parameters"]), _ranked(one, after)
    return Advice(case, first["network"], size, machine, after, longest, table)


def _ranked(frames: Frames, seconds: float) -> pd.DataFrame:
    """Rank a case's solvers by then, with their seconds to the target and before."""
    runs: Any = frames.runs
    before = runs[BEFORE].sum(axis=1).groupby([runs[name] for name in SOLVER]).median()
    reached: Any = statistics.times(statistics.reached(frames, (TARGET,)))
    table: Any = compare.ranked([frames], seconds).drop(columns="seconds")
    table = table.merge(before.rename("before").reset_index(), on=SOLVER)
    table = table.merge(
        reached.rename(columns={"seconds": "to_target"})[[*SOLVER, "to_target"]], on=SOLVER
    )
    best = table["median"].iloc[0]
    return table.assign(among=(table["low"] <= best) | (table["median"] == best))


def text(advice: Advice, asked: int | None) -> str:
    """Write it for a terminal; `asked` is the D that somebody named."""
    away = f"; you asked for {asked:,}" if asked and asked != advice.parameters else ""
    whole = f" of {advice.longest:g}" if np.isfinite(advice.longest) else ""
    when = (
        f"after {advice.seconds:g}{whole} optimizer seconds"
        if np.isfinite(advice.seconds)
        else "at the end"
    )
    table: Any = advice.table
    rows = [
        {
            "": "*" if row.among else "",
            **compare.cells(row, plain_text.visible),
            f"s to {TARGET:.0e}": f"{row.to_target:.3g}"
            if np.isfinite(row.to_target)
            else "–",
            "s before": f"{row.before:.1f}",
        }
        for row in table.head(SHOWN).itertuples()
    ]
    left = len(table) - len(rows)
    return "\n".join(
        [
            f"{plain_text.visible(advice.case)}: {advice.network}, "
            f"D = {advice.parameters:,}{away}",
            f"relative L2 errors {when}, on {advice.machine}\n",
            tabulate(rows, headers="keys", disable_numparse=True),
            "",
            "*: the smallest median, or its 95 % interval reaches it. s to: optimizer "
            "seconds, the median. s before: set-up, compilation and warm-up, which the "
            "other seconds do not count." + (f" {left} more are behind." * (left > 0)),
            "",
        ]
    )
