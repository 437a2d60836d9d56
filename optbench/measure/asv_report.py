"""What a step costs, by asv's results: `optbench asv`, one folder of tables per machine."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from optbench.measure import bootstrap, cost_figures, scale
from optbench.records import files

# asv's benchmarks: module and quantity
STEP, WIDTH, PARAMETERS = (
    ("step", "time_step"),
    ("width", "time_step"),
    ("width", "track_parameters"),
)
WORK = ("work", "track_flops")
CELL = ["framework", "optimizer", "problem"]
REFERENCE = "jax"  # the framework whose step the others are divided by
RESAMPLES = 2000  # of the bootstrap
CAUTION = (
    "In brackets: the 95 % interval of a bootstrap over samples. The samples of one "
    "process are alike, and asv times each cell in one process here: the interval is too "
    "narrow, and a second process can differ by more."
)


def report(frame: pd.DataFrame, out: Path, say: Callable[[str], None]) -> None:
    """Print what a step costs and how it grows; write tables and figures, and say where."""
    for machine, rows in frame.groupby("machine"):
        folder = out / str(machine)
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            *_steps(newest(rows, STEP), folder, say),
            *_ladder(
                newest(rows, WIDTH),
                widths(rows),
                float(rows["memory"].to_numpy()[-1]),
                folder,
                say,
            ),
            *cost_figures.over_commits(
                history(rows, STEP), "seconds per step", "time_over_commits", folder
            ),
            *cost_figures.over_commits(
                history(rows, WORK), "flops per step", "work_over_commits", folder
            ),
            _csv(rows.drop(columns="samples"), folder / "measurements.csv"),
        ]
        for path in written:
            say(f"written: {path}")


def _steps(cells: pd.DataFrame, folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    if cells.empty:
        return
    table = pd.DataFrame(step_cost(cells))
    say(f"{heading(cells)}\n\n{render(table, 'simple')}\n")
    files.replace(
        folder / "step_cost.md",
        f"### {heading(cells)}\n\n{render(table, 'pipe')}\n\n{CAUTION}\n",
    )
    yield folder / "step_cost.md"
    yield _csv(table, folder / "step_cost.csv")


def _ladder(
    cells: pd.DataFrame,
    measured: pd.DataFrame,
    memory: float,
    folder: Path,
    say: Callable[[str], None],
) -> Iterator[Path]:
    if measured.empty:
        return
    fitted = pd.DataFrame(scale.fits(measured))
    crossed = pd.DataFrame(scale.crossovers(measured))
    say(f"{heading(cells)}\n\n{scale.render(fitted)}\n")
    for crossover in crossed.to_dict("records"):
        say(scale.in_words(crossover))
    for name, table in (
        ("cost_over_parameters", measured),
        ("exponents", fitted),
        ("crossovers", crossed),
    ):
        yield _csv(table, folder / f"{name}.csv")
    yield from cost_figures.cost_over_parameters(measured, fitted, folder, memory, crossed)
    yield from cost_figures.frameworks_over_parameters(measured, fitted, folder)


def _csv(table: pd.DataFrame, path: Path) -> Path:
    files.replace(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def of(frame: pd.DataFrame, benchmark: tuple[str, str]) -> Any:
    """Select the cells of a benchmark, whatever its class is called."""
    module, quantity = benchmark
    return frame[frame["benchmark"].str.fullmatch(rf"{module}\.(\w+\.)?{quantity}")]


def newest(frame: pd.DataFrame, benchmark: tuple[str, str]) -> pd.DataFrame:
    """Select a benchmark's cells at the newest commit that has a value.

    They are of one environment.
    """
    cells = of(frame, benchmark)
    measured = cells[cells["status"] == "measured"]
    if measured.empty:
        return measured
    last = measured.iloc[-1]
    return cells[
        (cells["commit"] == last["commit"]) & (cells["environment"] == last["environment"])
    ]


def step_cost(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give every framework's median seconds and their ratio to JAX's, with its interval.

    There is one row per optimizer and problem.
    """
    frameworks = list(dict.fromkeys(cells["framework"]))
    groups: Any = cells.groupby(["optimizer", "problem"], sort=False)
    for (optimizer, problem), rows in groups:
        by = rows.set_index("framework")
        row = {"optimizer": optimizer, "problem": problem}
        row |= {name: by["median"].get(name, np.nan) for name in frameworks}
        row |= {f"{name}_status": by["status"].get(name, "skipped") for name in frameworks}
        for name in frameworks:
            if name != REFERENCE and REFERENCE in frameworks:
                low, high = interval(by["samples"].get(name), by["samples"].get(REFERENCE))
                ratio = row[name] / row[REFERENCE]
                row |= {
                    f"{name}/{REFERENCE}": ratio,
                    f"{name}/{REFERENCE}_low": low,
                    f"{name}/{REFERENCE}_high": high,
                }
        yield row


