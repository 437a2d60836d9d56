"""Stages: whose turn it is, what starts anew, what the record says, where a run goes on."""

import pickle
from functools import partial

import numpy as np
import pytest
from campaign_files import GOOD, read
from fakes import COMPILE, EVALUATE, STEP, Fake, request
from own_files import OPTIMIZER
from published import complaints, on_cpu, put, seal
from small import frameworks
from stopping import StopAfter, bits

from optbench import implementations, problems
from optbench.campaign import campaign, expansion, presets, single_run, source_files
from optbench.campaign.campaign import parse
from optbench.campaign.errors import CampaignError
from optbench.records import palette, store
from optbench.records.frames import from_records
from optbench.records.record import Stage
from optbench.report import summary as tables
from optbench.training import checkpoint
from optbench.training import run as train
from optbench.training.limits import Limits
from optbench.training.loop import Stopped
from optbench.verify import record_rules, rerun

LIST = (
    '[{ name = "adam", learning_rate = 1e-2, share = 0.33 }, '
    '{ name = "lbfgs_wolfe", history_size = 50 }]'
)


def stages(*shares, **fields):
    """A run of the fake framework, a stage a share and one for what is left."""
    numbers = {"momentum": 0.9}
    parts = [
        Stage(
            optimizer="sgd",
            optimizer_version=1,
            hyperparameters=numbers | {"learning_rate": rate},
            share=share,
        )
        for share, rate in zip((*shares, None), (0.5, 0.25, 0.125), strict=False)
    ]
    return request(optimizer="sgd+sgd", hyperparameters={}, stages=tuple(parts), **fields)


def asked(text, tmp_path, old="kfac = { damping = 1e-3 }"):
    assert old in GOOD
    return read(GOOD.replace(old, text), tmp_path)


def test_a_list_is_a_run_in_stages(tmp_path):
    (run,) = asked(f"mine = {LIST}", tmp_path)
    assert [(stage.optimizer, stage.share) for stage in run.stages] == [
        ("adam", 0.33),
        ("lbfgs_wolfe", None),
    ]
    assert run.stages[0].hyperparameters["learning_rate"] == 1e-2
    assert run.stages[1].hyperparameters["history_size"] == 50
    # a default is spelled out here too
    assert run.stages[0].hyperparameters["beta1"] == 0.9
    assert (run.optimizer, run.labels.optimizer, run.labels.hyperparameters_from) == (
        "adam_lbfgs",
        "mine",
        "ours",
    )
    assert run.ends == (0.33, 1.0)


@pytest.mark.parametrize(
    ("text", "label", "origin"),
    [
        ("adam_lbfgs = {}", "adam_lbfgs", "default"),
        ('adam_lbfgs = { from = "ours" }', "adam_lbfgs", "ours"),
        ('mine = { name = "adam_lbfgs" }', "mine", "default"),
    ],
)
def test_a_preset_is_asked_for_by_its_name(text, label, origin, tmp_path):
    (run,), (written_out,) = asked(text, tmp_path), asked(f"mine = {LIST}", tmp_path)
    assert run.identity == written_out.identity
    assert (run.labels.optimizer, run.labels.hyperparameters_from) == (label, origin)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_run_of_ours_under_its_name(name, tmp_path):
    (run,) = asked(f"{name} = {{}}", tmp_path)
    assert run.optimizer == run.labels.optimizer == name
    # the optimizer that comes last has most of what there is
    assert run.ends[-2] <= 0.5
    assert name in palette.COLOURS


def test_presets_are_told_apart_by_their_stages():
    stages = [[stage["name"] for stage in stages] for stages in presets.PRESETS.values()]
    assert [presets.named(names) for names in stages] == list(presets.PRESETS)
    assert presets.described(presets.PRESETS["adam_ssbroyden"]) == (
        "adam for 10% of the budget (learning_rate=0.01), then ssbroyden"
    )


def test_a_table_with_stages_has_keys_of_its_own(tmp_path):
    (run,) = asked(f"mine = {{ steps = 7, resample_every = 2, stages = {LIST} }}", tmp_path)
    assert (run.steps, run.seconds, run.resample_every, len(run.stages)) == (7, None, 2, 2)


