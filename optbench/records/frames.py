"""Records as pandas frames."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from optbench.records import store
from optbench.records.record import (
    COUNTERS,
    SECTIONS,
    Record,
    Request,
    Row,
    moving_step_seconds,
    stopped,
)

# of a request: what a row tells in columns of other names
ELSEWHERE = {
    *("labels", "points", "hyperparameters", "stages", "steps", "seconds", "files"),
    *("dtype", "tf32", "weights", "sampling", "march"),
}


class Frames(NamedTuple):
    """Results, which are joined on `run`: one number per record.

    An identity is what was asked: two machines' records of it are two runs, and a campaign
    may show one record under two names.
    """

    # one row per run; errors as measured, below a reference's accuracy (`floor`) too
    runs: pd.DataFrame
    # one row per recorded step: run, identity, step, seconds, a loss for every term (NaN
    # where a problem has no such term), their sum `loss`, errors
    history: pd.DataFrame

    def floored(self) -> "Frames":
        """Raise relative errors to the floor, the accuracy of their problem's reference.

        An error that is smaller says nothing: whoever shows or compares errors takes these
        frames.
        """
        runs, history = self.runs, self.history
        floors: Any = runs.set_index("run")["floor"]
        errors = {
            name: runs[name].clip(lower=runs["floor"])
            for name in ("relative_l2", "best_relative_l2")
            if name in runs
        }
        floor = history["run"].map(floors)
        raised = history["relative_l2"].clip(lower=floor)
        return Frames(runs.assign(**errors), history.assign(relative_l2=raised))


def frames(path: Path) -> Frames:
    """Read the records of a file or folder; raises FileNotFoundError and InvalidRecord."""
    return from_records(record for _, record in store.records(path))


def from_records(records: Iterable[Record]) -> Frames:
    """Make the frames of records in hand."""
    records = list(records)
    devices = {record.provenance.device for record in records} - {None}
    rows = [
        {"run": number, "identity": record.identity, **row.model_dump(), "loss": row.loss}
        for number, record in enumerate(records)
        for row in record.history
    ]
    further = {
        name: None
        for record in records
        for name in record.request.points
        if name not in Row.model_fields
    }
    runs = pd.DataFrame(
        _run(number, record, several=len(devices) > 1)
        for number, record in enumerate(records)
    )
    # numbers of points of a term that not all problems have
    some: Any = [name for name in runs if name.endswith("_points") and runs[name].hasnans]
    return Frames(
        runs.astype(dict.fromkeys(some, "Int64")),
        pd.DataFrame(
            rows, columns=["run", "identity", *Row.model_fields, *further, "loss"]
        ),
    )


def _run(number: int, record: Record, several: bool) -> dict[str, object]:
    """Give a run's row; where there are several devices, a case is of one of them."""
    on = f", on {record.provenance.device or 'an unknown device'}" if several else ""
    request, last = record.request, record.history[-1] if record.history else None
    errors = [row.relative_l2 for row in record.history]
    end = stopped(record)
    return {
        "run": number,
        "identity": record.identity,
        "campaign": request.labels.campaign,
        "campaign_version": request.labels.campaign_version,
        "machine": record.provenance.machine,
        "case": request.case + on,
        **request.model_dump(exclude=ELSEWHERE),
        "precision": request.precision,
        "optimizer_version": _version(request),
        "files": ", ".join(
            f"{name} {digest[:16]}" for name, digest in request.files.items()
        ),
        "budget_steps": request.steps,
        "budget_seconds": request.seconds,
        **{f"{name}_points": number for name, number in request.points.items()},
        "weights": ", ".join(
            f"{name}={weight:g}" for name, weight in request.weights.items()
        ),
        "sampling": request.sampling,
        "march": request.march,
        "batches": request.batches,
        "parameters": record.parameters,
        "floor": record.floor,
        "label": request.labels.optimizer,
        "hyperparameters": ", ".join(
            f"{name}={value}" for name, value in request.settings.items()
        ),
        "hyperparameters_from": request.labels.hyperparameters_from,
        "experiment": request.labels.experiment,
        "status": record.status,
        "error": record.error,
        "relative_l2": last.relative_l2 if last else float("nan"),
        "best_relative_l2": pd.Series(errors, dtype=float).min(),
        "rms": last.rms if last else float("nan"),
        "steps": record.steps,
        # NaN: something moved to the end
        "moved_until": float(end.step) if end else float("nan"),
        "step_seconds": moving_step_seconds(record),
        **{
            f"{section}_seconds": record.clock.get(section, float("nan"))
            for section in SECTIONS
        },
        "wall_seconds": record.wall_seconds,
        "peak_memory": record.peak_memory,
        "device": record.provenance.device,
        "commit": record.provenance.commit,
        **{name: record.counters.get(name) for name in COUNTERS},
    }


def _version(request: Request) -> int | str:
    """Give the optimizer's version; where there are stages, all of theirs with it."""
    versions = "+".join(str(stage.optimizer_version) for stage in request.stages)
    return (
        f"{request.optimizer_version}: {versions}"
        if versions
        else request.optimizer_version
    )