def interval(
    samples: list[float] | None, reference: list[float] | None
) -> tuple[float, float]:
    """Give the interval of a ratio of two medians, NaN for fewer than two samples.

    It resamples the samples as if they were independent. Those of one process are alike:
    with few processes the interval is too narrow.
    """
    if samples is None or reference is None or min(len(samples), len(reference)) < 2:
        return np.nan, np.nan

    def of_medians(one: Any, other: Any, axis: int) -> Any:
        return np.median(one, axis) / np.median(other, axis)

    return bootstrap.interval(of_medians, samples, reference, resamples=RESAMPLES)


def heading(cells: pd.DataFrame) -> str:
    """Say where and when cells of one commit were measured."""
    first = cells.iloc[0]
    # asv's names of environments have every package in them
    named = re.findall(r"-(py3\.\d+|(?:jax|torch)[\d.]*\d)", first["environment"]) or [
        first["environment"]
    ]
    return (
        f"{first['benchmark']} on {first['machine']}, "
        f"commit {first['commit'][:8]} of {first['date']:%Y-%m-%d} ({', '.join(named)})"
    )


def render(table: pd.DataFrame, style: str) -> str:
    """Render the table of `step_cost` as text."""
    frameworks = [
        name.removesuffix("_status") for name in table.columns if name.endswith("_status")
    ]
    ratios = [name for name in table.columns if name.endswith(f"/{REFERENCE}")]
    headers = ["optimizer", "problem", *(f"{name} ms" for name in frameworks), *ratios]
    rows = [
        [row["optimizer"], row["problem"]]
        + [_milliseconds(row[name], row[f"{name}_status"]) for name in frameworks]
        + [_ratio(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ratios]
        for row in table.to_dict("records")
    ]
    numbers = ["right"] * (len(headers) - 2)
    return tabulate(
        rows, headers, style, colalign=("left", "left", *numbers), disable_numparse=True
    )


def _milliseconds(seconds: float, status: str) -> str:
    return f"{1e3 * seconds:.3g}" if status == "measured" else status


def _ratio(ratio: float, low: float, high: float) -> str:
    if np.isnan(ratio):
        return "–"
    return f"{ratio:.2f}" if np.isnan(low) else f"{ratio:.2f} [{low:.2f}, {high:.2f}]"


def widths(frame: pd.DataFrame) -> pd.DataFrame:
    """Give what a step costs at each width, at the newest commit.

    The columns are those that `scale.fits` reads, and the status.
    """
    cells: Any = newest(frame, WIDTH)
    counts = of(frame, PARAMETERS)
    counts = counts[counts["status"] == "measured"]
    if cells.empty or counts.empty:
        return cells.iloc[:0]
    parameters = counts.groupby("width")[
        "median"
    ].last()  # the same for every optimizer and framework
    cells = cells.assign(parameters=cells["width"].map(parameters)).rename(
        columns={"median": "step_seconds"}
    )
    columns = ["optimizer", "framework", "width", "parameters", "status", "step_seconds"]
    return cells[columns].sort_values(columns[:3], ignore_index=True)


def history(frame: pd.DataFrame, benchmark: tuple[str, str]) -> pd.DataFrame:
    """Give a benchmark's values at every commit, `relative` to the first one of the cell.

    They are those of its newest version, on the problems that an optimizer's first commit
    has: a mean over others would jump where one begins.
    """
    rows = of(frame, benchmark)
    rows = rows[rows["status"] == "measured"]
    if rows.empty:
        return rows
    rows = rows[rows["version"] == rows["version"].iloc[-1]]
    begins, of_all = (
        rows.groupby(cells)["date"].transform("min") for cells in (CELL, CELL[:2])
    )
    rows = rows[begins == of_all]
    return rows.assign(
        relative=rows["median"] / rows.groupby(CELL)["median"].transform("first")
    )
