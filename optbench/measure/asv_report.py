"""What a step costs, by asv's results: `optbench asv`, one folder of tables per machine."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from optbench.measure import bootstrap, cost_figures, scale
from optbench.measure.asv_results import COLUMNS, chosen, in_short
from optbench.records import files, palette, plain_text


class Benchmark(NamedTuple):
    """A benchmark of ours, whatever its class is called."""

    module: str
    quantity: str
    parameters: list[str]


CELL = ["framework", "optimizer", "problem"]
STEP = Benchmark("step", "time_step", CELL)
WIDTH = Benchmark("width", "time_step", ["framework", "optimizer", "width"])
PARAMETERS = Benchmark("width", "track_parameters", ["width"])
WORK = Benchmark("work", "track_flops", CELL)
REFERENCE = "jax"  # the framework whose step the others are divided by
RESAMPLES = 2000  # of the bootstrap
CAUTION = (
    "In brackets: the 95 % interval of a bootstrap over samples. The samples of one "
    "process are alike, and asv times each cell in one process here: the interval is too "
    "narrow, and a second process can differ by more."
)


def report(frame: pd.DataFrame, out: Path, say: Callable[[str], None]) -> None:
    """Print what a step costs and how it grows; write tables and figures, and say where.

    What a benchmark has and no table shows is said too.
    """
    for machine, rows in frame.groupby("machine"):
        folder = out / str(machine)
        folder.mkdir(parents=True, exist_ok=True)
        written = [
            *_steps(rows, folder, say),
            *_ladder(rows, folder, say),
            *_over_commits(rows, STEP, "seconds per step", "time_over_commits", folder),
            *_over_commits(rows, WORK, "flops per step", "work_over_commits", folder),
            _csv(rows.drop(columns=["samples", "current"]), folder / "measurements.csv"),
        ]
        for benchmark in (STEP, WIDTH, PARAMETERS, WORK):
            for line in unshown(rows, benchmark):
                say(line)
        for path in written:
            say(f"written: {path}")


def _steps(rows: pd.DataFrame, folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    cells = newest(rows, STEP)
    if cells.empty:
        return
    table = pd.DataFrame(step_cost(cells))
    above = heading(cells, environments(rows, STEP))
    say(f"{above}\n\n{render(table, 'simple')}\n")
    notes = map(plain_text.markdown, unshown(rows, STEP))
    below = "\n\n".join([render(table, "pipe"), *notes, CAUTION])
    files.replace(folder / "step_cost.md", f"### {plain_text.markdown(above)}\n\n{below}\n")
    yield folder / "step_cost.md"
    yield _csv(table, folder / "step_cost.csv")


def _ladder(rows: pd.DataFrame, folder: Path, say: Callable[[str], None]) -> Iterator[Path]:
    measured = widths(rows)
    if measured.empty:
        return
    memory = float(rows["memory"].to_numpy()[-1])
    fitted = pd.DataFrame(scale.fits(measured))
    crossed = pd.DataFrame(scale.crossovers(measured))
    above = heading(newest(rows, WIDTH), environments(rows, WIDTH))
    say(f"{above}\n\n{scale.render(fitted)}\n")
    for crossover in crossed.to_dict("records"):
        say(scale.in_words(crossover))
    for name, table in (
        ("cost_over_parameters", measured),
        ("exponents", fitted),
        ("crossovers", crossed),
    ):
        yield _csv(table, folder / f"{name}.csv")
    title, (measured, fitted) = _title(rows, WIDTH), map(palette.named, (measured, fitted))
    yield from cost_figures.cost_over_parameters(
        measured, fitted, folder, memory, crossed, title=title
    )
    yield from cost_figures.frameworks_over_parameters(measured, fitted, folder, title)


def _over_commits(
    rows: pd.DataFrame, benchmark: Benchmark, what: str, name: str, folder: Path
) -> list[Path]:
    data = palette.named(history(rows, benchmark))
    return cost_figures.over_commits(data, what, name, folder, _title(rows, benchmark))


def _title(rows: pd.DataFrame, benchmark: Benchmark) -> str:
    """Name the environment of a figure, where there are several."""
    cells, others = newest(rows, benchmark), environments(rows, benchmark)
    if cells.empty or len(others) < 2:
        return ""
    return palette.text(f"in {in_short(cells['environment'].iloc[0], others)}")


def _csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table in which no name is a spreadsheet's formula."""
    names = {
        name: table[name].map(lambda it: plain_text.cell(it) if isinstance(it, str) else it)
        for name in table.select_dtypes(["object", "string"])
    }
    table = table.assign(**names).rename(columns=plain_text.cell)
    files.replace(path, table.to_csv(index=False, lineterminator="\n"))
    return path


def of(frame: pd.DataFrame, benchmark: Benchmark) -> Any:
    """Select the cells of a benchmark, whatever its class is called."""
    names = rf"{benchmark.module}\.(\w+\.)?{benchmark.quantity}"
    return frame[frame["benchmark"].str.fullmatch(names)]


