"""A run that is stopped anywhere and goes on ends with the same bits."""

from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import pytest
from fakes import Descent, Fake, request
from pydantic import TypeAdapter
from small import OPTIMIZERS
from stopping import StopAfter, bits

from optbench import implementations
from optbench.records import provenance, store
from optbench.records.record import Stage
from optbench.training import checkpoint
from optbench.training import run as train
from optbench.training.checkpoint import Checkpoint, Movement, Unusable
from optbench.training.limits import Limits
from optbench.training.loop import Stopped


def asked(framework, optimizer):
    mode = {"torch": "eager", "jax": "jit"}[framework]
    points = {"interior": 12, "boundary": 6}
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
        optimizer in ("hessian_free", "nystrom_newton")
    )  # of CG
    assert sum(resumed.clock.values()) == pytest.approx(resumed.wall_seconds)


def test_the_points_go_on_where_they_were(tmp_path):
    run, used = request(steps=9, resample_every=2), []
    for steps in (3, 4, 99):  # stopped before a redraw, and after one
        fake = Fake()
        with suppress(Stopped):
            fake.perform(run, checkpoints=tmp_path, stop=StopAfter(steps))
        used += [batch["interior"][0] for batch in fake.batches[2:]]
    whole = Fake()
    whole.perform(run)
    assert all(
        np.array_equal(one, other["interior"][0])
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


SECONDS = {"train": 1.0}
STALLED = {"1": "no parameter has changed since step 1: a test"}
PLACE = [".0 float64 [3]"], 0, 2, SECONDS, (), 0, {}, STALLED, Movement(1, 0.5, 0, 3, 4)
REACHED = Checkpoint([np.arange(3.0)], *PLACE)


@pytest.fixture
def written(tmp_path):
    checkpoint.write(tmp_path / "run.npz", "me", REACHED)
    return tmp_path / "run.npz"


def test_a_checkpoint_comes_back_and_is_no_other_run_s(written):
    found = checkpoint.read(written, "me")
    assert found._replace(leaves=[]) == REACHED._replace(leaves=[])
    assert np.array_equal(found.leaves, REACHED.leaves)
    with pytest.raises(Unusable, match="another run"):
        checkpoint.read(written, "another")
    assert checkpoint.read(written.with_name("none.npz"), "me") is None


EDITS = [
    lambda b: b[:100],
    lambda b: b"",
    lambda b: b[:-3],
    lambda b: b.replace(b"told", b"tale"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_a_torn_checkpoint_is_unusable(edit, written):
    written.write_bytes(edit(written.read_bytes()))
    with pytest.raises(Unusable):
        checkpoint.read(written, "me")


def test_no_flipped_bit_changes_what_is_read(written):
    content = written.read_bytes()
    for place in range(0, len(content), 5):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        written.write_bytes(flipped)
        with suppress(Unusable):
            found = checkpoint.read(written, "me")
            assert found._replace(leaves=[]) == REACHED._replace(leaves=[])
            assert np.array_equal(found.leaves, REACHED.leaves)


def saved_again(file, **changed):
    """Write a checkpoint's parts anew, as somebody would who does not know the checksum."""
    with np.load(file) as parts:
        content = dict(parts) | changed
    np.savez(file, **{name: part for name, part in content.items() if part is not None})


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"leaf0": np.array([0.0, 1.0, 2.5])}, "not what its checksum says"),
        ({"leaf1": np.arange(3.0)}, "not what its checksum says"),
        ({"told": np.frombuffer(b"{}", np.uint8)}, "not what its checksum says"),
        ({"checksum": None}, "has no checksum: an earlier version wrote it"),
    ],
)
def test_what_was_changed_since_is_unusable(changed, why, written):
    saved_again(written, **changed)
    with pytest.raises(Unusable, match=why):
        checkpoint.read(written, "me")


def test_what_other_versions_wrote_is_unusable(written, monkeypatch):
    checkpoint.write(written, "me", REACHED._replace(seconds={"sleep": 1.0}))
    with pytest.raises(Unusable, match="sections of the clock"):
        checkpoint.read(written, "me")
    checkpoint.write(written, "me", REACHED)
    versions = provenance.versions()
    monkeypatch.setattr(provenance, "versions", lambda: versions | {"numpy": "0.1"})
    with pytest.raises(Unusable, match=rf"was written with numpy {np.__version__}"):
        checkpoint.read(written, "me")
    monkeypatch.undo()
    monkeypatch.setattr(checkpoint, "ROWS", TypeAdapter(tuple[int, ...]))
    checkpoint.write(written, "me", REACHED._replace(history=(1,)))
    monkeypatch.undo()
    with pytest.raises(Unusable, match="other fields"):
        checkpoint.read(written, "me")