def test_stages_make_the_identity_and_runs_without_any_keep_theirs(tmp_path):
    runs = [
        asked(f"mine = {text}", tmp_path)[0]
        for text in (LIST, LIST.replace("33", "34"), LIST.replace("50", "51"))
    ]
    newer = runs[0].stages[1].model_copy(update={"optimizer_version": 9})
    runs.append(runs[0].model_copy(update={"stages": (runs[0].stages[0], newer)}))
    assert len({run.identity for run in runs}) == 4
    # computed before there were stages
    assert (
        request().identity
        == "dd280706090dcff1f8222c58aa8a77544bc2d39e48a75f4654201ca331c76226"
    )


MISTAKES = [
    (
        '[{ name = "adam", share = 0.0 }, { name = "lbfgs" }]',
        "mine[0].share = 0.0: must be > 0",
    ),
    (
        '[{ name = "adam", share = 1.5 }, { name = "lbfgs" }]',
        "mine[0].share = 1.5: must be < 1",
    ),
    (
        '[{ name = "adam" }, { name = "lbfgs" }]',
        "mine[0].share: is missing: only the last stage has none",
    ),
    (
        '[{ name = "adam", share = 0.5 }, { name = "lbfgs", share = 0.5 }]',
        "mine[1].share = 0.5: is one too many",
    ),
    (
        '[{ name = "adam", share = 0.7 }, { name = "sgd", share = 0.3 }, '
        '{ name = "lbfgs" }]',
        "mine[1].share = 0.3: the shares add up to 1: must be < 1, "
        "the last stage takes what is left",
    ),
    ('[{ share = 0.5 }, { name = "lbfgs" }]', "mine[0].name: is missing"),
    (
        '[{ name = "adm", share = 0.5 }, { name = "lbfgs" }]',
        "mine[0].name: unknown optimizer 'adm': did you mean adam",
    ),
    (
        '[{ name = "adam", share = 0.5 }, { name = "lbfgs", learning_rate = -1.0 }]',
        "mine[1].learning_rate = -1.0: must",
    ),
    (
        '[{ name = "adam", share = 0.5 }, { name = "lbfgs", steps = 3 }]',
        "mine[1].steps = 3: unknown key: ",
    ),
    ('[{ name = "adam" }]', "mine: has one stage alone"),
    ("[]", "mine.stages = []: must have at least 1 entry"),
    (
        f'{{ name = "adam", stages = {LIST} }}',
        'mine.name = "adam": is not for a table with stages',
    ),
    (
        '{ name = "adam_lbfgs", learning_rate = 1.0 }',
        "mine.learning_rate = 1.0: is not for a table with stages",
    ),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_stage(text, message, tmp_path):
    with pytest.raises(CampaignError) as caught:
        asked(f"mine = {text}", tmp_path)
    assert f"mine.toml: case[0].optimizers.{message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_preset_from_the_command_line():
    plan = single_run.campaign(
        optimizer="adam_lbfgs",
        framework="jax",
        settings=[],
        problem="heat_sine_1d",
        network="tanh_4",
        steps=9,
    )
    (run,) = expansion.requests(plan, "single", single_run.SOURCE)
    assert [stage.optimizer for stage in run.stages] == ["adam", "lbfgs_wolfe"]


def test_what_is_measured_by_the_step_leaves_sequences_out():
    from benchmarks import common
    from optbench.measure import grid, scale

    every = set(implementations.load(implementations.installed()[0]).OPTIMIZERS)
    assert set(common.SETTINGS) == set(grid.shipped().optimizers) == every
    assert (
        set(scale.campaign("poisson_sine_2d", [16], [], ["jax"], steps=3).optimizers)
        == every
    )
    assert not every & set(presets.PRESETS)


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [
        ((0.3,), 10, 3 * [1] + 7 * [2]),
        ((0.33,), 10, 4 * [1] + 6 * [2]),
        ((0.1, 0.2), 10, [1] + 2 * [2] + 7 * [3]),
    ],
)
def test_a_stage_has_its_share_of_the_steps_and_the_last_what_is_left(
    shares, steps, expected
):
    record = Fake().perform(stages(*shares, steps=steps))
    assert [row.stage for row in record.history] == [
        1,
        *expected,
    ]  # the start is the first's
    sizes = np.array([row.interior for row in record.history])
    assert sizes[1:] / sizes[:-1] == pytest.approx(
        [(0.5, 0.25, 0.125)[stage - 1] for stage in expected]
    )


