"""The tables of a campaign: what each solver reaches, how soon, how surely, in which framework, beside the paper's."""

from typing import Any

import numpy as np
import pandas as pd

from harness import against, scores
from harness.captions import Table
from harness.frames import Frames
from harness.scores import BEFORE, CASE, SOLVER, TARGETS

NAMES = {"label": "optimizer"}


def make(frames: Frames) -> list[Table]:
    """All tables of a campaign."""
    reached, paper = scores.reached(frames), against.compare(frames)
    return [
        errors(frames),
        headline(frames),
        targets(reached, "seconds", "optimizer seconds"),
        targets(reached, "total_seconds", "seconds with set-up, compilation and warm-up"),
        rankings(reached),
        frameworks(frames),
        *([beside_the_paper(paper)] if len(paper) else []),
    ]


def errors(frames: Frames) -> Table:
    """What each solver reaches in its budget, and how probably it is first."""
    parts, runs = [], _measured(frames)
    for _, group in runs.groupby(CASE):
        ranked = scores.ranking(scores.by_task(group, "final"), scores.medians)
        solvers = group.groupby(SOLVER, sort=False)
        numbers = pd.DataFrame(
            {
                "runs": solvers.size(),
                "finished": solvers["final"].count(),
                "relative_l2": solvers["final"].median(),
                "relative_l2_q25": solvers["final"].quantile(0.25),
                "relative_l2_q75": solvers["final"].quantile(0.75),
                **{name: solvers[name].median() for name in ("steps", "ms_per_step", "train_seconds", "total_seconds")},
                "hyperparameters_from": solvers["hyperparameters_from"].first(),
            }
        ).reset_index()
        numbers = numbers.merge(ranked[[*SOLVER, "first"]], on=SOLVER).sort_values(["relative_l2", *SOLVER])
        parts.append(group[CASE].iloc[[0] * len(numbers)].reset_index(drop=True).join(numbers.reset_index(drop=True)))
    data: Any = pd.concat(parts, ignore_index=True)
    shown = _names(data).assign(
        **{
            "relative L2": [
                f"{_number(row.relative_l2, '.2e')}{_between(row.relative_l2_q25, row.relative_l2_q75, '.1e')}"
                for row in data.itertuples()
            ],
            "first": data["first"].map("{:.2f}".format),
            "success": [f"{row.finished}/{row.runs}" for row in data.itertuples()],
            "steps": [_number(value, ",.0f") for value in data["steps"]],
            "ms/step": [_number(value, ".3g") for value in data["ms_per_step"]],
            "total s": [_number(value, ".1f") for value in data["total_seconds"]],
            "hyperparameters": data["hyperparameters_from"],
        }
    )
    title = (
        "Relative L2 error at the end of the budget: medians over seeds of the finished runs, quartiles in brackets; "
        "the probability of having the smallest median of the case (a bootstrap in which a failed run is last)."
    )
    return Table("errors", title, data, shown)


def headline(frames: Frames) -> Table:
    """Every optimizer on every case in a line."""
    runs = _measured(frames)
    frameworks = sorted(set(runs["framework"]), reverse=True)
    medians = runs.groupby(["case", "label", "framework"], sort=False)["final"].agg(["median", "count", "size"])
    medians["rank"] = medians["median"].groupby("case").rank()
    rows = []
    for label in dict.fromkeys(runs["label"]):
        row = {"optimizer": label}
        for case in dict.fromkeys(runs["case"]):
            cells = [medians.loc[(case, label, name)] for name in frameworks if (case, label, name) in medians.index]
            row[case] = " / ".join(map(_cell, cells)) or "not run"
        rows.append(row)
    title = (
        f"Relative L2 error at the end of the budget, {' / '.join(frameworks)}: medians over seeds of the finished "
        "runs, the smallest of a case in bold; in brackets how many finished where not all did."
    )
    data = medians.drop(columns="rank").rename(columns={"median": "relative_l2", "count": "finished", "size": "runs"})
    return Table("headline", title, data.reset_index(), pd.DataFrame(rows))


def _cell(found: Any) -> str:
    text = _number(found["median"], ".1e")
    text = f"**{text}**" if found["rank"] == 1 else text
    return text if found["count"] == found["size"] else f"{text} ({found['count']:.0f}/{found['size']:.0f})"


