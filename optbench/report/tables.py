"""The tables of a campaign: what each solver reaches, how soon, how surely, and where."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from optbench.records.frames import Frames
from optbench.records.record import ANSWERS, Record
from optbench.report import against_others, against_paper, captions, soonest, statistics
from optbench.report.captions import Bold, Table
from optbench.report.statistics import BEFORE, CASE, SOLVER, TARGETS

NAMES = {"label": "optimizer"}
# of the seconds until a target
CLOCKS = {"seconds": "steps", "total_seconds": "with compilation"}
MOST_CASES, MOST_OPTIMIZERS = 4, 7  # of the short table: it is read on a phone
MOST_NAMED = 8  # cases in a cell
SMALLEST = (
    "Bold: the smallest of the case, and those whose 95 % interval, in brackets, reaches "
    "it."
)
COUNTED = "(k/n): only k of n runs finished."
FEW = (
    f"With fewer than {statistics.LEAST} seeds there is no interval and no probability, "
    "and the smallest alone is bold."
)


def make(frames: Frames, records: Sequence[Record]) -> list[Table]:
    """Make all tables of a campaign; `frames` are the records'."""
    reached, compared = statistics.reached(frames), against_paper.compare(frames)
    beside = against_others.compare(frames)
    runs = _measured(frames)
    ranked = _ranked(runs)
    wide = headline(runs, ranked)
    return [
        errors(runs, ranked),
        wide,
        hardest(wide),
        soonest.table(reached, wide),
        targets(reached, "seconds", "optimizer seconds"),
        targets(reached, "total_seconds", "seconds with set-up, compilation and warm-up"),
        rankings(reached),
        frameworks(runs),
        *([beside_others(beside)] if len(beside) else []),
        *([beside_the_paper(compared)] if len(compared) else []),
        commits(records),
    ]


def errors(runs: Any, ranked: pd.DataFrame) -> Table:
    """Show what each solver reaches in its budget, and how probably it is first."""
    solvers = runs.groupby([*CASE, *SOLVER], sort=False)
    medians = ("ms_per_step", "train_seconds", "total_seconds")
    first = {name: (name, "first") for name in ("problem", "hyperparameters_from")}
    numbers = solvers.agg(**first, **{name: (name, "median") for name in medians})
    numbers[["relative_l2_q25", "relative_l2", "relative_l2_q75"]] = (
        solvers["final"].apply(statistics.quartiles).tolist()
    )
    finals = {names: sorted(group["final"].dropna()) for names, group in solvers}
    order = {case: number for number, case in enumerate(dict.fromkeys(runs["case"]))}
    data: Any = numbers.reset_index().merge(
        ranked.drop(columns="median"), on=[*CASE, *SOLVER]
    )
    data = data.assign(place=data["case"].map(order)).sort_values(
        ["place", "relative_l2", *SOLVER], ignore_index=True
    )
    data = data.drop(columns="place")
    spreads = [
        _between(row["relative_l2_q25"], row["relative_l2_q75"], ".1e")
        if row["runs"] >= statistics.LEAST
        else _all(finals[tuple(row[name] for name in (*CASE, *SOLVER))], ".1e")
        for row in data.to_dict("records")
    ]
    shown = _names(data).assign(
        **{
            "relative L2": [
                _number(row.relative_l2, ".2e") + captions.mark(row.stopped) + spread
                for row, spread in zip(data.itertuples(), spreads, strict=True)
            ],
            "95 % interval": [
                f"{_number(row.low, '.1e')} to {_number(row.high, '.1e')}"
                if row.runs >= statistics.LEAST
                else "–"
                for row in data.itertuples()
            ],
            "first": [_number(value, ".2f") for value in data["first"]],
            "success": [f"{row.finished}/{row.runs}" for row in data.itertuples()],
            "steps": [_number(value, ",.0f") for value in data["steps"]],
            "ms/step": [_number(value, ".3g") for value in data["ms_per_step"]],
            "total s": [_number(value, ".1f") for value in data["total_seconds"]],
            "hyperparameters": data["hyperparameters_from"],
            "problem": data["problem"],
        }
    )
    title = (
        "Relative L2 error at the end of the budget. Median over seeds, with quartiles in "
        f"brackets, and with fewer than {statistics.LEAST} seeds all values; unfinished "
        "runs rank last, and a dash stands where the median is one of them. The 95 % "
        "interval of the median is a bootstrap over seeds: with five seeds it is nearly "
        "their range. First: the probability of having the smallest median of the case "
        "among the solvers with as many seeds. "
        f"With fewer than {statistics.LEAST} seeds there is neither. Success: how many of "
        "the runs finished."
    )
    if data["stopped"].any():
        shown.insert(8, "nothing moved after step", _moved(data))
        title += (
            f" {captions.STOPPED} Given are that step, or the first and the last, and in "
            "how many of the runs it was so; ms/step is of the steps until then."
        )
    return Table(
        name="errors", heading="Errors in detail", title=title, data=data, shown=shown
    )