@pytest.mark.parametrize(("seconds", "first"), [(9.0, 3), (10.0, 4)])
def test_a_stage_has_its_share_of_the_seconds(seconds, first):
    record = Fake().perform(stages(1 / 3, seconds=seconds))
    assert [row.stage for row in record.history[1:]] == first * [1] + (
        int(seconds) - first
    ) * [2]
    assert record.clock["train"] == seconds == record.steps


def test_compiling_and_warming_up_later_stages_is_on_the_clocks_own_sections():
    record = Fake().perform(stages(0.2, 0.3))
    assert record.clock["train"] == pytest.approx(10 * STEP)
    assert record.clock["compile"] == pytest.approx(
        (4 + 1 + 1) * COMPILE + 3 * (STEP + EVALUATE)
    )
    assert record.clock["warm_up"] == pytest.approx(3 * (STEP + EVALUATE))
    assert sum(record.clock.values()) == pytest.approx(record.wall_seconds, rel=1e-12)


def test_the_last_state_of_a_stage_is_recorded():
    record = Fake().perform(stages(0.5, steps=94))
    assert {46, 47} - {row.step for row in record.history} == {46}
    assert [row.stage for row in record.history if row.step in (44, 47, 52)] == [1, 1, 2]


def test_counters_go_on():
    record = Fake().perform(stages(0.3))
    assert record.counters == {"stalls": 0, "evaluations": 10}
    assert [row.evaluations for row in record.history] == list(range(11))


def test_the_share_that_is_reported_is_that_of_the_run():
    told = []
    Fake().perform(stages(0.3), report=lambda share, row: told.append((share, row.stage)))
    assert told == [(step / 10, 1 if step <= 3 else 2) for step in range(10)]


def fails(count):
    if count == 7:  # two calls a stage warm it up, the first two are not counted
        raise KeyError("x")


def test_a_failure_names_its_stage():
    record = Fake(fails).perform(stages(0.3))
    assert (record.status, record.steps) == ("failed", 4)
    assert record.error.startswith("stage 2, sgd: KeyError: 'x' (test_stages.py:")
    assert not Fake(fails).perform(request()).error.startswith("stage")


def test_a_failure_while_a_stage_is_prepared_names_it():
    run = stages(0.3)
    wrong = run.stages[1].model_copy(update={"optimizer": "sgdd"})
    record = Fake().perform(run.model_copy(update={"stages": (run.stages[0], wrong)}))
    assert record.status == "failed"
    assert record.error.startswith("stage 2, sgdd: UnknownName: unknown optimizer 'sgdd'")


@pytest.mark.parametrize(
    "steps", [1, 3, 6]
)  # within the first, at the boundary, within the second
def test_a_stopped_run_goes_on_in_its_stage(steps, tmp_path):
    run = stages(0.3)
    file = store.checkpoint(tmp_path, run.identity)
    with pytest.raises(Stopped):
        Fake().perform(run, checkpoints=tmp_path, stop=StopAfter(steps))
    assert checkpoint.read(file, run.identity).stage == (steps >= 3)
    record, whole = Fake().perform(run, checkpoints=tmp_path), Fake().perform(run)
    assert bits(record) == bits(whole)
    assert record.counters == whole.counters
    assert record.clock["train"] == pytest.approx(10)


FRAMEWORK = implementations.installed()[0]


