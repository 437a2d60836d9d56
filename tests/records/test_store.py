"""Records on disk: whole or not there at all."""

import json
import math
import os
import time

import numpy as np
import pytest
from fakes import Fake, request

import optbench
from optbench.cli import results
from optbench.records import files, provenance, store
from optbench.report import statistics
from optbench.training.loop import next_row
from optbench.training.solution_grid import SIDE


@pytest.fixture
def record():
    """A record as it is read back, with its seal."""
    made = Fake().perform(request())
    content = json.loads(made.model_dump_json())
    return made.model_copy(update={"seal": store.seal(content)})


def test_a_record_comes_back_as_it_was(record, tmp_path):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    assert store.read(file) == record
    assert [(path, found) for path, found in store.records(tmp_path)] == [(file, record)]


def test_numbers_that_json_does_not_have_come_back(tmp_path):
    record = Fake().perform(
        request(hyperparameters={"learning_rate": 1e200, "momentum": 0.9})
    )
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    assert math.isinf(store.read(file).history[-1].rms)
    json.loads(
        store.content(file), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )


def test_nothing_is_left_beside_a_record(record, tmp_path):
    store.write(store.path(tmp_path, record.request), record)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [
        store.path(tmp_path, record.request).name
    ]


def test_a_disk_that_is_full_leaves_the_old_record(record, tmp_path, monkeypatch):
    file = store.path(tmp_path, record.request)
    store.write(file, record)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(file, record.model_copy(update={"steps": 1}))
    assert store.read(file) == record
    assert len(list((tmp_path / "runs").iterdir())) == 1