def _ranked(runs: Any) -> pd.DataFrame:
    """Rank the solvers of each case: median, interval, who is first, how many finished.

    And how many stopped moving, and when.
    """
    parts = []
    for names, group in runs.groupby(CASE, sort=False):
        solvers = group.groupby(SOLVER)
        counts = solvers.agg(
            runs=("final", "size"), finished=("final", "count"), steps=("steps", "median")
        ).reset_index()
        moved = [
            dict(zip(SOLVER, solver, strict=True)) | statistics.movement(runs)
            for solver, runs in solvers
        ]
        parts.append(
            statistics.among_equals(group)
            .merge(counts, on=SOLVER)
            .merge(pd.DataFrame(moved), on=SOLVER)
            .assign(**dict(zip(CASE, names, strict=True)))
        )
    ranked: Any = pd.concat(parts, ignore_index=True).rename(columns={"value": "median"})
    return ranked.replace(np.inf, np.nan)


def headline(runs: Any, ranked: pd.DataFrame) -> Table:
    """Show every solver on every case, in one line per solver."""
    best = ranked.groupby(CASE)["median"].transform("min")
    # without an interval the smallest alone
    among = (ranked["low"] <= best) | (ranked["median"] == best)
    origins = runs.groupby(CASE)["hyperparameters_from"].agg(set)
    tuned = {names for names, origin in origins.items() if "tuned" in origin}
    data = ranked.assign(
        bold=ranked["median"].notna() & among,
        tuned=[
            names in tuned for names in zip(*(ranked[name] for name in CASE), strict=True)
        ],
    )
    data = data.assign(cell=[_cell(row) for row in data.to_dict("records")])
    table = data.pivot_table(index=SOLVER, columns="case", values="cell", aggfunc="first")
    labels, names = (dict.fromkeys(runs[name]) for name in SOLVER)
    solvers = [
        solver
        for solver in product(labels, sorted(names, reverse=True))
        if solver in table.index
    ]
    shown = (
        table.loc[solvers, [*dict.fromkeys(runs["case"])]].fillna("not run").reset_index()
    )
    shown.columns.name = None
    title = (
        "Relative L2 error at the end of the budget. Median over seeds; unfinished runs "
        f"rank last. {COUNTED} {SMALLEST}{_remarks(data)}"
    )
    return Table(
        name="headline",
        heading="Errors side by side",
        title=title,
        data=data.drop(columns="cell"),
        shown=shown.rename(columns=NAMES),
    )