@pytest.fixture(scope="module")
def run():
    """Three stages of our own, in the framework that compiles nothing where it is there."""
    three = [
        {"name": "adam", "share": 0.3},
        {"name": "lbfgs_wolfe", "share": 0.4, "history_size": 5},
        {"name": "engd_woodbury"},
    ]
    points = {"interior": 12, "boundary": 6}
    case = {
        "problem": "poisson_sine_2d",
        "network": "tanh_4",
        "optimizers": {"three": three},
    }
    given = {
        "version": "1.0",
        "steps": 9,
        "frameworks": [FRAMEWORK],
        "points": points,
        "resample_every": 2,
    }
    (asked,) = expansion.requests(
        parse(given | {"case": [case]}, "three"), "three", "three"
    )
    return asked


def test_ours_go_on_with_the_parameters_and_start_with_a_new_state(run):
    """Stage by stage by hand, each optimizer from its own `init`."""
    record = train.perform(run)
    assert (record.status, record.error) == ("finished", None)
    framework, problem = implementations.load(FRAMEWORK), problems.get(run.problem)
    backend, objective = framework.backend, framework.Objective(problem, run.network)
    params = backend.from_numpy_tree(
        problems.networks.initial_parameters(run.network, 2, 1, run.seed)
    )
    losses = []
    for step in range(9):
        index = {0: 0, 3: 1, 7: 2}.get(step)
        if index is not None:
            part = run.stages[index]
            optimizer = framework.OPTIMIZERS[part.optimizer](**part.hyperparameters)
            state = optimizer.init(objective, params)
        batch = backend.from_numpy_tree(
            problems.seeds.batch(problem, run.seed, step // 2, run.points)
        )
        params, state, _ = backend.compile(partial(optimizer.step, objective))(
            params, state, batch
        )
        losses.append(
            float(backend.to_numpy(objective.losses(params, batch).terms["interior"]))
        )
    assert [row.interior for row in record.history[1:]] == pytest.approx(losses, rel=1e-9)
    assert [row.stage for row in record.history] == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("steps", [2, 3, 5, 7, 8])
def test_ours_end_with_the_same_bits_wherever_they_are_stopped(run, steps, tmp_path):
    limits = Limits(checkpoints=tmp_path)
    with pytest.raises(Stopped):
        train.perform(run, limits, stop=StopAfter(steps))
    resumed, whole = train.perform(run, limits), train.perform(run)
    assert resumed.resumed == 1
    assert bits(resumed) == bits(whole)
    assert resumed.counters == whole.counters


@frameworks
def test_a_factorisation_that_fails_keeps_history_and_counters(framework):
    """JAX's step has written over the state before it."""
    singular = {"name": "kfac", "damping": 0.0, "identity_init": False}
    tables = [{"name": "sgd", "share": 0.5}, singular]
    case = {
        "problem": "poisson_sine_2d",
        "network": "tanh_9_9",
        "optimizers": {"mine": tables},
    }
    given = {
        "version": "1.0",
        "steps": 4,
        "frameworks": [framework],
        "points": {"interior": 1, "boundary": 1},
    }
    (run,) = expansion.requests(parse(given | {"case": [case]}, "mine"), "mine", "mine")
    record = train.perform(run)
    assert (record.status, record.steps, record.history[-1].step) == ("failed", 2, 2)
    assert record.error.startswith("stage 2, kfac: no inverse with damping 0: layer 0 ")
    assert set(record.counters) == {"stalls", "evaluations"}


def test_a_table_tells_stages_and_their_versions_apart():
    run = stages(0.3)
    record = Fake().perform(run)
    newer = run.stages[1].model_copy(update={"optimizer_version": 2})
    other = record.model_copy(
        update={"request": run.model_copy(update={"stages": (run.stages[0], newer)})}
    )
    frames = from_records([record, other])
    table = tables.summarise(frames)
    assert list(table["optimizer_version"]) == ["1: 1+1", "1: 1+2"]
    assert (
        "1.share=0.3, 1.momentum=0.9, 1.learning_rate=0.5, 2.momentum=0.9"
        in table["hyperparameters"][0]
    )
    assert list(frames.history["stage"][:5]) == [1, 1, 1, 1, 2]


def test_a_stage_that_overran_its_share_is_found():
    record = Fake().perform(stages(0.3))
    assert [*record_rules.budget(record), *record_rules.history(record)] == []
    rows = [
        row.model_copy(update={"stage": 1}) if row.step == 4 else row
        for row in record.history
    ]
    wrong = record.model_copy(update={"history": tuple(rows)})
    assert list(record_rules.budget(wrong)) == [
        "stage 1 went on after step 3, when its share was spent"
    ]
    rows = [
        row.model_copy(update={"stage": 3}) if row.step == 4 else row
        for row in record.history
    ]
    wrong = record.model_copy(update={"history": tuple(rows)})
    assert "the history goes back to an earlier stage" in list(record_rules.history(wrong))


CAMPAIGN = """
version = "1.0"
frameworks = ["torch"]
points = { interior = 9, boundary = 6 }
steps = 10
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
[case.optimizers]
two = [
    { name = "sgd", learning_rate = 0.5, share = 0.3 },
    { name = "sgd", learning_rate = 0.25 },
]
"""


def test_results_with_stages_are_verified(tmp_path):
    folder = tmp_path / "fake" / "a-machine"
    folder.mkdir(parents=True)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    (run,) = expansion.requests(
        campaign.read(folder / "campaign.toml"), "fake", "campaign.toml"
    )
    records = [on_cpu(Fake().perform(run))]
    put(folder, records[0])
    seal(folder, records)
    # a fake computes no first row
    assert {rule for rule in complaints(folder) if rule != "start"} == set()
    assert pickle.loads(pickle.dumps(run)) == run  # as a cluster sends it

    newer = run.stages[1].model_copy(update={"optimizer_version": 9})
    other = run.model_copy(update={"stages": (run.stages[0], newer)})
    again = records[0].model_copy(update={"request": other, "identity": other.identity})
    store.path(folder, run).unlink()
    put(folder, again)
    seal(folder, [again])
    rules = set(complaints(folder)) - {"start"}
    assert rules == set()  # published results stay good when a version is raised
    (compared,) = rerun.repeat({"file": again}, 1e-6)
    assert "made by version 9 of sgd, this clone has 1" in compared.issue
    put(folder, records[0])
    said = complaints(folder)
    assert any(
        ": sgd is there in 2 versions: version 1" in line for line in said["versions"]
    )
    assert any("one run, 2 records" in line for line in said["repeats"])


def test_a_stage_may_be_an_optimizer_of_the_users_own(tmp_path):
    (tmp_path / "mine.py").write_text(OPTIMIZER.replace("FRAMEWORK", "torch"))
    text = CAMPAIGN.replace(
        '{ name = "sgd", learning_rate = 0.25 }',
        '{ name = "mine.py:mine", learning_rate = 0.25 }',
    )
    (tmp_path / "own.toml").write_text(text)
    (run,) = expansion.requests(campaign.read(tmp_path / "own.toml"), "own", "own.toml")
    assert (run.optimizer, list(run.files)) == ("sgd+mine.py:mine", ["mine.py"])
    assert str(tmp_path) not in run.model_dump_json()
    assert source_files.changed(run) is None
    assert source_files.keep([run], tmp_path / "kept") == [
        tmp_path / "kept" / "sources" / "mine.py"
    ]
    record = source_files.relocated(
        Fake().perform(stages(0.3)).model_copy(update={"request": run}), tmp_path / "kept"
    )
    assert record.request.stages[1].optimizer == str(
        tmp_path / "kept" / "sources" / "mine.py:mine"
    )
    (tmp_path / "mine.py").write_text("")
    assert source_files.changed(record.request) is None
    assert "mine.py has the SHA-256 " in source_files.changed(run)
    (tmp_path / "own.toml").write_text(text.replace('["torch"]', '["jax"]'))
    plan = campaign.read(tmp_path / "own.toml")
    with pytest.raises(
        CampaignError, match=r"two: is written in torch, not in jax: ask for frameworks"
    ):
        expansion.requests(plan, "own", "own.toml")
