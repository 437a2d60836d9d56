"""A run from its request to its record, whatever becomes of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from optbench import implementations, problems
from optbench.records import provenance
from optbench.records.conditions import observe
from optbench.records.record import Record, Request, Status
from optbench.training.clock import Clock
from optbench.training.loop import Stopped, Terms, Training
from optbench.training.setup import prepare
from optbench.training.status import classify


def perform(
    request: Request,
    terms: Terms | None = None,
    load: Callable[[str], implementations.Framework] = implementations.load,
    clock: Clock | None = None,
) -> Record:
    """Do a run, whatever becomes of it: divergence, a lack of memory or an error is a status of the record.

    It goes on from its checkpoint where there is one. Raises Stopped where it is asked to,
    with a checkpoint written.
    """
    clock, terms = clock or Clock(), terms or Terms()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    before = observe()
    training: Training | None = None
    status: Status = "finished"
    error: str | None = None
    try:
        run = prepare(
            request, load(request.framework), clock, terms.memory, terms.least_steps
        )
        training = Training(request, run, clock, terms)
        training.train()
    except Stopped:
        raise
    except Exception as cause:
        status, error = classify(cause)
        if training:
            training.observe_what_is_left()
    finally:
        if training:
            training.close()
    clock.enter("log")
    outcome = {"status": status, "error": error, "started": started}
    return _record(request, training, clock, before=before, after=observe(), **outcome)


def _record(
    request: Request, training: "Training | None", clock: Clock, **outcome: Any
) -> Record:
    backend = training.run.backend if training else None
    surface = training.surface() if training and outcome["status"] == "finished" else None
    return Record(
        identity=request.identity,
        request=request,
        steps=training.steps if training else 0,
        resumed=training.resumed if training else 0,
        parameters=request.parameter_count,
        floor=problems.get(request.problem).floor,
        counters=training.counters() if training else {},
        clock=clock.seconds,
        wall_seconds=clock.wall,
        peak_memory=backend.peak_memory() if backend else None,
        history=tuple(training.history) if training else (),
        surface=surface,
        provenance=provenance.collect(backend.device_name() if backend else None),
        **outcome,
    )