def hardest(headline: Table) -> Table:
    """Shorten the headline to the hardest cases and the optimizers that matter there.

    The hardest cases, among those that all optimizers ran where there are such, have the
    largest best median. An optimizer counts with its better framework. Those that are best
    on one of the cases come in first, then the others by their mean rank; what was not run,
    or did not finish, ranks last.
    """
    cases = [name for name in headline.shown if name not in ("optimizer", "framework")]
    labels = [*dict.fromkeys(headline.shown["optimizer"])]
    better: Any = headline.data.sort_values(
        ["median", "finished", "framework"], ascending=[True, False, True], kind="stable"
    ).drop_duplicates(["case", "label"])
    by_case = better.pivot(index="label", columns="case").reindex(labels)
    by_all = by_case["runs"].notna().all()
    ran = [name for name in cases if by_all[name]] or cases
    medians = by_case["median"][ran]
    smallest = medians.min().fillna(np.inf)  # nobody's run finished: the hardest of all
    chosen = smallest.sort_values(ascending=False, kind="stable").index[:MOST_CASES]
    kept = [case for case in cases if case in set(chosen)]
    better = better[better["case"].isin(kept)]
    ranks = medians[kept].rank(na_option="bottom").mean(axis=1)
    best = set(better["label"][better["bold"]])
    most = sorted(labels, key=lambda name: (name not in best, ranks[name]))[
        :MOST_OPTIMIZERS
    ]
    top = sorted(most, key=lambda name: ranks[name])
    rows = {(row["label"], row["case"]): row for row in better.to_dict("records")}
    data = pd.DataFrame(
        [
            {**rows[label, case], "mean_rank": ranks[label]}
            for label in top
            for case in kept
            if (label, case) in rows
        ]
    )
    cells = {key: _cell(row) for key, row in rows.items()}
    shown = pd.DataFrame({"optimizer": top}).assign(
        **{case: [cells.get((label, case), "not run") for label in top] for case in kept}
    )
    which, who = "All cases", "All optimizers, in the order of their mean rank"
    if kept != cases:
        of = " of those that all optimizers ran" if len(ran) < len(cases) else ""
        which = (
            f"The {len(kept)} hardest cases{of}: those on which the best optimizer's error "
            "is largest"
        )
    if len(top) < len(labels):
        who = (
            f"{len(top)} optimizers: those that are best on one of these cases, then the "
            "next by mean rank"
        )
    title = (
        f"{which}. {who}, each in the framework in which it did better. Median relative L2 "
        f"error over seeds; unfinished runs rank last. {COUNTED} {SMALLEST}{_remarks(data)}"
    )
    return Table(
        name="hardest", heading="The hardest cases", title=title, data=data, shown=shown
    )


def _remarks(data: Any) -> str:
    """Explain what only some tables have: few seeds, runs that stopped moving, tuning."""
    few = f" {FEW}" if (data["runs"] < statistics.LEAST).any() else ""
    stopped = f" {captions.STOPPED}" if data["stopped"].any() else ""
    cases = "; ".join(dict.fromkeys(data["case"][data["tuned"]]))
    return few + stopped + (f" Hyperparameters were tuned on: {cases}." if cases else "")


def _cell(row: dict[str, Any]) -> str | Bold:
    text = _number(row["median"], ".1e") + captions.mark(row["stopped"])
    rest = "" if row["finished"] == row["runs"] else f" ({row['finished']}/{row['runs']})"
    if row["bold"] and row["runs"] >= statistics.LEAST:
        rest += f" [{_number(row['low'], '.1e')}, {_number(row['high'], '.1e')}]"
    return Bold(text, rest) if row["bold"] else text + rest


def beside_others(data: pd.DataFrame) -> Table:
    """Show what others have published on the campaign's problems, and whether we do it."""
    title = (
        "Relative L2 errors that others have published beside the best median of this "
        "campaign on the same problem, whatever the network, the budget and the machine. "
        "Reached: our median is as small. Not comparable: their problem is another one, "
        "in what is said. Their seconds and steps are not ours: their runs were on other "
        "machines, most of them GPUs."
    )
    return Table(
        name=against_others.NAME,
        heading="Beside what others have published",
        title=title,
        data=data,
        shown=against_others.shown(data),
    )