class Moments(NamedTuple):
    first: Any
    second: Any


class Exchanged(NamedTuple):
    second: Any
    first: Any


class One(NamedTuple):
    first: Any


STRUCTURES = {
    "exchanged": Exchanged(np.full(2, 9.0), np.full(2, 8.0)),
    "a field less": One(np.full(2, 8.0)),
    "another shape": Moments(np.full(3, 8.0), np.full(2, 9.0)),
    "another type": Moments(np.full(2, 8.0, np.float32), np.full(2, 9.0)),
}


class Remembers(Descent):
    """A fake optimizer with a state that a test chooses."""

    start = Moments(np.full(2, 8.0), np.full(2, 9.0))

    def init(self, objective, params):
        return self.start

    def step(self, objective, params, state, batch):
        searched = super().init(objective, params)
        moved, _, losses = super().step(objective, params, searched, batch)
        return moved, state, losses

    def counters(self, state):
        return {}


def remembering(start):
    fake = Fake()
    fake.OPTIMIZERS = {"sgd": type("Optimizer", (Remembers,), {"start": start})}
    return fake


def stopped(tmp_path, start=Remembers.start):
    with pytest.raises(Stopped):
        remembering(start).perform(request(), checkpoints=tmp_path, stop=StopAfter(4))
    return store.checkpoint(tmp_path, request().identity)


@pytest.mark.parametrize("start", STRUCTURES.values(), ids=STRUCTURES)
def test_a_run_with_an_older_state_begins_anew_and_says_so(start, tmp_path, caplog):
    file = stopped(tmp_path)
    content = file.read_bytes()
    record = remembering(start).perform(request(), checkpoints=tmp_path)
    assert (record.status, record.resumed, record.steps) == ("finished", 0, 10)
    assert bits(record) == bits(remembering(start).perform(request()))
    (said,) = caplog.messages
    assert "another structure" in said
    assert "begins anew" in said
    (aside,) = tmp_path.iterdir()
    assert aside.read_bytes() == content


def test_a_run_that_begins_anew_begins_with_its_first_stage(tmp_path, caplog):
    part = {"optimizer": "sgd", "optimizer_version": 1, "hyperparameters": {}}
    stages = Stage(**part, share=0.5), Stage(**part)
    staged = request(optimizer="sgd_sgd", hyperparameters={}, stages=stages)
    with pytest.raises(Stopped):
        Fake().perform(staged, checkpoints=tmp_path, stop=StopAfter(8))
    fake = remembering(Remembers.start)
    record = fake.perform(staged, checkpoints=tmp_path)
    assert (record.status, record.resumed, record.steps) == ("finished", 0, 10)
    assert [row.stage for row in record.history] == [1] * 6 + [2] * 5
    assert len(caplog.messages) == 1


def test_a_run_with_the_same_state_goes_on_and_says_nothing(tmp_path, caplog):
    stopped(tmp_path)
    record = remembering(Remembers.start).perform(request(), checkpoints=tmp_path)
    assert (record.status, record.resumed, record.steps) == ("finished", 1, 10)
    assert not caplog.messages


def test_a_run_with_a_torn_checkpoint_begins_anew_and_says_so(tmp_path, caplog):
    file = stopped(tmp_path)
    file.write_bytes(file.read_bytes()[:99])
    record = remembering(Remembers.start).perform(request(), checkpoints=tmp_path)
    assert (record.status, record.resumed, record.steps) == ("finished", 0, 10)
    (said,) = caplog.messages
    assert "its checkpoint is torn; it is set aside, and the run begins anew" in said


def test_a_checkpoint_that_cannot_be_written_costs_no_run(tmp_path, caplog, monkeypatch):
    def full(file, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.files, "replace", full)
    record = Fake().perform(request(), checkpoints=tmp_path, interval=600.0)
    assert record.status == "finished"
    assert "no checkpoint: [Errno 28] No space left" in caplog.messages[0]


def test_a_state_that_is_no_tree_of_arrays_costs_no_run(tmp_path, caplog):
    fake = remembering(Moments({"a": 1}, None))
    record = fake.perform(request(), checkpoints=tmp_path, interval=600.0)
    assert record.status == "finished"
    assert "no checkpoint: " in caplog.messages[0]


def test_nothing_is_pickled(tmp_path):
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        checkpoint.write(
            tmp_path / "run.npz", "me", REACHED._replace(leaves=[np.array([object()])])
        )
