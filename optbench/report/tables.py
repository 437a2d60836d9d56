"""The tables of a campaign: what each solver reaches, how soon, how surely, in which framework, beside the paper's."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from optbench.records.frames import Frames
from optbench.report import paper as against
from optbench.report import statistics
from optbench.report.formats import Table
from optbench.report.statistics import BEFORE, CASE, SOLVER, TARGETS

NAMES = {"label": "optimizer"}


def make(frames: Frames) -> list[Table]:
    """All tables of a campaign."""
    reached, paper, runs = (
        statistics.reached(frames),
        against.compare(frames),
        _measured(frames),
    )
    ranked = _ranked(runs)
    return [
        errors(runs, ranked),
        headline(runs, ranked),
        targets(reached, "seconds", "optimizer seconds"),
        targets(reached, "total_seconds", "seconds with set-up, compilation and warm-up"),
        rankings(reached),
        frameworks(runs),
        *([beside_the_paper(paper)] if len(paper) else []),
    ]


def errors(runs: Any, ranked: pd.DataFrame) -> Table:
    """What each solver reaches in its budget, and how probably it is first."""
    solvers = runs.groupby([*CASE, *SOLVER], sort=False)
    medians = ("steps", "ms_per_step", "train_seconds", "total_seconds")
    first = {name: (name, "first") for name in ("problem", "hyperparameters_from")}
    numbers = solvers.agg(**first, **{name: (name, "median") for name in medians})
    numbers[["relative_l2_q25", "relative_l2", "relative_l2_q75"]] = (
        solvers["final"].apply(statistics.quartiles).tolist()
    )
    order = {case: number for number, case in enumerate(dict.fromkeys(runs["case"]))}
    data: Any = numbers.reset_index().merge(
        ranked.drop(columns="median"), on=[*CASE, *SOLVER]
    )
    data = data.assign(place=data["case"].map(order)).sort_values(
        ["place", "relative_l2", *SOLVER], ignore_index=True
    )
    data = data.drop(columns="place")
    shown = _names(data).assign(
        **{
            "relative L2": [
                f"{_number(row.relative_l2, '.2e')}{_between(row.relative_l2_q25, row.relative_l2_q75, '.1e')}"
                for row in data.itertuples()
            ],
            "95 % interval": [
                f"{_number(row.low, '.1e')} to {_number(row.high, '.1e')}"
                for row in data.itertuples()
            ],
            "first": data["first"].map("{:.2f}".format),
            "success": [f"{row.finished}/{row.runs}" for row in data.itertuples()],
            "steps": [_number(value, ",.0f") for value in data["steps"]],
            "ms/step": [_number(value, ".3g") for value in data["ms_per_step"]],
            "total s": [_number(value, ".1f") for value in data["total_seconds"]],
            "hyperparameters": data["hyperparameters_from"],
            "problem": data["problem"],
        }
    )
    title = (
        "Relative L2 error at the end of the budget: the median over seeds, quartiles in brackets, and the median's "
        "95 % interval (a bootstrap over seeds; of five seeds it is nearly their range); the probability of having the "
        "smallest median of the case. A run that did not finish counts as last, and where that is the number it is –."
    )
    return Table("errors", title, data, shown)


def _ranked(runs: Any) -> pd.DataFrame:
    """A row a case and solver: the median of the final error, its interval, who is first, how many finished."""
    parts = []
    for names, group in runs.groupby(CASE, sort=False):
        found = statistics.ranking(statistics.by_task(group, "final"), statistics.medians)
        counts = (
            group.groupby(SOLVER)["final"].agg(runs="size", finished="count").reset_index()
        )
        parts.append(
            found.merge(counts, on=SOLVER).assign(**dict(zip(CASE, names, strict=True)))
        )
    found: Any = pd.concat(parts, ignore_index=True).rename(columns={"value": "median"})
    return found.replace(np.inf, np.nan)


def headline(runs: Any, ranked: pd.DataFrame) -> Table:
    """Every solver on every case in a line."""
    best = ranked.groupby(CASE)["median"].transform("min")
    data = ranked.assign(bold=(ranked["median"].notna() & (ranked["low"] <= best)))
    data = data.assign(cell=[_cell(row) for row in data.to_dict("records")])
    table = data.pivot_table(index=SOLVER, columns="case", values="cell", aggfunc="first")
    labels, frameworks = (dict.fromkeys(runs[name]) for name in SOLVER)
    solvers = [
        solver
        for solver in product(labels, sorted(frameworks, reverse=True))
        if solver in table.index
    ]
    shown = (
        table.loc[solvers, [*dict.fromkeys(runs["case"])]].fillna("not run").reset_index()
    )
    shown.columns.name = None
    title = (
        "Relative L2 error at the end of the budget: medians over seeds, a run that did not finish being the last; in "
        "brackets how many finished where not all did; in bold the smallest of a case, and those whose 95 % interval "
        "(a bootstrap over seeds) reaches it."
    )
    return Table("headline", title, data.drop(columns="cell"), shown.rename(columns=NAMES))


def _cell(row: dict[str, Any]) -> str:
    text = _number(row["median"], ".1e")
    text = f"**{text}**" if row["bold"] else text
    return (
        text
        if row["finished"] == row["runs"]
        else f"{text} ({row['finished']}/{row['runs']})"
    )


def beside_the_paper(data: pd.DataFrame) -> Table:
    """The paper's recorded run and ours."""
    title = (
        "The paper's recorded run | ours, on the same problem, network and optimizer: absolute L2 error (root mean "
        "square) at the end, seconds and steps of the budget (they differ), points of a batch and steps between new "
        "ones, seconds until the absolute error was first recorded at or below a target (in brackets: in how many "
        "runs). Theirs on an NVIDIA RTX 6000 with evaluation and logging in the clock; ours medians over seeds of the "
        "runs that finished, optimizer steps alone on the machine named here."
    )
    return Table("against_the_paper", title, data, against.shown(data))


