"""The tables that a run prints: one per case, the best optimizer first."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import pandas as pd
from tabulate import tabulate

from optbench.problems import own
from optbench.records import plain_text
from optbench.records.frames import Frames
from optbench.records.record import ANSWERS, SECTIONS
from optbench.report import captions, statistics

SECONDS = [f"{section}_seconds" for section in (*SECTIONS, "wall")]
FORMATS = {"text": "txt", "csv": "csv", "markdown": "md"}  # with their files' suffixes

CASE = [
    "campaign",
    "machine",
    "case",
    "problem",
    "problem_version",
    "network",
    "parameters",
    "precision",
    "floor",
]
BATCHES = ["batches"]  # in words
# of batches, and what each says in every run of the paper's problems: columns of a CSV
# where they say more
QUIET = {"weights": "", "sampling": "uniform", "march": 0}
BUDGETS = ["budget_steps", "budget_seconds"]
ENTRY = [
    "evaluation",
    "label",
    "optimizer",
    "optimizer_version",
    "framework",
    "mode",
    "threads",
    "hyperparameters_from",
    "hyperparameters",
    "files",
    "resample_every",
    *QUIET,
    *BATCHES,
    *BUDGETS,
]
GROUP = CASE[:3]  # what a table of its own is made for
COLUMNS = (
    "optimizer",
    "framework",
    "relative L2",
    "best",
    "steps",
    "optimizer s",
    "ms/step",
    "compile s",
    "success",
    "status",
    "hyperparameters",
)
TEXTS = ("optimizer", "framework", "status", "hyperparameters")
ALIGNMENT = ["left" if name in TEXTS else "right" for name in COLUMNS]


def summarise(frames: Frames) -> pd.DataFrame:
    """Give medians and quartiles over seeds, and how many runs ended how.

    There is one row per case, optimizer and framework; no row mixes campaigns, machines or
    versions. An error below the floor, the accuracy of a reference, is the floor. The final
    error is that of finished and stalled runs alone; best, steps and seconds are those of
    every run. Errors have the medians and quartiles of the other tables, values of the
    sample; steps and seconds have the common median. Cases are in the order of the runs,
    their rows in that of the final error.
    """
    runs: Any = frames.floored().runs
    runs = runs.assign(ms_per_step=1e3 * runs["step_seconds"])
    points = [name for name in runs if name.endswith("_points")]
    before = ENTRY.index("resample_every")
    columns = [*CASE, *ENTRY[:before], *points, *ENTRY[before:]]
    rows = [
        dict(zip(columns, names, strict=True)) | _entry(group)
        for names, group in runs.groupby(columns, sort=False, dropna=False)
    ]
    table = pd.DataFrame(rows)
    table = table.assign(place=table.groupby(GROUP, sort=False).ngroup())
    table = table.sort_values(
        ["place", "relative_l2", "label", "framework"], na_position="last"
    )
    return table.drop(columns="place").reset_index(drop=True)


def _entry(runs: Any) -> dict[str, Any]:
    counts = runs["status"].value_counts()
    status = (
        ", ".join(f"{count} {status}" for status, count in counts.items())
        if len(runs) > 1
        else counts.index[0]
    )
    final, best = (
        runs["relative_l2"][runs["status"].isin(ANSWERS)],
        runs["best_relative_l2"],
    )
    return {
        "runs": len(runs),
        "finished": len(final),
        "status": status,
        **_spread("relative_l2", final),
        **_spread("best_relative_l2", best),
        **{name: runs[name].median() for name in ("steps", "ms_per_step", *SECONDS)},
        **statistics.movement(runs),
    }


def _spread(name: str, values: Any) -> dict[str, float]:
    known = values.dropna().to_numpy()
    low, middle, high = statistics.quartiles(known) if len(known) else [float("nan")] * 3
    return {name: middle, f"{name}_q25": low, f"{name}_q75": high}


def texts(frames: Frames) -> dict[str, str]:
    """Give the files that a run leaves, by their names."""
    table = summarise(frames)
    return {f"table.{suffix}": render(table, style) for style, suffix in FORMATS.items()}


def render(table: pd.DataFrame, style: str) -> str:
    """Write a summary as text, CSV (every column, one line per row) or Markdown."""
    if style == "csv":
        silent = [name for name, value in QUIET.items() if (table[name] == value).all()]
        return plain_text.csv(table.drop(columns=[*silent, *BATCHES]))
    several = len(table[GROUP[:2]].drop_duplicates()) > 1
    return "\n".join(
        _case(rows, style, several) for _, rows in table.groupby(GROUP, sort=False)
    )


def _case(rows: Any, style: str, several: bool) -> str:
    write = plain_text.markdown if style == "markdown" else plain_text.visible
    body = tabulate(
        [
            map(write, _cells(row))
            for row in rows.assign(label=_labels(rows)).to_dict("records")
        ],
        headers=COLUMNS,
        tablefmt="pipe" if style == "markdown" else "simple",
        colalign=ALIGNMENT,
        disable_numparse=True,
    )
    place = f"{rows.iloc[0]['campaign']} on {rows.iloc[0]['machine']}: " if several else ""
    header = ("### " if style == "markdown" else "") + write(place + _header(rows))
    notes = [line for note in _notes(rows) for line in (write(note), "")]
    return "\n".join([header, "", body, "", *notes])


def _labels(rows: Any) -> list[str]:
    """Give the optimizers' labels without folders.

    Where one is there more than once, all its hyperparameters follow.
    """
    repeated = rows.duplicated(["label", "framework"], keep=False)
    labels = zip(rows["label"], rows["hyperparameters"], repeated, strict=True)
    return [
        f"{own.bare(label)}: {hyperparameters}" if more else own.bare(label)
        for label, hyperparameters, more in labels
    ]


def _header(rows: Any) -> str:
    first = rows.iloc[0]
    network = f"{first['network']} (D = {first['parameters']:,})"
    unnamed = f"{first['problem']}, {first['network']}"
    named = (
        ""
        if first["case"] in (unnamed, f"{unnamed}, {first['precision']}")
        else f"{first['case']}: "
    )
    kinds = rows[BATCHES].drop_duplicates()
    points = first["batches"] if len(kinds) == 1 else "points differ by optimizer"
    budgets = rows[BUDGETS].drop_duplicates()
    budget = _budget(first) if len(budgets) == 1 else "budgets differ by optimizer"
    return f"{named}{first['problem']}, {network}, {points}, {budget}, {first['precision']}"


def _budget(row: Any) -> str:
    return (
        f"{row['budget_seconds']:g} s"
        if pd.notna(row["budget_seconds"])
        else f"{row['budget_steps']:g} steps"
    )


def _cells(row: dict[Any, Any]) -> list[str]:
    return [
        row["label"],
        row["framework"],
        _with_quartiles(row, "relative_l2") + captions.mark(row["stopped"]),
        _with_quartiles(row, "best_relative_l2"),
        _number(row["steps"], ",.0f"),
        _number(row["train_seconds"], ".2f"),
        _number(row["ms_per_step"], ".3g"),
        _number(row["compile_seconds"], ".2f"),
        f"{row['finished']}/{row['runs']}",
        row["status"],
        "the paper's"
        if row["hyperparameters_from"] == "paper"
        else row["hyperparameters_from"],
    ]


def _with_quartiles(row: dict[Any, Any], name: str) -> str:
    def shown(suffix: str, form: str) -> str:
        value = row[name + suffix]
        return ("≤" if 0 < value <= row["floor"] else "") + _number(value, form)

    several = row["runs"] > 1 and pd.notna(row[name])
    return shown("", ".2e") + (
        f" [{shown('_q25', '.1e')}, {shown('_q75', '.1e')}]" if several else ""
    )


def _number(value: float, form: str) -> str:
    return format(value, form) if pd.notna(value) else "–"


def _notes(rows: Any) -> Iterator[str]:
    """Say what a reader must know before comparing the rows."""
    for what, columns, words in (
        ("batches", BATCHES, itemgetter("batches")),
        ("budgets", BUDGETS, _budget),
    ):
        if len(rows[columns].drop_duplicates()) > 1:
            kinds = rows.groupby(columns, sort=False, dropna=False)
            each = [
                f"{', '.join(group['label'].unique())}: {words(group.iloc[0])}"
                for _, group in kinds
            ]
            yield f"Optimizers of this case had different {what}: {'; '.join(each)}."
    if (floor := rows["floor"].max()) > 0:
        yield (
            f"The reference is accurate to {floor:.2e} in relative L2: an error below it "
            f"is shown as ≤{floor:.2e}."
        )
    for files, group in rows[rows["files"] != ""].groupby("files", sort=False):
        which = "" if len(group) == len(rows) else f" for {', '.join(_labels(group))}"
        yield f"Files of the user's own{which} (SHA-256): {files}."
    for row, label in zip(rows.to_dict("records"), _labels(rows), strict=True):
        if row["stopped"]:
            after = captions.moved(row["moved_first"], row["moved_last"], row["steps"])
            yield (
                f"{captions.MARK} {label}, {row['framework']}: neither loss nor error "
                f"changed after step {after} ({row['stopped']}/{row['runs']}); ms/step is "
                "of the steps until then."
            )
    if rows["runs"].max() > 1:
        yield (
            f"Medians over {rows['runs'].max()} seeds, quartiles in brackets; final errors "
            "are of finished runs."
        )
