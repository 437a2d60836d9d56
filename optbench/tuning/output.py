"""What tuning gives: a campaign with the best hyperparameters, a table of every trial."""

import csv
import io
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.campaign.campaign import Campaign
from optbench.campaign.results_folder import TRIALS
from optbench.records.files import replace
from optbench.records.record import ANSWERS, Record
from optbench.tuning.study import Protocol, Study, Tables, as_tables, with_values, without

CHOSEN = "tuned.toml"
COLUMNS = (
    *("case", "problem", "network", "label", "optimizer", "framework", "trial", "counted"),
    *("relative_l2", "status", "hyperparameters", "seeds", "budget_steps"),
    *("budget_seconds", "records", "study"),
)


@dataclass(frozen=True)
class Trial:
    """A choice of hyperparameters and what came of it."""

    number: int
    # by case, the median final relative L2 at the selection points, inf where too few runs
    # finished; none: the trial did not end
    errors: list[float]
    counted: bool  # one of the trials that every study has as many of
    hyperparameters: dict[str, Any]
    status: list[str]  # of its runs, by seed
    records: list[str]  # their files in runs/

    @property
    def error(self) -> float:
        """The errors' average; infinite where the trial does not count."""
        return average(self.errors) if self.counted and self.errors else math.inf

    @property
    def chosen(self) -> str:
        """The hyperparameters in words."""
        return ", ".join(f"{key}={value}" for key, value in self.hyperparameters.items())


@dataclass(frozen=True)
class Result:
    """A study and its trials."""

    study: Study
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The trial that is chosen."""
        return best(self.trials)

    @property
    def ended_well(self) -> bool:
        """Whether the chosen trial ended well on a case."""
        return self.best.counted and min(self.best.errors, default=math.inf) < math.inf


def final_error(record: Record) -> float:
    """Give the final relative L2; infinite for a run that did not end well.

    A run that stalled did: it is where it would be at the end of its budget.
    """
    return record.relative_l2 if record.status in ANSWERS else math.inf


def by_case(records: Sequence[Record], cases: int) -> list[float]:
    """Give the median of the final errors of each case, whose runs follow each other."""
    errors, runs = list(map(final_error, records)), len(records) // cases
    return [
        statistics.median(errors[start : start + runs])
        for start in range(0, len(errors), runs)
    ]


def average(errors: Sequence[float]) -> float:
    """Average errors geometrically; infinite where one is."""
    if math.inf in errors or len(errors) == 1:
        return max(errors)
    return math.exp(statistics.fmean(math.log(max(error, 1e-300)) for error in errors))


def best(trials: Sequence[Trial]) -> Trial:
    """Choose the trial with the smallest mean rank of its errors over the cases.

    On one case it is the trial with the smallest error. Of equal ranks, the smaller average
    decides, and then the earlier trial.
    """
    from scipy.stats import rankdata  # which takes longer than what else reads a table

    counted = [trial for trial in trials if trial.counted]
    if not counted:
        return min(trials, key=lambda trial: trial.number)
    ranks = rankdata([trial.errors for trial in counted], axis=0).mean(axis=1)
    order = zip(ranks, counted, strict=True)
    return min(order, key=lambda pair: (pair[0], pair[1].error, pair[1].number))[1]


def describe(trials: Sequence[Trial], number: int) -> str:
    """Describe what came of a trial, and the best so far."""
    (trial,), top = (one for one in trials if one.number == number), best(trials)
    outcome = f"trial {number}: {_shown(trial)} with {trial.chosen}"
    return f"{outcome}; best {_shown(top)}, trial {top.number}"


def _shown(trial: Trial) -> str:
    """Give a trial's errors in words."""
    return ", ".join(f"{error:.2e}" for error in trial.errors) or "interrupted"


