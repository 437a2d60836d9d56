"""A run that has stopped says so: what is counted, when it ends, and with what."""

import numpy as np
import pytest
from fakes import STEP, Descent, Fake, request
from published import on_cpu, put
from small import frameworks
from stopping import StopAfter, bits

from optbench import implementations
from optbench.implementations.failures import Stalled
from optbench.measure.scale import MEASURED
from optbench.records import store
from optbench.records.frames import from_records
from optbench.records.record import Stage
from optbench.report import captions, curves, heatmap, summary, tables
from optbench.schedule.progress import summary as line
from optbench.training import run as train
from optbench.training import setup
from optbench.training.limits import Limits
from optbench.training.loop import IDLE, Stopped
from optbench.tuning.output import final_error
from optbench.verify import record_rules, rerun, speed

KEPT = {"learning_rate": 0.9, "momentum": 0.9}
WORDS = "no parameter has changed since step {}: 20 steps in a row changed none"


class Moody(Descent):
    """Moves in the steps of its state that a test chooses, and may know when it is over.

    Its own count of stalls is wrong: it counts every step.
    """

    def moves(self, step):
        return True

    def knows(self, step):
        return None

    def step(self, objective, params, state, batch):
        moved, searched, losses = super().step(objective, params, state, batch)
        moves = self.moves(int(searched.search.evaluations))
        return moved if moves else [one.copy() for one in params], searched, losses

    def check(self, state):
        if reason := self.knows(int(state.search.evaluations)):
            raise Stalled(reason)


def fake(moves=lambda self, step: True, knows=lambda self, step: None, **more):
    """Give the fake framework with such an optimizer."""
    made = Fake()
    made.OPTIMIZERS = {
        "sgd": type("Made", (Moody,), {"moves": moves, "knows": knows} | more)
    }
    return made


def until(last):
    return lambda self, step: step <= last


def stalls(last, **fields):
    """The record of a run that moves for so many steps."""
    return fake(until(last)).perform(request(**{"hyperparameters": KEPT} | fields))


def two_stages(**fields):
    """A run of two stages, which are told apart by their learning rates."""
    parts = [
        Stage(
            optimizer="sgd",
            optimizer_version=1,
            hyperparameters=KEPT | {"learning_rate": rate},
            share=share,
        )
        for rate, share in ((0.9, 0.5), (0.8, None))
    ]
    asked = {"optimizer": "sgd_sgd", "hyperparameters": {}, "stages": tuple(parts)}
    return request(**asked | fields)


def first(self):
    return self.learning_rate == 0.9


def issues(record):
    """What the rules say that look at one record."""
    rules = (record_rules.clock, record_rules.history, record_rules.budget, speed.of)
    return [issue for rule in rules for issue in rule(record)]


@pytest.mark.parametrize("budget", [{"steps": 2_000}, {"seconds": 2_000.0}])
@pytest.mark.parametrize("last", [0, 7, 40, 50, 54])
def test_a_run_ends_with_the_last_step_that_changed_a_parameter(last, budget):
    made = fake(until(last))
    record = made.perform(request(hyperparameters=KEPT, **budget))
    assert (record.status, record.error) == ("stalled", WORDS.format(last))
    assert made.calls == 2 + last + IDLE
    row = record.history[-1]
    assert record.steps == row.step == last
    assert record.clock["train"] == row.seconds == pytest.approx(last * STEP)
    assert sum(record.clock.values()) == pytest.approx(record.wall_seconds, rel=1e-12)
    assert record.counters["stalls"] == IDLE
    assert record.surface is not None
    assert issues(record) == []
    whole = Fake().perform(request(hyperparameters=KEPT, steps=last or 1))
    assert bits(record)[:-1] == bits(whole)[:last][: len(record.history) - 1]
    numbers = whole.history[-1 if last else 0].numbers
    assert row.numbers == pytest.approx(numbers, rel=1e-14)


def test_nineteen_steps_are_a_pause_and_twenty_the_end():
    for pause, status, steps in ((IDLE - 1, "finished", 60), (IDLE, "stalled", 5)):
        moves = lambda self, step, pause=pause: not 5 < step <= 5 + pause  # noqa: E731
        record = fake(moves).perform(request(hyperparameters=KEPT, steps=60))
        assert (record.status, record.steps) == (status, steps)
        assert record.counters["stalls"] == pause
        assert issues(record) == []
    twice = lambda self, step: step % IDLE == 0  # noqa: E731
    record = fake(twice).perform(request(hyperparameters=KEPT, steps=60))
    assert (record.status, record.counters["stalls"]) == ("finished", 57)


def test_the_budget_may_end_first_and_not_with_the_twentieth():
    assert stalls(7, steps=7 + IDLE - 1).status == "finished"
    assert stalls(7, steps=7 + IDLE).status == "stalled"


