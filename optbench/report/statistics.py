"""How well, how soon and how surely each optimizer gets there: pure functions of frames.

A solver is an optimizer's label in a framework, a task a case with a seed. What was not
reached is NaN, never a number: quantiles, profiles and bootstraps count it as later than
everything. Every draw is seeded.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from optbench.measure.bootstrap import LEVEL, RESAMPLES, interval, stratified
from optbench.records.frames import Frames

RELATIVE = "relative_l2"
TARGETS = tuple(10.0**-power for power in range(1, 7))  # of the relative L2 error
CASE = ["campaign", "machine", "case"]
SOLVER = ["label", "framework"]
BEFORE = ["setup_seconds", "compile_seconds", "warm_up_seconds"]  # a run's first step
MIDDLE: Any = "higher"  # which median of an even number: of two seeds not the lucky one
FAR = 10.0  # times the fastest: where a performance profile's area ends
# seeds, or pairs of runs: the range of fewer holds the true median less often than nine
# times in ten
LEAST = 5

# of tasks by solvers, one number per solver: the smallest is first
Statistic = Callable[[np.ndarray], np.ndarray]


def reached(
    frames: Frames, targets: tuple[float, ...] = TARGETS, error: str = RELATIVE
) -> pd.DataFrame:
    """Give the first recorded step whose error is at or below a target; NaN for none.

    There is one row per run and target. `seconds` are of optimizer steps alone;
    `total_seconds` count set-up, compilation and warm-up too. No relative error is below
    the accuracy of the problem's reference, and one that is not a number reaches nothing.
    """
    runs: Any = frames.runs
    before = runs[BEFORE].fillna(0).sum(axis=1)
    runs = runs[["run", *CASE, *SOLVER, "seed"]].assign(before=before)
    history: Any = frames.floored().history.sort_values("step", kind="stable")
    parts = []
    for target in targets:
        first = history[history[error] <= target].drop_duplicates("run")[
            ["run", "step", "seconds"]
        ]
        parts.append(runs.merge(first, on="run", how="left").assign(target=target))
    rows = pd.concat(parts, ignore_index=True).rename(columns={"step": "steps"})
    # where nobody reaches anything they are objects
    rows = rows.astype({"steps": float, "seconds": float})
    rows = rows.assign(total_seconds=rows["seconds"] + rows["before"])
    rows = rows.drop(columns="before")
    return rows.sort_values(
        [*CASE, *SOLVER, "seed", "target"],
        ascending=[True] * 6 + [False],
        ignore_index=True,
    )


def times(reached: Any) -> pd.DataFrame:
    """Count the runs that reached each target, and give quartiles of when.

    There is one row per case, solver and target. NaN is later than the budget.
    """
    rows = []
    for names, group in reached.groupby([*CASE, *SOLVER, "target"], sort=False):
        row = dict(zip([*CASE, *SOLVER, "target"], names, strict=True))
        row |= {"runs": len(group), "reached": int(group["seconds"].notna().sum())}
        for column in ("steps", "seconds", "total_seconds"):
            row |= dict(
                zip(
                    (f"{column}_q25", column, f"{column}_q75"),
                    quartiles(group[column]),
                    strict=True,
                )
            )
        rows.append(row)
    return pd.DataFrame(rows)


def quartiles(values: Any) -> list[float]:
    """Give quartiles that are values of the sample; what is NaN comes last.

    So none lies between a number and what was never reached.
    """
    last = np.where(np.isnan(values), np.inf, values)
    low, high = np.quantile(last, [0.25, 0.75], method="inverted_cdf")
    ends = low, medians(last), high
    return [float(value) if value < np.inf else float("nan") for value in ends]


def by_task(rows: Any, column: str) -> pd.DataFrame:
    """Arrange a column's values with one row per task and one column per solver.

    A value is infinite where it is not a number or was not run.
    """
    table = rows.groupby([*CASE, "seed", *SOLVER])[column].min().unstack(SOLVER)
    return table.sort_index(axis=1).fillna(np.inf)


def comparable(rows: Any) -> list[pd.DataFrame]:
    """Group the rows by cases that the same solvers ran: who is absent has no place.

    A case that the same optimizers ran in further frameworks is in the smaller group too,
    without these.
    """
    which = [
        [*zip(*(rows[name] for name in names), strict=True)] for names in (CASE, SOLVER)
    ]
    ran: dict[Any, set[Any]] = {}
    for case, solver in zip(*which, strict=True):
        ran.setdefault(case, set()).add(solver)
    groups = []
    for solvers in dict.fromkeys(map(frozenset, ran.values())):
        labels = {label for label, _ in solvers}
        cases = {
            case
            for case, its in ran.items()
            if solvers <= its and {label for label, _ in its} == labels
        }
        among = [
            case in cases and solver in solvers for case, solver in zip(*which, strict=True)
        ]
        groups.append(rows[among])
    return groups


def to_target(reached: Any, target: float) -> Any:
    """Take the rows of one target."""
    return reached[np.isclose(reached["target"], target, rtol=1e-6)]


def by_case(rows: Any, column: str) -> pd.DataFrame:
    """Arrange a column's medians over seeds: one row per case, one column per solver.

    What is not a number is later than everything. A solver may have other seeds than the
    rest.
    """
    table = _seeds(rows, column).quantile(0.5, interpolation=MIDDLE)
    return table.unstack(SOLVER).sort_index(axis=1).fillna(np.inf)


def over_cases(rows: Any, column: str, statistic: Statistic, seed: int = 0) -> pd.DataFrame:
    """Rank the solvers by a statistic of their medians, as `by_case` gives them.

    Each gets an interval and the probability that it is first: cases are drawn again, and
    for each of them every solver's seeds. So they are about other problems of the kind.
    With fewer cases than LEAST there are none.
    """
    table = by_case(rows, column)
    ranked = table.columns.to_frame(index=False)
    ranked = ranked.assign(
        value=statistic(table.to_numpy()), low=np.nan, high=np.nan, first=np.nan
    )
    if len(table) >= LEAST:
        drawn = np.array([statistic(each) for each in redrawn(rows, column, table, seed)])
        low, high = quantiles(drawn)
        ranked = ranked.assign(low=low, high=high, first=first(drawn))
    return ranked.sort_values(["value", *SOLVER], ignore_index=True)


def redrawn(rows: Any, column: str, table: pd.DataFrame, seed: int) -> np.ndarray:
    """Draw cases, and seeds within each, again: medians [resamples, cases, solvers]."""
    random = np.random.default_rng(seed)
    samples = {name: group.to_numpy() for name, group in _seeds(rows, column)}
    # of every case and solver, the medians of seeds drawn as often as there are resamples
    found = np.full((RESAMPLES, *table.shape), np.inf)
    for place in np.ndindex(table.shape):
        sample = samples.get((*table.index[place[0]], *table.columns[place[1]]))
        if sample is not None:
            again = random.choice(sample, (RESAMPLES, len(sample)))
            found[:, *place] = medians(again.T)
    cases = random.integers(len(table), size=(RESAMPLES, len(table)))
    return np.take_along_axis(found, cases[:, :, None], axis=1)


def _seeds(rows: Any, column: str) -> Any:
    """Group a column's values by case and solver; what is not a number is infinite."""
    return rows[column].fillna(np.inf).groupby([rows[name] for name in (*CASE, *SOLVER)])


