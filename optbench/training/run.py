"""A run from its request to its record, whatever becomes of it."""

from collections.abc import Callable
from datetime import UTC, datetime

from optbench import implementations, problems
from optbench.implementations.product_rates import product_rates
from optbench.records import provenance
from optbench.records.machine_state import observe
from optbench.records.record import ANSWERS, Record, Request, Status
from optbench.training.clock import Clock
from optbench.training.limits import Limits
from optbench.training.loop import Report, Stopped, Training
from optbench.training.setup import prepare
from optbench.training.status import classify


def perform(
    request: Request,
    limits: Limits | None = None,
    report: Report = lambda share, row: None,
    stop: Callable[[], bool] = lambda: False,
    load: Callable[[str], implementations.Framework] = implementations.load,
    clock: Clock | None = None,
) -> Record:
    """Do a run; a stall, divergence, lack of memory or an error is a status of the record.

    A run that stalled ends with the last step that changed a parameter: its steps, its
    history and the clock's "train" do not go beyond.
    It goes on from its checkpoint where there is one. Before every step `report` is called
    and `stop` is asked; raises Stopped where it says so, with a checkpoint written.
    """
    clock, limits = clock or Clock(), limits or Limits()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    before = observe()
    training: Training | None = None
    status: Status = "finished"
    error: str | None = None
    try:
        run = prepare(request, load(request.framework), clock, limits)
        training = Training(request, run, clock, limits)
        training.train(report, stop)
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
    after = observe()
    backend = training.run.backend if training else None
    surface = training.surface() if training and status in ANSWERS else None
    return Record(
        identity=request.identity,
        request=request,
        status=status,
        error=error,
        started=started,
        steps=training.steps if training else 0,
        parameters=request.parameter_count,
        floor=problems.get(request.problem).floor,
        counters=training.counters() if training else {},
        stalled_stages=training.stalled if training else {},
        clock=clock.seconds,
        wall_seconds=clock.wall,
        peak_memory=backend.peak_memory() if backend else None,
        history=tuple(training.history) if training else (),
        surface=surface,
        resumed=training.resumed if training else 0,
        provenance=provenance.collect(
            backend.device_name() if backend else None,
            limits.machine,
            product_rates(backend) if backend else None,
        ),
        before=before,
        after=after,
    )
