"""A user's runs beside published ones: where each would rank on the cases in common."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from optbench.problems.names import InvalidName
from optbench.records import plain_text
from optbench.records.frames import Frames
from optbench.records.record import ANSWERS
from optbench.report import statistics
from optbench.report.statistics import SOLVER

NAME = "compare"  # of the files
OURS = "yours: "  # what the labels of the user's runs begin with
BEST = 5  # of the published runs in a panel of the figure
# what a case is, beside the numbers of points of its terms
CASE = ["problem", "problem_version", "network", "precision", "weights", "batches"]


class Compared(NamedTuple):
    """What came of it."""

    # a row for each case and solver, the best first: case, seconds, place, of, label,
    # framework, median, low, high, runs, finished, ours, machine
    table: pd.DataFrame
    frames: Frames  # the user's runs and the best of the published ones, to be drawn
    alone: list[str]  # the user's cases that nobody has published


class NothingInCommon(InvalidName):
    """No case of the user's is a published one; the message is one line."""


def beside(mine: Frames, theirs: Frames) -> Compared:
    """Compare on every case in common the errors after the same optimizer seconds.

    A case is a problem, a network, points and how they are drawn. The seconds are the
    smaller of the two budgets, and an error is the last that was recorded by then; a budget
    of steps has no such seconds, and its errors are those at the end. Below five seeds
    there is no interval.

    Raises:
        NothingInCommon: there is no such case.
    """
    mine, theirs = mine.floored(), theirs.floored()
    own, known = _cases(mine), _cases(theirs)
    common = [case for case in dict.fromkeys(own) if case in set(known)]
    alone = dict.fromkeys(mine.runs["case"][~own.isin(common)])
    if not common:
        raise NothingInCommon(
            f"none of {', '.join(alone)} is a case of the published results: the problem, "
            "the network, the points, their weights and their draws must be the same"
        )
    tables, shown = [], []
    for case in common:
        pair = [of(mine, own == case), of(theirs, known == case)]
        pair[0] = _called(pair[0])
        seconds = min(budget(frames) for frames in pair)
        table = ranked(pair, seconds)
        tables.append(table)
        shown.append((pair[0], _best(pair[1], table)))
    return Compared(pd.concat(tables, ignore_index=True), _joined(shown), [*alone])


def text(compared: Compared, style: str = "simple") -> str:
    """Write the table for a terminal, or as "pipe" in Markdown."""
    return "\n".join(_paragraphs(compared, style))


def _paragraphs(compared: Compared, style: str) -> Iterator[str]:
    clean = plain_text.markdown if style == "pipe" else plain_text.visible
    table: Any = compared.table
    for case, rows in table.groupby("case", sort=False):
        after = rows["seconds"].iloc[0]
        when = f"after {after:g} optimizer seconds" if np.isfinite(after) else "at the end"
        yield f"{clean(case)}: relative L2 error {when}\n"
        shown = [
            {
                "place": f"{row.place} of {len(rows)}",
                **cells(row, clean),
                "machine": row.machine,
            }
            for row in rows.itertuples()
        ]
        yield f"{tabulate(shown, headers='keys', tablefmt=style, disable_numparse=True)}\n"
    if len(set(table["machine"])) > 1:
        yield "Seconds are of several machines: a place says little of the method.\n"
    for case in compared.alone:
        yield f"{clean(case)}: nobody has published this case.\n"


def cells(row: Any, clean: Callable[[str], str]) -> dict[str, str]:
    """Write what a row of `ranked` says of its solver; `clean` writes its name."""
    return {
        "optimizer": clean(row.label),
        "framework": row.framework,
        "median error": f"{row.median:.1e}" if np.isfinite(row.median) else "–",
        "95 % interval": f"{row.low:.1e} to {row.high:.1e}"
        if np.isfinite(row.low)
        else "–",
        "success": f"{row.finished}/{row.runs}",
    }