def write(
    campaign: Campaign,
    name: str,
    protocol: Protocol,
    results: Sequence[Result],
    folder: Path,
) -> list[Path]:
    """Write `tuned.toml` and `trials.csv` into a folder, and give their paths.

    There is no `tuned.toml` where no trial ended well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, plan = folder / TRIALS, folder / CHOSEN
    replace(table, _csv(results))
    tables = _tuned(as_tables(campaign), protocol, results)
    if not tables["case"]:
        return [table]
    import tomli_w  # of the extra "tune", as Optuna

    replace(plan, _header(name, protocol, results) + tomli_w.dumps(tables))
    return [plan, table]


def _tuned(tables: Tables, protocol: Protocol, results: Sequence[Result]) -> Tables:
    """Make the campaign with each optimizer's best hyperparameters.

    What no trial ended well of is left out.
    """
    cases = []
    for number, case in enumerate(tables["case"]):
        # the best over the frameworks comes last and stays
        ordered = sorted(results, key=lambda result: result.best.error, reverse=True)
        bests = {
            result.study.label: result.best
            for result in ordered
            if number in result.study.cases and result.ended_well
        }
        optimizers = {
            label: with_values(
                without(table, "experiment") | {"from": "tuned"},
                bests[label].hyperparameters,
            )
            for label, table in case.get("optimizers", tables["optimizers"]).items()
            if label in bests
        }
        cases += [case | {"optimizers": optimizers}] if optimizers else []
    budget = (
        {}
        if any(level.keys() & {"steps", "seconds"} for level in (tables, *cases))
        else protocol.budget
    )
    return without(tables, "optimizers") | budget | {"case": cases}


def _header(name: str, protocol: Protocol, results: Sequence[Result]) -> str:
    """Say how the numbers were found, as comments."""
    frameworks = list(dict.fromkeys(result.study.framework for result in results))
    where = (
        f"in {frameworks[0]}"
        if len(frameworks) == 1
        else f"the best over {' and '.join(frameworks)}"
    )
    lines = [
        f"Written by `{protocol.command(name)}`: hyperparameters tuned {where}.",
        f"Every optimizer and framework had {protocol.trials} trials, the defaults first, "
        f"on seeds {', '.join(map(str, protocol.run_seeds))}; "
        f"the choice is by {_criterion(protocol)}",
        "at the selection points. Neither the seeds nor the points are those of a report.",
        *(
            f"{result.study.title}, {_budget(result.study)} a run: {_outcome(result)}"
            for result in results
        ),
    ]
    return "".join(f"# {text}\n" for text in lines) + "\n"


def _criterion(protocol: Protocol) -> str:
    error = "the median final relative L2"
    return f"the mean rank over the cases of {error}" if protocol.together else error


def _budget(study: Study) -> str:
    return (
        f"{study.first.seconds:g} s"
        if study.first.seconds
        else f"{study.first.steps} steps"
    )


def _outcome(result: Result) -> str:
    counted, top = sum(trial.counted for trial in result.trials), result.best
    if result.ended_well:
        return f"{_shown(top)}, trial {top.number} of {counted}"
    return f"no trial ended well of {counted}"


def _csv(results: Sequence[Result]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result in results:
        rows = [
            _row(result.study, place, trial)
            for place in range(len(result.study.cases))
            for trial in result.trials
        ]
        writer.writerows([row[column] for column in COLUMNS] for row in rows)
    return stream.getvalue()


def _row(study: Study, place: int, trial: Trial) -> dict[str, Any]:
    """Give what came of a trial on the study's case at this place."""
    run, seeds = study.firsts[place], len(study.tables["seeds"])
    runs = slice(place * seeds, (place + 1) * seeds)
    return {
        "case": study.cases[place],
        **{
            key: getattr(run, key)
            for key in ("problem", "network", "optimizer", "framework")
        },
        "label": study.label,
        "trial": trial.number,
        "counted": trial.counted,
        "relative_l2": trial.errors[place] if trial.errors else None,
        "status": " ".join(trial.status[runs]) or "interrupted",
        "hyperparameters": json.dumps(trial.hyperparameters),
        "seeds": " ".join(map(str, study.tables["seeds"])),
        "budget_steps": run.steps,
        "budget_seconds": run.seconds,
        "records": " ".join(trial.records[runs]),
        "study": study.name,
    }
