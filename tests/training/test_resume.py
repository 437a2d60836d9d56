"""A run that is stopped anywhere and goes on ends with the same bits."""

from contextlib import suppress

import numpy as np
import pytest
from fakes import Fake, request
from small import OPTIMIZERS
from stopping import StopAfter, bits

from optbench import implementations
from optbench.records import store
from optbench.records.record import Points
from optbench.training import checkpoint
from optbench.training import run as train
from optbench.training.checkpoint import Checkpoint
from optbench.training.limits import Limits
from optbench.training.loop import Stopped


def asked(framework, optimizer):
    mode = {"torch": "eager", "jax": "jit"}[framework]
    points = Points(interior=12, boundary=6)
    return request(
        framework=framework,
        mode=mode,
        optimizer=optimizer,
        hyperparameters={},
        steps=8,
        points=points,
        resample_every=3,
    )


# every state in the framework that compiles nothing, the most intricate ones in the other
STATES = [("torch", optimizer) for optimizer in OPTIMIZERS] + [
    ("jax", name) for name in ("lbfgs", "kfac_star")
]


@pytest.mark.parametrize(("framework", "optimizer"), STATES)
def test_a_stopped_run_ends_with_the_same_bits(framework, optimizer, tmp_path):
    if framework not in implementations.installed():
        pytest.skip(f"{framework} is missing")
    run, limits = asked(framework, optimizer), Limits(checkpoints=tmp_path)
    whole = train.perform(run)
    for steps in (5, 1):  # stopped twice: the second time after one more step
        with pytest.raises(Stopped):
            train.perform(run, limits, stop=StopAfter(steps))
    resumed = train.perform(run, limits)
    assert (whole.resumed, resumed.resumed) == (0, 2)
    assert bits(resumed) == bits(whole)
    assert resumed.counters == whole.counters
    assert (whole.counters.get("iterations", 0) >= whole.steps) == (
        optimizer == "hessian_free"
    )  # of CG
    assert sum(resumed.clock.values()) == pytest.approx(resumed.wall_seconds)


def test_the_points_go_on_where_they_were(tmp_path):
    run, used = request(steps=9, resample_every=2), []
    for steps in (3, 4, 99):  # stopped before a redraw, and after one
        fake = Fake()
        with suppress(Stopped):
            fake.perform(run, checkpoints=tmp_path, stop=StopAfter(steps))
        used += [batch[0][0] for batch in fake.batches[2:]]
    whole = Fake()
    whole.perform(run)
    assert all(
        np.array_equal(one, other[0][0])
        for one, other in zip(used, whole.batches[2:], strict=True)
    )


def test_a_run_saves_itself_at_intervals_and_a_short_one_never(tmp_path):
    file, seen = store.checkpoint(tmp_path, request().identity), []

    def report(share, row):
        found = checkpoint.read(file, request().identity)
        seen.append(found.steps if found else None)

    # an evaluation takes 100 s, a step 1 s
    Fake().perform(request(), checkpoints=tmp_path, interval=205.0, report=report)
    assert seen == [None, None, None, 2, 2, 2, 5, 5, 5, 8]
    file.unlink()
    Fake().perform(request(), checkpoints=tmp_path, interval=1e5)
    assert not file.exists()


def test_seconds_go_on(tmp_path):
    run = request(seconds=6.0)
    with pytest.raises(Stopped):
        Fake().perform(run, checkpoints=tmp_path, stop=StopAfter(4))
    record = Fake().perform(run, checkpoints=tmp_path)
    assert (record.steps, record.clock["train"]) == (6, pytest.approx(6))
    assert sum(record.clock.values()) == pytest.approx(record.wall_seconds)


EDITS = [
    lambda b: b[:100],
    lambda b: b"",
    lambda b: b[:-3],
    lambda b: b.replace(b"told", b"tale"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_torn_checkpoint_is_none(edit, tmp_path):
    file = tmp_path / "run.npz"
    checkpoint.write(
        file, "me", Checkpoint([np.arange(3.0)], 0, 2, {"train": 1.0}, (), 0, {})
    )
    assert checkpoint.read(file, "me").steps == 2
    assert checkpoint.read(file, "another") is None
    file.write_bytes(edit(file.read_bytes()))
    assert checkpoint.read(file, "me") is None


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        checkpoint.write(
            tmp_path / "run.npz",
            "me",
            Checkpoint([np.array([object()])], 0, 0, {}, (), 0, {}),
        )