@pytest.mark.parametrize(("last", "idle"), [(5, 0), (4, 1)])
def test_an_optimizer_that_knows_is_believed_at_once(last, idle):
    knows = lambda self, step: "the gradient is 0" if step == 5 else None  # noqa: E731
    record = fake(until(last), knows).perform(request())
    words = f"no parameter has changed since step {last}: the gradient is 0"
    assert (record.status, record.error) == ("stalled", words)
    assert (record.steps, record.counters["stalls"]) == (last, idle)
    assert (record.history[-1].step, record.clock["train"]) == (last, last * STEP)
    assert issues(record) == []


def test_points_that_are_drawn_anew_may_move_anything_again():
    knows = lambda self, step: "there is no descent"  # noqa: E731
    made = fake(until(7), knows)
    record = made.perform(request(hyperparameters=KEPT, steps=70, resample_every=30))
    assert (record.status, record.steps, record.error) == ("finished", 70, None)
    assert record.counters["stalls"] == 63
    assert issues(record) == []


def test_a_march_is_waited_for():
    points = {"interior": 9, "initial": 4, "boundary": 6}
    march = {"problem": "burgers_1d", "points": points, "march": 30, "steps": 90}
    made = fake(until(7))
    record = made.perform(request(hyperparameters=KEPT, **march))
    assert (record.status, record.steps) == ("stalled", 7)
    assert made.calls == 2 + 30 + IDLE
    assert record.counters["stalls"] == 30 + IDLE - 7
    assert list(record_rules.history(record)) == []
    made = fake(until(7), lambda self, step: "the gradient is 0" if step > 7 else None)
    made.perform(request(hyperparameters=KEPT, **march))
    assert made.calls == 2 + 30 + 1  # what it knows is of these points alone


@pytest.mark.parametrize("stops", [(3,), (9, 8), (26,), (7, 1, 1)])
@pytest.mark.parametrize("last", [7, 12])
def test_a_resumed_run_stalls_where_it_would_have(last, stops, tmp_path):
    asked = request(hyperparameters=KEPT, steps=99)
    for steps in stops:
        with pytest.raises(Stopped):
            fake(until(last)).perform(asked, stop=StopAfter(steps), checkpoints=tmp_path)
    resumed = fake(until(last)).perform(asked, checkpoints=tmp_path)
    whole = fake(until(last)).perform(asked)
    assert resumed.resumed == len(stops)
    assert bits(resumed) == bits(whole)
    for name in ("status", "error", "steps", "counters"):
        assert getattr(resumed, name) == getattr(whole, name)
    assert resumed.clock["train"] == whole.clock["train"]
    assert sum(resumed.clock.values()) == pytest.approx(resumed.wall_seconds)


@pytest.mark.parametrize("budget", [{"steps": 100}, {"seconds": 100.0}])
def test_the_stage_after_one_that_stalls_takes_over_at_once(budget):
    shares = []

    def progress(self, state, share):
        shares.append((self.learning_rate, share))
        return state

    made = fake(lambda self, step: not first(self) or step <= 7, progress=progress)
    record = made.perform(two_stages(**budget))
    assert (record.status, record.steps, record.error) == ("finished", 100, None)
    assert record.stalled_stages == {"1": WORDS.format(7)}
    stages = {row.step: row.stage for row in record.history}
    assert (stages[7 + IDLE], stages[8 + IDLE]) == (1, 2)
    assert record.counters["stalls"] == IDLE
    second = [share for rate, share in shares if rate == 0.8]
    assert second[0] == 0  # its own time begins where it takes over
    assert np.diff(second) == pytest.approx(1 / (100 - 7 - IDLE))
    assert issues(record) == []
    assert line(record).count(f"; stage 1 stalled: {WORDS.format(7)}") == 1


def test_a_run_stalls_where_its_last_stage_does():
    moves = lambda self, step: step <= (7 if first(self) else 3)  # noqa: E731
    record = fake(moves).perform(two_stages(steps=100))
    last = 7 + IDLE + 3
    assert record.status == "stalled"
    assert record.error == f"stage 2, sgd: {WORDS.format(last)}"
    assert (record.steps, record.history[-1].step) == (last, last)
    assert record.counters["stalls"] == 2 * IDLE
    assert record.stalled_stages == {"1": WORDS.format(7)}
    assert issues(record) == []


def test_a_last_stage_that_never_moves_leaves_the_end_to_the_one_before():
    record = fake(lambda self, step: first(self)).perform(two_stages(steps=100))
    assert (record.status, record.steps) == ("stalled", 50)
    assert (record.history[-1].step, record.history[-1].stage) == (50, 1)
    moves = lambda self, step: first(self) and step <= 50  # noqa: E731
    record = fake(moves).perform(two_stages(steps=400))
    assert (record.status, record.steps) == ("stalled", 50)
    assert (record.history[-1].step, record.history[-1].stage) == (50, 1)
    assert record.stalled_stages == {"1": WORDS.format(50)}
    assert issues(record) == []