def _measured(frames: Frames) -> Any:
    """Runs with their final error, where they finished, and their seconds; no error is below the reference's."""
    runs: Any = frames.runs
    return runs.assign(
        final=runs["relative_l2"]
        .clip(lower=runs["floor"])
        .where(runs["status"] == "finished"),
        ms_per_step=1e3 * runs["train_seconds"] / runs["steps"].where(runs["steps"] > 0),
        overhead=runs[BEFORE].sum(axis=1),
        total_seconds=runs[[*BEFORE, "train_seconds"]].sum(axis=1),
    )


def targets(reached: pd.DataFrame, column: str, words: str) -> Table:
    """How soon each solver reaches each target."""
    data: Any = statistics.times(reached)
    cells = [
        f"{_number(value, '.3g')} ({row.reached}/{row.runs})" if row.reached else "–"
        for value, row in zip(data[column], data.itertuples(), strict=True)
    ]
    shown: Any = data.assign(cell=cells).pivot_table(
        index=[*CASE, *SOLVER], columns="target", values="cell", aggfunc="first", sort=False
    )
    shown.columns = [f"{target:.0e}" for target in shown.columns]
    title = (
        f"Median {words} until the relative L2 error was first recorded at or below a target, and in how many runs it "
        "was; – where none did, a number only where half of them did."
    )
    shown = shown.reset_index()
    return Table(
        f"targets_{column}",
        title,
        data,
        _names(shown).join(shown.drop(columns=[*CASE, *SOLVER])),
    )


def rankings(reached: Any) -> Table:
    """Areas under the performance profiles of each target, over all seeds of the cases that the same solvers ran."""
    parts = []
    for cases in statistics.comparable(reached):
        for target in TARGETS:
            table = statistics.to_target(cases, target)
            if np.isfinite(table.to_numpy()).any():
                ranked = statistics.ranking(table, _smallest_is_largest_area).merge(
                    statistics.left_out(table), on="label"
                )
                names = "; ".join(dict.fromkeys(cases["case"]))
                parts.append(ranked.assign(cases=names, target=target, tasks=len(table)))
    columns = [
        "cases",
        "target",
        *SOLVER,
        "area",
        "low",
        "high",
        "first",
        "swapped",
        "tasks",
    ]
    found: Any = pd.concat(
        parts or [pd.DataFrame(columns=[*columns, "value"])], ignore_index=True
    )
    areas = 0 - found[["value", "high", "low"]].replace(np.inf, 0)
    data = found.assign(area=areas["value"], low=areas["high"], high=areas["low"])[columns]
    shown = pd.DataFrame(
        {
            "cases": data["cases"],
            "target": data["target"].map("{:.0e}".format),
            **{NAMES.get(name, name): data[name] for name in SOLVER},
            "area": [
                f"{row.area:.3f} [{row.low:.3f}, {row.high:.3f}]"
                for row in data.itertuples()
            ],
            "first": data["first"].map("{:.2f}".format),
            "pairs that swap without it": data["swapped"],
        }
    )
    title = (
        "Area under the performance profile over the logarithm of the ratio to the fastest, up to "
        f"{statistics.FAR:g} times its seconds (set-up, compilation and warm-up included), over all seeds of the cases "
        "that the same solvers ran, with a 95 % interval; the probability of being first; how many pairs of the "
        "others change their order when the optimizer is left out in both frameworks."
        + ("" if parts else " No target was reached.")
    )
    return Table("rankings", title, data, shown)


def _smallest_is_largest_area(values: np.ndarray) -> np.ndarray:
    """Negative areas; infinite where there is none: such a solver is never first."""
    found = statistics.areas(values)
    return np.where(found > 0, -found, np.inf)


def frameworks(runs: Any) -> Table:
    """PyTorch over JAX on equal seeds."""
    what = {
        "ms_per_step": "seconds a step",
        "overhead": "set-up, compilation, warm-up",
        "final": "final error",
    }
    data: Any = pd.concat(
        [
            statistics.paired(runs, column).assign(what=words)
            for column, words in what.items()
        ],
        ignore_index=True,
    )
    cells = [
        f"{row.ratio:.3g} [{row.low:.3g}, {row.high:.3g}]"
        if np.isfinite(row.low)
        else f"{row.ratio:.3g}, {row.pairs} pairs"
        for row in data.itertuples()
    ]
    keys = [*CASE, "label"]
    shown: Any = data.assign(cell=cells).pivot_table(
        index=keys, columns="what", values="cell", aggfunc="first", sort=False
    )
    shown = (
        shown.reindex(columns=[words for words in what.values() if words in shown.columns])
        .fillna("–")
        .reset_index()
    )
    title = (
        "PyTorch over JAX: the median ratio on equal seeds, where both have a number (the final error: where both "
        f"finished), with the interval of a bootstrap over seeds; none for fewer than {statistics.LEAST_PAIRS} pairs."
    )
    names = shown[["case", "label"]].rename(columns=NAMES)
    return Table("frameworks", title, data, names.join(shown.drop(columns=keys)))


def _names(data: Any) -> pd.DataFrame:
    return data[["case", *SOLVER]].rename(columns=NAMES)


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"


def _between(low: float, high: float, form: str) -> str:
    return f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) and low != high else ""