def profile(table: pd.DataFrame) -> pd.DataFrame:
    """Give Dolan and Moré's performance profile.

    It is the share of all cases that a solver does within a ratio of the fastest, with one
    row per solver and ratio at which its share rises. A case that nobody does counts for
    all of them.
    """
    relative = ratios(table.to_numpy())
    rows = []
    for solver, column in zip(table.columns, relative.T, strict=True):
        done = np.unique(column[np.isfinite(column)])
        shares = [(column <= ratio).mean() for ratio in done]
        rows += [(*solver, ratio, share) for ratio, share in zip(done, shares, strict=True)]
    return pd.DataFrame(rows, columns=[*SOLVER, "ratio", "share"])


def ratios(table: np.ndarray) -> np.ndarray:
    """Divide each row's values by the smallest; infinite where a solver has none."""
    best = table.min(axis=1, keepdims=True)
    relative = np.divide(
        table, best, out=np.full(table.shape, np.inf), where=np.isfinite(table) & (best > 0)
    )
    return np.where((table == best) & np.isfinite(table), 1, relative)  # 0 / 0 too


def areas(table: np.ndarray) -> np.ndarray:
    """Give the area under each profile over the logarithm of the ratio, from 1 to FAR.

    It is a share of the whole.
    """
    relative = np.minimum(ratios(table), FAR)
    return (1 - np.log(relative) / np.log(FAR)).mean(axis=0)


def ranking(table: pd.DataFrame, statistic: Statistic, seed: int = 0) -> pd.DataFrame:
    """Give each solver's number, its interval and the probability that it is first.

    A bootstrap draws seeds again within each case.
    """
    drawn = bootstrap(table, statistic, seed)
    low, high = quantiles(drawn)
    rows = table.columns.to_frame(index=False)
    rows = rows.assign(
        value=statistic(table.to_numpy()), low=low, high=high, first=first(drawn)
    )
    return rows.sort_values(["value", *SOLVER], ignore_index=True)