def comparable(frame: pd.DataFrame, benchmark: Benchmark) -> Any:
    """Select the cells of a benchmark that tables may put together.

    They are of the version that benchmarks.json describes, with the parameters that are
    ours and no others.
    """
    rows = of(frame, benchmark)
    names = [name for name in frame.columns if name not in COLUMNS]
    parameters = rows[names].notna()
    has = {name: parameters[name] == (name in benchmark.parameters) for name in names}
    rows = rows[rows["current"] & pd.DataFrame(has, rows.index).all(axis=1)]
    if not set(benchmark.parameters) <= set(names) or rows.empty:
        return rows.iloc[:0]
    rows = rows[rows["benchmark"] == rows["benchmark"].iloc[-1]]
    return rows.assign(
        **{name: rows[name].astype(str) for name in {*benchmark.parameters} & {*CELL}}
    )


def environments(frame: pd.DataFrame, benchmark: Benchmark) -> list[str]:
    """List the environments in which a benchmark was asked for."""
    rows = comparable(frame, benchmark)
    return sorted(set(rows.loc[rows["status"] != "skipped", "environment"]))


def newest(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Select a benchmark's cells at the newest commit that has a value.

    They are of one environment, the one that `chosen` takes of those at that commit.
    """
    cells = comparable(frame, benchmark)
    measured = cells[cells["status"] == "measured"]
    if measured.empty:
        return measured
    at = cells[cells["commit"] == measured["commit"].iloc[-1]]
    has = {
        name: (
            int((rows["status"] != "skipped").sum()),
            int((rows["status"] == "failed").sum()),
            cells.loc[cells["environment"] == name, "commit"].nunique(),
        )
        for name, rows in at.groupby("environment")
    }
    return at[at["environment"] == chosen(has)]


def unshown(frame: pd.DataFrame, benchmark: Benchmark) -> Iterator[str]:
    """Say which cells of a benchmark are in no table, and why."""
    every = of(frame, benchmark)
    every = every[every["status"] != "skipped"]
    right = comparable(frame, benchmark)
    wrong = every.drop(right.index, errors="ignore")
    for (name, version), rows in wrong[~wrong["current"]].groupby(
        ["benchmark", "version"], dropna=False
    ):
        yield (
            f"{name}: {_count(rows)} not compared: benchmarks.json describes another "
            f"version than {version}, or other parameters"
        )
    for name, rows in wrong[wrong["current"]].groupby("benchmark"):
        yield (
            f"{name}: {_count(rows)} not compared: compared is one benchmark with the "
            f"parameters {', '.join(benchmark.parameters)}"
        )
    shown, others = newest(frame, benchmark), environments(frame, benchmark)
    for name, rows in every.loc[right.index.intersection(every.index)].groupby(
        "environment"
    ):
        if not shown.empty and name != shown["environment"].iloc[0]:
            where = in_short(str(name), others)
            yield f"{rows['benchmark'].iloc[0]} in {where}: {_count(rows)} not shown"


def _count(rows: pd.DataFrame) -> str:
    """Count cells and commits in words."""
    counts = {"cell": len(rows), "commit": rows["commit"].nunique()}
    return " at ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items())


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


def heading(cells: pd.DataFrame, environments: Collection[str] = ()) -> str:
    """Say where and when cells of one commit were measured, told from the environments."""
    first = cells.iloc[0]
    return (
        f"{first['benchmark']} on {first['machine']}, "
        f"commit {first['commit'][:8]} of {first['date']:%Y-%m-%d} "
        f"({in_short(first['environment'], environments)})"
    )


def render(table: pd.DataFrame, style: str) -> str:
    """Render the table of `step_cost` as text."""
    frameworks = [
        name.removesuffix("_status") for name in table.columns if name.endswith("_status")
    ]
    ratios = [name for name in table.columns if name.endswith(f"/{REFERENCE}")]
    headers = ["optimizer", "problem", *(f"{name} ms" for name in frameworks), *ratios]
    write = plain_text.markdown if style == "pipe" else plain_text.visible
    headers = [write(header) for header in headers]
    rows = [
        [write(str(row["optimizer"])), write(str(row["problem"]))]
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
    counts = comparable(frame, PARAMETERS)
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


def history(frame: pd.DataFrame, benchmark: Benchmark) -> pd.DataFrame:
    """Give a benchmark's values at every commit, `relative` to the first one of the cell.

    They are those of its newest version, in the environment of the newest commit, on the
    problems that an optimizer's first commit has: a mean over others would jump where one
    begins.
    """
    rows, last = comparable(frame, benchmark), newest(frame, benchmark)
    rows = rows[rows["status"] == "measured"]
    rows = rows[rows["environment"].isin(last["environment"])]
    if rows.empty:
        return rows
    versions = rows["version"].fillna("")  # asv's oldest files have none
    rows = rows[versions == versions.iloc[-1]]
    begins, of_all = (
        rows.groupby(cells)["date"].transform("min") for cells in (CELL, CELL[:2])
    )
    rows = rows[begins == of_all]
    return rows.assign(
        relative=rows["median"] / rows.groupby(CELL)["median"].transform("first")
    )