def beside_the_paper(data: pd.DataFrame) -> Table:
    """Show the paper's recorded run and ours."""
    title = (
        "The paper's recorded run | ours, on the same problem, network and optimizer. "
        "The error is the absolute L2 error (root mean square) at the end; the budgets, "
        "in seconds and steps, differ. Then the points of a batch and the steps between "
        "new ones, and the seconds until the absolute error was first recorded at or "
        "below a target, with the number of our runs that reached it in brackets. Theirs "
        "ran on an NVIDIA RTX 6000, with evaluation and logging in the clock. Ours are "
        "medians over the seeds that finished, with optimizer steps alone in the clock, "
        "on the machine named here."
    )
    return Table(
        name="against_the_paper",
        heading="Against the paper",
        title=title,
        data=data,
        shown=against_paper.shown(data),
    )


def _several(cases: str) -> str:
    """Name the cases, or the first and how many others there are."""
    first, *others = cases.split("; ")
    return f"{first} and {len(others)} more" if len(others) >= MOST_NAMED else cases


def _measured(frames: Frames) -> Any:
    """Give the runs with their final error, where it counts, and their seconds."""
    runs: Any = frames.floored().runs
    return runs.assign(
        final=runs["relative_l2"].where(runs["status"].isin(ANSWERS)),
        ms_per_step=1e3 * runs["step_seconds"],
        overhead=runs[BEFORE].sum(axis=1),
        total_seconds=runs[[*BEFORE, "train_seconds"]].sum(axis=1),
    )


def targets(reached: pd.DataFrame, column: str, words: str) -> Table:
    """Show how soon each solver reaches each target."""
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
        f"Median {words} until the relative L2 error was first recorded at or below a "
        "target. (k/n): k of n runs reached it; there is a number only where more than "
        "half of them did, and a dash where none did."
    )
    shown = shown.reset_index()
    return Table(
        name=f"targets_{column}",
        heading=f"Time to a target: {words}",
        title=title,
        data=data,
        shown=_names(shown).join(shown.drop(columns=[*CASE, *SOLVER])),
    )


def rankings(reached: Any) -> Table:
    """Show areas under performance profiles over comparable cases, on both clocks."""
    parts = []
    for cases in statistics.comparable(reached):
        for target, (column, clock) in product(TARGETS, CLOCKS.items()):
            rows = statistics.to_target(cases, target)
            table = statistics.by_case(rows, column)
            if np.isfinite(table.to_numpy()).any():
                ranking = statistics.over_cases(rows, column, _smallest_is_largest_area)
                names = dict.fromkeys(cases["case"])
                parts.append(
                    ranking.merge(statistics.left_out(table), on="label").assign(
                        cases="; ".join(names), tasks=len(names), target=target, clock=clock
                    )
                )
    columns = [
        *("cases", "target", "clock", *SOLVER, "area", "low", "high", "first", "swapped"),
        "tasks",
    ]
    ranked: Any = pd.concat(
        parts or [pd.DataFrame(columns=[*columns, "value"])], ignore_index=True
    )
    areas = 0 - ranked[["value", "high", "low"]].replace(np.inf, 0)
    data = ranked.assign(area=areas["value"], low=areas["high"], high=areas["low"])[columns]
    shown = pd.DataFrame(
        {
            "target": data["target"].map("{:.0e}".format),
            "clock": data["clock"],
            **{NAMES.get(name, name): data[name] for name in SOLVER},
            "area": [
                f"{row.area:.3f} [{row.low:.3f}, {row.high:.3f}]"
                if np.isfinite(row.low)
                else f"{row.area:.3f}"
                for row in data.itertuples()
            ],
            "first": [_number(value, ".2f") for value in data["first"]],
            "pairs that swap without it": data["swapped"],
            "cases": [_several(names) for names in data["cases"]],
        }
    )
    title = (
        "Area under the performance profile, with its 95 % interval. The profile is over "
        "the logarithm of the ratio to the fastest solver's time, up to "
        f"{statistics.FAR:g} times it, and over the cases that the same solvers ran; a "
        "solver's time on a case is the median over its seeds. Clock: the optimizer's "
        "steps alone, or set-up, compilation and warm-up too. The interval is a bootstrap "
        "over cases and, within each, seeds: it is about other problems of the kind. "
        "First: the probability of having the largest area. Pairs that swap: how many "
        "pairs of the others change their order when the optimizer is left out in both "
        "frameworks. With "
        f"fewer than {statistics.LEAST} cases there is no interval and no probability."
        + ("" if parts else " No target was reached.")
    )
    return Table(
        name="rankings",
        heading="Who reaches a target soonest",
        title=title,
        data=data,
        shown=shown,
    )