def with_enough(ranking: pd.DataFrame, rows: Any) -> pd.DataFrame:
    """Leave out of a ranking of rows what fewer seeds than LEAST cannot tell.

    A solver with fewer has no interval; beside it nobody has a probability.
    """
    seeds = rows.groupby([*CASE, *SOLVER])["seed"].nunique().groupby(SOLVER).min()
    enough: Any = ranking[SOLVER].apply(tuple, axis=1).map(seeds) >= LEAST
    return ranking.assign(
        low=ranking["low"].where(enough),
        high=ranking["high"].where(enough),
        first=ranking["first"] if enough.all() else np.nan,
    )


def among_equals(rows: Any, *by: str) -> pd.DataFrame:
    """Rank a case's solvers by the median of `final`, each among those with as many seeds.

    The others' are no worse for being fewer. `by` are columns that part them further, which
    the ranking has too.
    """
    seeds = rows.groupby([*SOLVER, *by])["seed"].transform("nunique")
    parts = []
    for names, alike in rows.groupby([*(rows[name] for name in by), seeds]):
        ranked = with_enough(ranking(by_task(alike, "final"), medians), alike)
        parts.append(ranked.assign(**dict(zip(by, names, strict=False))))
    return pd.concat(parts, ignore_index=True)


def movement(runs: Any) -> dict[str, float]:
    """Say how many runs stopped moving, and after which steps: first, median, last."""
    until = runs["moved_until"].dropna()
    return {
        "stopped": len(until),
        "moved_first": until.min(),
        "moved_until": until.median(),
        "moved_last": until.max(),
    }


def bootstrap(table: pd.DataFrame, statistic: Statistic, seed: int = 0) -> np.ndarray:
    """Give the statistic [resamples, solvers] of tasks drawn again.

    In each case as many seeds are drawn as it has.
    """
    values = table.to_numpy()
    cases = table.groupby(level=CASE, sort=True).indices.values()
    return stratified(lambda rows: statistic(values[rows]), cases, seed=seed)


def quantiles(drawn: np.ndarray) -> np.ndarray:
    """Give the interval of each solver [2, solvers]; an infinite end stays one."""
    tail = (1 - LEVEL) / 2
    return np.quantile(drawn, [tail, 1 - tail], axis=0, method="inverted_cdf")


def first(drawn: np.ndarray) -> np.ndarray:
    """Say how often each solver has the smallest number.

    Equal ones share, infinite ones have no part.
    """
    best = drawn.min(axis=1, keepdims=True)
    among = (drawn == best) & np.isfinite(drawn)
    return (among / np.maximum(among.sum(axis=1, keepdims=True), 1)).mean(axis=0)


def medians(table: np.ndarray) -> np.ndarray:
    """Give the median of each column, a value of the sample."""
    return np.quantile(table, 0.5, axis=0, method=MIDDLE)


def left_out(table: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs of the others that swap when an optimizer is left out.

    Profiles depend on who is the fastest. An optimizer is left out in every framework: its
    twin would be as good a reference.
    """
    rows, everyone = [], order(table)
    for label in dict.fromkeys(name for name, _ in table.columns):
        others = [solver for solver in everyone if solver[0] != label]
        without = order(pd.DataFrame(table[others])) if others else []
        place = {solver: number for number, solver in enumerate(without)}
        rows.append(
            (
                label,
                sum(place[one] > place[other] for one, other in combinations(others, 2)),
            )
        )
    return pd.DataFrame(rows, columns=["label", "swapped"])


def order(table: pd.DataFrame) -> list[Any]:
    """Sort the solvers by area, the largest first; equal ones by name."""
    rounded = areas(table.to_numpy()).round(12)  # equal but for the order of a sum
    return [name for _, name in sorted(zip(-rounded, table.columns, strict=True))]


def paired(
    runs: Any, column: str, frameworks: tuple[str, str] = ("torch", "jax")
) -> pd.DataFrame:
    """Give the median ratio of two frameworks on equal seeds, with a bootstrap interval.

    There is one row per case and optimizer. `pairs` counts the seeds on which both have a
    positive number; without one there is no row.
    """
    both: Any = by_task(runs, column).stack("label", future_stack=True)
    table = both.reindex(columns=list(frameworks))
    table = table[np.isfinite(table).all(axis=1) & (table > 0).all(axis=1)]
    rows = []
    for names, group in np.log(table[frameworks[0]] / table[frameworks[1]]).groupby(
        level=[*CASE, "label"]
    ):
        low, high = np.nan, np.nan
        if len(group) >= LEAST:
            low, high = interval(np.median, group.to_numpy())
        rows.append((*names, len(group), np.exp(group.median()), np.exp(low), np.exp(high)))
    return pd.DataFrame(rows, columns=[*CASE, "label", "pairs", "ratio", "low", "high"])