def beside_the_paper(data: pd.DataFrame) -> Table:
    """The paper's recorded run and ours."""
    title = (
        "The paper's recorded run | ours, on the same problem, network and optimizer: absolute L2 error (root mean "
        "square) at the end, seconds and steps of the budget, seconds until the absolute error was first recorded at "
        "or below a target; theirs on an NVIDIA RTX 6000 with evaluation and logging in the clock, ours medians over "
        "seeds."
    )
    return Table("against_the_paper", title, data, against.shown(data))


def _measured(frames: Frames) -> Any:
    """Runs with their final error, where they finished, and their seconds; no error is below the reference's."""
    runs: Any = frames.runs
    return runs.assign(
        final=runs["relative_l2"].clip(lower=runs["floor"]).where(runs["status"] == "finished"),
        ms_per_step=1e3 * runs["train_seconds"] / runs["steps"].where(runs["steps"] > 0),
        overhead=runs[BEFORE].sum(axis=1),
        total_seconds=runs[[*BEFORE, "train_seconds"]].sum(axis=1),
    )


def targets(reached: pd.DataFrame, column: str, words: str) -> Table:
    """How soon each solver reaches each target."""
    data: Any = scores.times(reached)
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
    return Table(f"targets_{column}", title, data, _names(shown).join(shown.drop(columns=[*CASE, *SOLVER])))


def rankings(reached: Any) -> Table:
    """Areas under the performance profiles of each target, over all seeds of the cases that the same solvers ran."""
    parts = []
    for cases in scores.comparable(reached):
        for target in TARGETS:
            table = scores.to_target(cases, target)
            if np.isfinite(table.to_numpy()).any():
                ranked = scores.ranking(table, _smallest_is_largest_area).merge(scores.left_out(table), on=SOLVER)
                names = "; ".join(dict.fromkeys(cases["case"]))
                parts.append(ranked.assign(cases=names, target=target, tasks=len(table)))
    columns = ["cases", "target", *SOLVER, "area", "low", "high", "first", "order_stays", "tasks"]
    found: Any = pd.concat(parts or [pd.DataFrame(columns=[*columns, "value"])], ignore_index=True)
    areas = 0 - found[["value", "high", "low"]].replace(np.inf, 0)
    data = found.assign(area=areas["value"], low=areas["high"], high=areas["low"])[columns]
    shown = pd.DataFrame(
        {
            "cases": data["cases"],
            "target": data["target"].map("{:.0e}".format),
            **{NAMES.get(name, name): data[name] for name in SOLVER},
            "area": [f"{row.area:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in data.itertuples()],
            "first": data["first"].map("{:.2f}".format),
            "order without it": data["order_stays"].map({True: "stays", False: "changes"}),
        }
    )
    title = (
        "Area under the performance profile over the logarithm of the ratio to the fastest, up to "
        f"{scores.FAR:g} times its seconds (set-up, compilation and warm-up included), over all seeds of the cases "
        "that the same solvers ran, with a 95 % interval; the probability of being first; whether the others' order "
        "stays without the solver." + ("" if parts else " No target was reached.")
    )
    return Table("rankings", title, data, shown)


def _smallest_is_largest_area(values: np.ndarray) -> np.ndarray:
    """Negative areas; infinite where there is none: such a solver is never first."""
    found = scores.areas(values)
    return np.where(found > 0, -found, np.inf)


def frameworks(frames: Frames) -> Table:
    """PyTorch over JAX on equal seeds."""
    runs = _measured(frames)
    what = {"ms_per_step": "seconds a step", "overhead": "set-up, compilation, warm-up", "final": "final error"}
    data: Any = pd.concat(
        [scores.paired(runs, column).assign(what=words) for column, words in what.items()], ignore_index=True
    )
    cells = [f"{row.ratio:.3g} [{row.low:.3g}, {row.high:.3g}]" for row in data.itertuples()]
    keys = [*CASE, "label"]
    shown: Any = data.assign(cell=cells).pivot_table(
        index=keys, columns="what", values="cell", aggfunc="first", sort=False
    )
    shown = (
        shown.reindex(columns=[words for words in what.values() if words in shown.columns]).fillna("–").reset_index()
    )
    title = "PyTorch over JAX: the median ratio on equal seeds with its 95 % interval (bootstrap over seeds)."
    names = shown[["case", "label"]].rename(columns=NAMES)
    return Table("frameworks", title, data, names.join(shown.drop(columns=keys)))


def _names(data: Any) -> pd.DataFrame:
    return data[["case", *SOLVER]].rename(columns=NAMES)


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"


def _between(low: float, high: float, form: str) -> str:
    return f" [{low:{form}}, {high:{form}}]" if np.isfinite(low) and low != high else ""