def _cases(frames: Frames) -> pd.Series:
    """Write each run's case as one text."""
    runs: Any = frames.runs
    points = [name for name in runs if name.endswith("_points")]

    def key(row: dict[str, Any]) -> str:
        numbers = {name: int(row[name]) for name in points if not pd.isna(row[name])}
        return repr([*(row[name] for name in CASE), sorted(numbers.items())])

    return pd.Series([key(row) for row in runs.to_dict("records")], runs.index)


def of(frames: Frames, chosen: Any) -> Frames:
    """Take some runs with their history."""
    runs: Any = frames.runs
    return _with_history(runs[chosen], frames.history)


def _with_history(runs: Any, history: Any) -> Frames:
    """Make frames of some runs."""
    return Frames(runs, history[history["run"].isin(runs["run"])])


def _called(mine: Frames) -> Frames:
    """Mark the labels of the user's runs."""
    return mine._replace(runs=mine.runs.assign(label=OURS + mine.runs["label"]))


def budget(frames: Frames) -> float:
    """Give the seconds of the runs' budgets; infinite where one is of steps."""
    seconds: Any = frames.runs["budget_seconds"]
    return np.inf if seconds.isna().any() else float(seconds.min())


def ranked(sides: list[Frames], seconds: float) -> pd.DataFrame:
    """Rank the solvers of one case, of all sides, by the errors that they have by then."""
    # the user's and the published names of one case may differ
    case = sides[0].runs["case"].iloc[0]
    rows: Any = pd.concat([_errors(frames, seconds) for frames in sides], ignore_index=True)
    rows = rows.assign(case=case, campaign="", seconds=seconds)
    counts = rows.groupby([*SOLVER, "machine"]).agg(
        case=("case", "first"),
        seconds=("seconds", "first"),
        runs=("final", "size"),
        finished=("final", "count"),
    )
    among: Any = statistics.among_equals(rows, "machine")
    table = among.merge(counts.reset_index(), on=[*SOLVER, "machine"])
    table = table.rename(columns={"value": "median"}).sort_values(
        ["median", *SOLVER], kind="stable", ignore_index=True
    )
    return table.assign(
        place=table["median"].rank(method="min").astype(int),
        ours=table["label"].str.startswith(OURS),
    )


def _errors(frames: Frames, seconds: float) -> pd.DataFrame:
    """Give each run's last error that was recorded by then, where its status counts."""
    history: Any = frames.history
    last = (
        history[history["seconds"] <= seconds]
        .sort_values("step", kind="stable")
        .groupby("run")["relative_l2"]
        .last()
    )
    runs: Any = frames.runs
    final = runs["run"].map(last).where(runs["status"].isin(ANSWERS))
    return runs[[*SOLVER, "machine", "seed"]].assign(final=final)


def _best(theirs: Frames, table: pd.DataFrame) -> Frames:
    """Take the published runs of the solvers that are best on a case."""
    best = table[~table["ours"]].head(BEST)
    names = set(zip(*(best[name] for name in (*SOLVER, "machine")), strict=True))
    runs: Any = theirs.runs
    among = [
        name in names
        for name in zip(*(runs[name] for name in (*SOLVER, "machine")), strict=True)
    ]
    return _with_history(runs[among], theirs.history)


def _joined(pairs: list[tuple[Frames, Frames]]) -> Frames:
    """Put the user's runs and the published ones of every case together.

    A case has the user's name of it, so that both are drawn in one panel.
    """
    runs, history = [], []
    for number, pair in enumerate(pairs):
        one = {"case": pair[0].runs["case"].iloc[0], "campaign": NAME, "machine": ""}
        # a colour tells the user's apart from the published ones of the same optimizer
        for part, colour in zip(pair, ("label", "optimizer"), strict=True):
            name = f"{number} {colour} {{}}".format  # of a run: no other has it
            called = part.runs[colour]
            runs.append(
                part.runs.assign(run=part.runs["run"].map(name), optimizer=called, **one)
            )
            history.append(part.history.assign(run=part.history["run"].map(name)))
    return Frames(pd.concat(runs, ignore_index=True), pd.concat(history, ignore_index=True))