EDITS = {
    "torn": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "another run": lambda text: text.replace('"seed":3', '"seed":4'),
    "another schema": lambda text: text.replace(
        '"schema_version":1', '"schema_version":99'
    ),
    "another status": lambda text: text.replace('"finished"', '"done"'),
    "a new key": lambda text: text.replace('"status"', '"grade": 1, "status"'),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_record_that_is_not_whole_is_named(edit, record, tmp_path):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    text = store.content(file).decode()
    assert EDITS[edit](text) != text
    file.write_bytes(store.packed(EDITS[edit](text)))
    with pytest.raises(store.InvalidRecord, match=file.name) as caught:
        optbench.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "harm", [lambda file: file[: len(file) // 2], lambda file: b"", lambda file: b"{}"]
)
def test_a_compressed_file_that_is_torn_is_named(harm, record, tmp_path):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    file.write_bytes(harm(file.read_bytes()))
    with pytest.raises(store.InvalidRecord, match=f"{file.name} is not a whole record"):
        store.read(file)


def test_a_record_from_before_they_were_compressed_counts_until_it_is_done_again(
    record, tmp_path
):
    kept = store.Store(tmp_path)
    kept.write(record)
    packed = store.path(tmp_path, record.request)
    plain = packed.with_suffix("")
    plain.write_bytes(store.content(packed))
    packed.unlink()
    assert kept.find(record.request) == record
    assert [file for file, _ in store.records(tmp_path)] == [plain]
    assert store.Store(tmp_path, again=store.AGAIN["all"]).find(record.request) is None
    kept.write(record)
    assert [file for file, _ in store.records(tmp_path)] == [packed]


def test_a_long_record_is_small(record, tmp_path):
    """Ten thousand fit a repository, though random digits can hardly be compressed."""
    generator, row, step, history = np.random.default_rng(0), record.history[-1], 0, []
    losses = ("interior", "initial", "boundary", "slope")
    names = ("seconds", *losses, "relative_l2", "rms")
    while step < 100_000:
        numbers = dict(zip(names, generator.uniform(size=len(names)), strict=True))
        history.append(row.model_copy(update={"step": step, **numbers}))
        step = next_row(step)
    file = store.path(tmp_path, record.request)
    surface = tuple(generator.uniform(size=SIDE**2).round(5))
    store.write(
        file, record.model_copy(update={"history": tuple(history), "surface": surface})
    )
    assert 8_000 < file.stat().st_size <= 15_000


def test_a_left_over_temporary_file_is_no_record(record, tmp_path):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    file.with_name(f".{file.name}.123.partial").write_text("{")
    assert len(list(store.records(tmp_path))) == 1


def test_no_records_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no records in"):
        optbench.load(tmp_path)


def test_frames_have_a_row_a_run_and_a_row_a_recorded_step(record, tmp_path):
    other = Fake().perform(request(seed=4, steps=3))
    for each in (record, other):
        store.write(store.path(tmp_path, each.request), each)
    runs, history = optbench.load(tmp_path)
    assert len(runs) == 2
    assert history.groupby("identity").size().to_dict() == {
        record.identity: 11,
        other.identity: 4,
    }
    row = runs.set_index("identity").loc[record.identity]
    assert (row["problem"], row["seed"], row["steps"], row["status"]) == (
        "poisson_sine_2d",
        3,
        10,
        "finished",
    )
    assert row["relative_l2"] == record.history[-1].relative_l2
    assert row["train_seconds"] == record.clock["train"]
    sections = [
        name
        for name in runs.columns
        if name.endswith("_seconds") and name not in ("wall_seconds", "budget_seconds")
    ]
    assert row[sections].sum() == pytest.approx(row["wall_seconds"])


def test_two_machines_records_of_one_identity_are_two_runs(record, tmp_path):
    """Nothing of one is joined with the other's, nor a name of a run with another."""

    def falling(factor):
        return tuple(
            row.model_copy(update={"relative_l2": factor / (1 + row.step)})
            for row in record.history
        )

    there = record.provenance.model_copy(update={"machine": "there"})
    here = record.provenance.model_copy(update={"machine": "here"})
    made = {
        "here": record.model_copy(update={"provenance": here, "history": falling(1.0)}),
        "there": record.model_copy(
            update={"provenance": there, "history": falling(10.0), "floor": 0.95}
        ),
    }
    for place, each in made.items():
        store.write(store.path(tmp_path / place, each.request), each)
    frames = optbench.load(tmp_path)
    runs, history = frames
    assert runs["identity"].nunique() == 1
    assert runs["run"].is_unique
    joined = history.merge(runs[["run", "machine"]], on="run", validate="many_to_one")
    for machine, rows in joined.groupby("machine"):
        errors = [row.relative_l2 for row in made[machine].history]
        assert rows["relative_l2"].tolist() == errors
    floored = frames.floored().history.groupby("run")["relative_l2"].min()
    assert floored.tolist() == [1 / 11, 0.95]
    reached = statistics.reached(frames, (1.0,)).set_index("machine")["steps"]
    assert reached.to_dict() == {"here": 0, "there": 9}


def test_where_a_run_came_from_is_told_without_a_host_name(record):
    import platform

    told = record.provenance
    assert told.packages["numpy"]
    assert told.cores >= told.threads >= 1
    assert told.cpu
    assert told.python == platform.python_version()
    assert platform.node() not in record.model_dump_json()


def test_a_torn_record_is_set_aside_and_its_run_done_again(record, tmp_path):
    said = []
    kept = store.Store(tmp_path, said.append)
    kept.write(record)
    assert kept.find(record.request) == record
    store.path(tmp_path, record.request).write_text("{")
    assert kept.find(record.request) is None
    assert store.path(tmp_path, record.request).name in said[0]
    assert "set aside" in said[0]
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".aside"]
    kept.write(record)
    assert kept.find(record.request) == record


@pytest.mark.parametrize(
    ("again", "found"), [("failed", True), ("diverged", True), ("all", False)]
)
def test_records_that_are_asked_for_again_do_not_count(again, found, record, tmp_path):
    store.Store(tmp_path).write(record)
    kept = store.Store(tmp_path, again=store.AGAIN[again])
    assert (kept.find(record.request) is not None) == found
    kept.write(record)
    assert kept.find(record.request) == record


def test_what_another_command_wrote_meanwhile_counts_whatever_the_clocks_say(
    record, tmp_path
):
    """Nobody repeats the other's new records, nor any of its own twice."""
    file = store.path(tmp_path, record.request)
    store.Store(tmp_path).write(record)
    day = 24 * 3600
    for hours in (-day, 0, day):  # a server's clock is behind, or was ahead
        os.utime(file, (time.time() + hours,) * 2)
        one, other = (store.Store(tmp_path, again=store.AGAIN["all"]) for _ in range(2))
        assert one.find(record.request) is other.find(record.request) is None
        one.write(record.model_copy(update={"started": f"again {hours}"}))
        os.utime(file, (time.time() - 2 * day,) * 2)
        for each in (one, other):
            assert each.find(record.request).started == f"again {hours}"


def test_a_file_that_is_named_twice_is_one(record, tmp_path, capsys):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    results.table([tmp_path, file, tmp_path / "runs" / ".." / "runs"])
    assert " 1/1 " in capsys.readouterr().out


def test_memory_at_a_border_is_rounded_into_the_folder_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "machine_class", lambda device: "cpu-2-cores-24-gib")
    assert store.folder(tmp_path, "c").name == "cpu-2-cores-24-gib"
    for near, found in (("23", "23"), ("26", "24"), ("240", "24")):
        (tmp_path / near / f"cpu-2-cores-{near}-gib").mkdir(parents=True)
        assert store.folder(tmp_path, near).name == f"cpu-2-cores-{found}-gib"
    for other in ("cpu-4-cores-24-gib", "gpu-2-cores-24-gib", "cpu-2-cores-x-gib"):
        assert not provenance.same_class(other, "cpu-2-cores-24-gib")


def test_an_older_schema_says_who_reads_it(record, tmp_path):
    file = store.path(tmp_path, record.request)
    store.write(file, record)
    text = store.content(file).decode()
    file.write_bytes(store.packed(text.replace('"schema_version":1', '"schema_version":0')))
    with pytest.raises(
        store.InvalidRecord,
        match="schema version 0 is not 1; the commit in its provenance reads it",
    ):
        store.read(file)