def _smallest_is_largest_area(values: np.ndarray) -> np.ndarray:
    """Negate areas; infinite where there is none: such a solver is never first."""
    areas = statistics.areas(values)
    return np.where(areas > 0, -areas, np.inf)


def frameworks(runs: Any) -> Table:
    """Show PyTorch over JAX on equal seeds."""
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
        else f"{row.ratio:.3g}, {row.pairs} {'pair' if row.pairs == 1 else 'pairs'}"
        for row in data.itertuples()
    ]
    keys = [*CASE, "label"]
    shown: Any = data.assign(cell=cells).pivot_table(
        index=keys, columns="what", values="cell", aggfunc="first", sort=False
    )
    shown = (
        shown.reindex(columns=[words for words in what.values() if words in shown.columns])
        .fillna("–")
        .rename(columns={"seconds a step": "seconds per step"})
        .reset_index()
    )
    title = (
        "PyTorch over JAX: the median ratio on equal seeds where both have a number (a "
        "final error: where both runs finished), with the 95 % interval of a bootstrap "
        f"over seeds; no interval for fewer than {statistics.LEAST} pairs."
    )
    if runs["moved_until"].notna().any():
        title += " Seconds per step are of the steps in which something moved."
    names = shown[["case", "label"]].rename(columns=NAMES)
    return Table(
        name="frameworks",
        heading="PyTorch over JAX",
        title=title,
        data=data,
        shown=names.join(shown.drop(columns=keys)),
    )


def commits(records: Sequence[Record]) -> Table:
    """List the commits that made the records, and when each did."""
    rows = [
        {
            "commit": record.provenance.commit or "unknown",
            "uncommitted_changes": bool(record.provenance.dirty),
            "started": record.started,
        }
        for record in records
    ]
    data: Any = (
        pd.DataFrame(rows)
        .groupby(["commit", "uncommitted_changes"])["started"]
        .agg(runs="size", first="min", last="max")
        .reset_index()
        .sort_values(["first", "commit"], ignore_index=True)
    )
    shown = pd.DataFrame(
        {
            "commit": [
                row.commit[:10] + (" with changes" if row.uncommitted_changes else "")
                for row in data.itertuples()
            ],
            "runs": data["runs"].map(str),
            "first run": data["first"].str[:10],
            "last run": data["last"].str[:10],
        }
    )
    title = "The commits that made the runs, and the days on which each did."
    return Table(name="commits", heading="Commits", title=title, data=data, shown=shown)


def _names(data: Any) -> pd.DataFrame:
    return data[["case", *SOLVER]].rename(columns=NAMES)


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "–"


def _between(low: float, high: float, form: str) -> str:
    if not np.isfinite(low) or low == high:
        return ""
    return f" [{_number(low, form)}, {_number(high, form)}]"


def _all(values: Sequence[float], form: str) -> str:
    """Write all of a few values, where there are more than one."""
    return f" [{', '.join(format(value, form) for value in values)}]" * (len(values) > 1)


def _moved(data: Any) -> list[str]:
    """Say after which steps nothing moved, where that is so."""
    return [
        captions.moved(row.moved_first, row.moved_last, row.steps)
        + f" ({row.stopped}/{row.runs})"
        if row.stopped
        else ""
        for row in data.itertuples()
    ]