def test_idle_steps_of_two_stages_are_not_in_a_row():
    moves = lambda self, step: step <= 40 if first(self) else step > 15  # noqa: E731
    record = fake(moves).perform(two_stages(steps=100))
    assert (record.status, record.counters["stalls"]) == ("finished", 25)


@pytest.mark.parametrize("stop", [5, 20, 27, 40])
def test_a_resumed_run_knows_which_stage_stalled(stop, tmp_path):
    def moves(self, step):
        return step <= 7 if first(self) else step <= 60

    asked = two_stages(steps=100)
    with pytest.raises(Stopped):
        fake(moves).perform(asked, checkpoints=tmp_path, stop=StopAfter(stop))
    resumed = fake(moves).perform(asked, checkpoints=tmp_path)
    whole = fake(moves).perform(asked)
    assert bits(resumed) == bits(whole)
    for name in ("status", "steps", "counters", "stalled_stages"):
        assert getattr(resumed, name) == getattr(whole, name)


@frameworks
def test_steps_that_are_lost_in_rounding_change_nothing(framework):
    """A real optimizer of each framework, whose update is below every number's last bit."""
    mode = {"torch": "eager", "jax": "jit"}[framework]
    tiny = {"learning_rate": 1e-300, "momentum": 0.0}
    asked = {"framework": framework, "mode": mode, "hyperparameters": tiny, "steps": 99}
    record = train.perform(request(**asked), Limits())
    assert (record.status, record.error) == ("stalled", WORDS.format(0))
    assert (record.steps, len(record.history)) == (0, 1)
    assert (record.clock["train"], record.counters) == (0, {"stalls": IDLE})
    redrawn = train.perform(request(**asked | {"steps": 30, "resample_every": 7}))
    assert (redrawn.status, redrawn.counters["stalls"]) == ("finished", 30)


@frameworks
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_bit_is_a_change_and_so_is_what_is_not_a_number(framework, dtype):
    backend = implementations.load(framework).backend
    changed = backend.compile(setup._differ)

    def differ(one, other):
        put = [backend.from_numpy_tree([np.ones((2, 3)), x]) for x in (one, other)]
        return bool(backend.to_numpy(changed(*put)))

    here = np.linspace(1, 2, 4, dtype=dtype)[None]
    assert not differ(here, here.copy())
    there = here.copy()
    there[0, 2] = np.nextafter(there[0, 2], dtype(9))
    assert differ(here, there)
    there[0, 2] = np.nan
    assert differ(there, there.copy())


def test_no_time_is_divided_by_empty_steps():
    runs = from_records([stalls(7, steps=99), stalls(0, steps=99)]).runs
    assert runs["step_seconds"].tolist()[0] == pytest.approx(STEP)
    assert np.isnan(runs["step_seconds"][1])
    assert runs["moved_until"].tolist() == [7, 0]
    assert runs["stalls"].tolist() == [IDLE, IDLE]


def seeds(**fields):
    """Three seeds of one run: one finishes, two stall."""
    return [
        stalls(last, seed=seed, steps=30, **fields) for seed, last in enumerate((99, 7, 9))
    ]


def test_its_error_counts_and_is_marked():
    found = seeds()
    assert [record.status for record in found] == ["finished", "stalled", "stalled"]
    frames = from_records(found)
    row = summary.summarise(frames).iloc[0]
    assert (row["finished"], row["status"]) == (3, "2 stalled, 1 finished")
    errors = [record.relative_l2 for record in found]
    assert row["relative_l2"] == np.median(errors)
    text = summary.render(summary.summarise(frames), "text")
    assert "† sgd, torch: neither loss nor error changed after step 7 to 9 (2/3)" in text
    made = {table.name: table for table in tables.make(frames, found)}
    assert made["errors"].shown["success"].tolist() == ["3/3"]
    assert made["errors"].shown["nothing moved after step"].tolist() == ["7 to 9 (2/3)"]
    assert captions.STOPPED in made["headline"].title
    assert "ended as stalled" in captions.STOPPED
    (cell,) = heatmap.grid(made["headline"]).cells.values()
    assert cell.number.endswith(captions.MARK)
    assert "3 of 3 runs finished, in 2 of them nothing moved after step 7 to 9" in (
        cell.sentence
    )
    assert [final_error(record) for record in found] == errors
    assert "stalled" in MEASURED


def test_its_curve_stays_where_it_is_and_ends_nobody_s():
    frames = from_records(seeds())
    found = curves.bands(frames, "step")
    assert found["step"].iloc[-1] == 30
    last = frames.runs["relative_l2"]
    end = found.iloc[-1][["q25", "relative_l2", "q75"]].tolist()
    assert end == sorted(last)


