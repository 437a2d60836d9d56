"""The learned solution beside the exact one, with the error, for problems with two inputs and one output."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm

from optbench import problems
from optbench.records.palette import COLOURS, write
from optbench.records.record import Record
from optbench.training import surface

SMALLEST = 1e-8  # a smaller error is drawn as this
ERRORS = LogNorm(SMALLEST, 1)  # of |u − u*| in every figure, so that figures compare


def make(records: Sequence[Record], folder: Path) -> list[Path]:
    """A figure a case: a row an optimizer, of its run with the smallest seed and the framework that comes first."""
    cases: dict[str, dict[str, Record]] = {}
    for record in sorted(
        records, key=lambda record: (record.request.seed, record.request.framework != "jax")
    ):
        if record.surface:
            labels, request = record.request.labels, record.request
            case = labels.case or f"{request.problem}_{request.network}"
            cases.setdefault(case, {}).setdefault(labels.optimizer, record)
    return [
        path
        for case, found in sorted(cases.items())
        for path in _figure(case, found, folder)
    ]


def _figure(case: str, found: dict[str, Record], folder: Path) -> list[Path]:
    order = [*COLOURS, *sorted(set(found) - set(COLOURS))]
    chosen = [(label, found[label]) for label in order if label in found]
    problem = problems.get(chosen[0][1].request.problem)
    (left, bottom), (right, top) = problem.bounds
    look: Any = {"origin": "lower", "extent": (left, right, bottom, top), "aspect": "auto"}
    exact = surface.as_image(problem, problem.solution(surface.grid(problem)))
    scale: Any = {"vmin": np.nanmin(exact), "vmax": np.nanmax(exact), "cmap": "viridis"}
    figure, grid = plt.subplots(
        len(chosen), 3, figsize=(8.4, 2.4 * len(chosen)), squeeze=False, layout="compressed"
    )
    for row, (label, record) in zip(grid, chosen, strict=True):
        learned = surface.as_image(problem, np.array(record.surface))
        row[0].imshow(exact, **look, **scale)
        row[0].set_title("exact", fontsize=9)
        figure.colorbar(
            row[1].imshow(learned, **look, **scale), ax=row[:2].tolist(), fraction=0.05
        )
        row[1].set_title(
            f"{label}, {record.request.framework}, seed {record.request.seed}", fontsize=9
        )
        error = row[2].imshow(
            np.maximum(np.abs(learned - exact), SMALLEST), **look, norm=ERRORS, cmap="magma"
        )
        figure.colorbar(error, ax=row[2], fraction=0.05)
        row[2].set_title(f"|u - u*|, relative L2 {record.relative_l2:.1e}", fontsize=9)
        for axes in row:
            axes.tick_params(labelsize=7)
    figure.suptitle(case, fontsize=10)
    return write(figure, folder, "solution_" + re.sub(r"\W+", "_", case), ("pdf", "svg"))
