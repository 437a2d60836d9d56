"""What must hold for what tuning left.

All trials and runs are there, a value is that of its runs, and the best was chosen.
"""

import csv
import json
import math
import statistics
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from optbench.campaign.results_folder import TRIALS, Results
from optbench.tuning import output
from optbench.tuning.output import CHOSEN, Trial, final_error
from optbench.tuning.study import with_values

Row = dict[str, str]  # of trials.csv


def check_trials(results: Results) -> Iterator[str]:
    """Check that no trial is missing, nor a run of one.

    Every run belongs to a trial, and as many trials count in every study.
    """
    numbers, counted, named = defaultdict(set), Counter(), set()
    rows, file = _rows(results), results.folder / TRIALS
    for row in rows:
        numbers[row["study"]].add(int(row["trial"]))
        counted[_shown(row)] += row["counted"] == "True"
        for run in _runs(results, row):
            named.add(run)
            if run not in results.records:
                yield f"{file}: {run.name} of {_title(row)} is missing"
    for study, trials in numbers.items():
        if gone := sorted(set(range(max(trials))) - trials):
            yield f"{file}: {study}: trials {', '.join(map(str, gone))} are missing"
    for (_, _, study), count in counted.items():
        if count != max(counted.values()):
            yield (
                f"{file}: {study}: {count} trials count, and {max(counted.values())} "
                "of others"
            )
    if all(row["records"] for row in rows):  # an interrupted trial may have left a run
        yield from (f"{run} is no trial's" for run in results.records if run not in named)


def check_values(results: Results) -> Iterator[str]:
    """Check that a trial's value is the median of its runs, and the best was chosen."""
    rows = _rows(results)
    for row in rows:
        errors = [
            final_error(results.records[run])
            for run in _runs(results, row)
            if run in results.records
        ]
        if (
            row["relative_l2"]
            and errors
            and float(row["relative_l2"]) != statistics.median(errors)
        ):
            yield (
                f"{results.folder / TRIALS}: {_title(row)}: {row['relative_l2']} is not "
                "what its records give"
            )
    yield from _not_chosen(results.folder / CHOSEN, _best(rows))


def _best(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """Give the rows that should be chosen, by case and label.

    A study's is the trial with the smallest mean rank over its cases. Of a case's studies,
    one for each framework, it is that with the smaller error.
    """
    studies: dict[tuple[str, str], dict[int, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row["counted"] == "True":
            studies[row["label"], row["study"]][int(row["trial"])].append(row)
    best: dict[tuple[str, str], tuple[float, Row]] = {}
    for (label, _), trials in studies.items():
        chosen = output.best(
            [
                Trial(number, [_value(row) for row in its], True, {}, [], [])
                for number, its in trials.items()
            ]
        )
        if min(chosen.errors) < math.inf:
            for row in trials[chosen.number]:
                key, found = (row["case"], label), (chosen.error, row)
                best[key] = min(best.get(key, found), found, key=lambda pair: pair[0])
    return {key: row for key, (_, row) in best.items()}


def _not_chosen(file: Path, best: dict[tuple[str, str], Row]) -> Iterator[str]:
    """Compare what was written with the best trials, by case and label.

    The cases that have one are written in the campaign's order.
    """
    cases = (
        tomllib.loads(file.read_text(encoding="utf-8"))["case"] if file.is_file() else []
    )
    numbers = sorted({case for case, _ in best}, key=int)
    if len(cases) != len(numbers):
        yield f"{file}: {len(cases)} cases, but trials of {len(numbers)} ended well"
        return
    for number, case in zip(numbers, cases, strict=True):
        tables = case["optimizers"]
        rows = {label: row for (of, label), row in best.items() if of == number}
        for label, row in rows.items():
            table = tables.get(label)
            same = (case["problem"], case["network"]) == (row["problem"], row["network"])
            values = json.loads(row["hyperparameters"])
            if table is None or not same or with_values(table, values) != table:
                yield (
                    f"{file}: {label} on {row['problem']}, {row['network']} is not "
                    f"{_title(row)}, the best"
                )
        for label in tables.keys() - rows.keys():
            yield f"{file}: no trial of {label} on case {number} ended well"


def _rows(results: Results) -> list[Row]:
    with (results.folder / TRIALS).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _runs(results: Results, row: Row) -> list[Path]:
    return [results.folder / "runs" / name for name in row["records"].split()]


def _shown(row: Row) -> tuple[str, str, str]:
    """Give the case and the label that a study stands for, of which it may have several."""
    return row["case"], row["label"], row["study"]


def _value(row: Row) -> float:
    return float(row["relative_l2"])


def _title(row: Row) -> str:
    return f"trial {row['trial']} of {row['study']}"