def test_its_line_says_the_step_and_the_reason_and_it_can_be_done_again():
    record = stalls(7, steps=99)
    assert ": stalled, relative L2 " in line(record)
    assert line(record).endswith(f" after 7 steps in 7 s; {WORDS.format(7)}")
    assert store.AGAIN["stalled"] == ("stalled",)
    assert "stalled" in store.AGAIN["all"]
    assert "stalled" not in store.AGAIN["failed"]


def test_a_record_comes_back_and_one_without_the_field_is_older(tmp_path):
    record = on_cpu(fake(until(7)).perform(two_stages(steps=99)))
    put(tmp_path, record)
    ((file, read),) = store.records(tmp_path)
    assert (read.status, read.stalled_stages) == ("stalled", record.stalled_stages)
    assert "stalled_stages" in read.model_fields_set
    assert '"stalled_stages":{' in store.content(file).decode()


FORGED = {
    "another step": ({"error": WORDS.format(6)}, "stalled after 7 steps, and says"),
    "no error": ({"error": None}, "stalled, with the error None"),
    "nothing counted": ({"counters": {"evaluations": 27}}, "counts 0 steps"),
    "a step more": ({"steps": 8}, "stalled after 8 steps"),
    "called finished": (
        {"status": "finished", "error": None},
        "7 steps on a budget of 99",
    ),
    "a stage made up": ({"stalled_stages": {"1": ""}}, "stage 1 stalled, and none comes"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_stalled_record_that_is_made_up_is_found(name):
    fields, words = FORGED[name]
    record = stalls(7, steps=99)
    assert any(words in issue for issue in issues(record.model_copy(update=fields)))


def test_a_run_whose_points_are_drawn_anew_is_not_stalled():
    record = stalls(7, steps=99)
    for fields, found in (
        ({"resample_every": 5}, 1),
        ({"march": 99}, 1),
        ({"march": 9}, 0),
    ):
        asked = record.request.model_copy(update=fields)
        wrong = record.model_copy(update={"request": asked})
        said = [issue for issue in issues(wrong) if "drawn anew" in issue]
        assert len(said) == found


def frozen(since, steps):
    """The record of a run that finished, with the same numbers from a step on."""
    record = Fake().perform(request(hyperparameters=KEPT, steps=steps))
    last = next(row for row in record.history if row.step == since)
    rows = tuple(
        row.model_copy(update=last.numbers) if row.step > since else row
        for row in record.history
    )
    return record.model_copy(update={"history": rows})


def test_a_finished_run_that_stood_still_is_found():
    words = "finished, but nothing moved after step 40"
    record = frozen(40, 60)
    assert list(record_rules.history(record)) == [words]
    assert list(record_rules.history(frozen(40, 59))) == []  # nineteen steps
    older = record.model_fields_set - {"stalled_stages"}
    before = record.model_construct(
        older, **{name: getattr(record, name) for name in older}
    )
    assert list(record_rules.history(before)) == []
    redrawn = record.request.model_copy(update={"resample_every": 5})
    other = record.model_copy(update={"request": redrawn})
    assert list(record_rules.history(other)) == []


def test_a_cycle_is_no_standstill():
    """Rows 44, 54, 60 and 66 of a run that jumps to and fro have the same numbers."""
    record = Fake().perform(request(hyperparameters=KEPT, steps=66))
    rows = [row for row in record.history if row.step not in (49,)]
    last = rows[-1]
    same = tuple(
        row.model_copy(update=last.numbers) if row.step >= 44 else row for row in rows
    )
    assert record_rules._unmoved_since(record.model_copy(update={"history": same})) is None


def test_a_repetition_stalls_too_unless_its_seconds_are_over():
    ended, one = rerun._ended, stalls(40, seconds=60.0)
    assert one.status == "stalled"
    short = one.model_copy(update={"status": "finished", "steps": 40 + IDLE - 1})
    long = one.model_copy(update={"status": "finished", "steps": 40 + IDLE})
    assert ended(one, short) is None
    assert ended(short, one) is None
    assert "repeated, it is finished" in ended(one, long)
    assert "repeated, it is stalled: no parameter" in ended(long, one)
    by_steps = stalls(40, steps=99)
    moving = by_steps.model_copy(update={"status": "finished", "steps": 50})
    assert "repeated, it is finished" in ended(by_steps, moving)
    later = stalls(44, steps=99)
    assert ended(by_steps, later) == "repeated, its history has other steps"
    assert ended(by_steps, later, same_rows=False) is None


def test_a_run_that_stalled_is_repeated_like_one_that_finished(tmp_path):
    records = {tmp_path / str(n): record for n, record in enumerate(seeds())}
    assert set(rerun.draw(records, 9, 0)) == set(records)
