"""Tuning: as much for every optimizer, nothing that a report sees, nothing lost."""

import csv
import io
import json
import math
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import fields
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import rankdata
from small import needs_both

from optbench import implementations
from optbench.campaign import campaign, expansion, results_folder
from optbench.campaign.errors import CampaignError
from optbench.cli import app as command_line
from optbench.records import files, provenance, store
from optbench.records.record import Record, Row
from optbench.schedule import locks
from optbench.schedule.place import Place
from optbench.tuning import space as spaces
from optbench.tuning.study import FIRST_SEED, Protocol, studies
from optbench.verify import tuning_rules as trials
from optbench.verify.folder_rules import RULES

tuning = pytest.importorskip("optbench.tuning.search", exc_type=CampaignError)
tomli_w = pytest.importorskip("tomli_w")
optuna = tuning.optuna

FRAMEWORK = implementations.installed()[0]
OPTIMIZERS = implementations.load(FRAMEWORK).OPTIMIZERS
TINY = f"""
version = "1.0"
steps = 3
processes = "per-framework"
frameworks = ["{FRAMEWORK}"]
seeds = [0, 1]
points = {{ interior = 9, boundary = 6 }}
[optimizers]
sgd = {{ from = "ours", learning_rate = 0.5 }}
"L-BFGS" = {{ name = "lbfgs", inner_iterations = 2, steps = 7 }}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
"""


MACHINE = "m"


class Interruption(BaseException):
    pass


class Crew:
    """Makes records up: the error is least at a learning rate of 1e-3.

    It looks best where the run diverges.
    """

    def __init__(self, stop_after=math.inf, stop=Interruption):
        self.requests, self._stop_after, self._stop = [], stop_after, stop

    def run(self, request, progress):
        if len(self.requests) >= self._stop_after:
            raise self._stop()
        self.requests.append(request)
        return made_up(request)


def made_up(request):
    rate = next(
        value for name, value in request.settings.items() if name.endswith("learning_rate")
    )
    distance = abs(math.log10(rate) + 3)
    diverged = distance > 1.5
    row = Row(
        step=3,
        seconds=1.0,
        interior=1.0,
        boundary=1.0,
        relative_l2=0.0 if diverged else distance,
        rms=1.0,
    )
    return Record(
        identity=request.identity,
        request=request,
        status="diverged" if diverged else "finished",
        started="",
        parameters=17,
        clock={},
        wall_seconds=1.0,
        history=(row,),
        provenance=provenance.collect(),
    )


def tune(
    folder,
    crew,
    text=TINY,
    space=spaces.SHIPPED,
    url=None,
    says=None,
    others=None,
    **protocol,
):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.toml").write_text(text)
    plan = campaign.read(folder / "tiny.toml")
    protocol = Protocol(**{"trials": 12} | protocol)
    tuning.run(
        plan,
        file=folder / "tiny.toml",
        spaces=space,
        protocol=protocol,
        url=url,
        place=Place(folder, "cpu"),
        crew=nullcontext(crew),
        console=Console(file=says or io.StringIO()),
        others=others or (lambda folder, own: None),
    )
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def tuned(folder):
    """The runs that the result asks for."""
    return expansion.requests(campaign.read(folder / "tuned.toml"), "tuned", "tuned.toml")


def ended(trials):
    """What a study tried, without the remains of interruptions."""
    kept = [trial for trial in trials if trial["status"] != "interrupted"]
    return [
        (trial["label"], trial["hyperparameters"], trial["relative_l2"]) for trial in kept
    ]


@pytest.fixture
def folder(tmp_path):
    """A folder of a machine's results, as `done` has one of the same machine."""
    return tmp_path / MACHINE


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder, crew = tmp_path_factory.mktemp("done") / MACHINE, Crew()
    return folder, crew, tune(folder, crew, seeds=2)


@pytest.mark.parametrize("framework", implementations.installed())
def test_every_optimizer_has_a_space_of_its_hyperparameters(framework):
    known = implementations.load(framework).OPTIMIZERS
    found = spaces.read(spaces.SHIPPED, known)
    assert set(found) == set(known)
    for name, space in found.items():
        assert space
        assert set(space) <= {field.name for field in fields(known[name])}
        for end in (0, -1):
            known[name](**{key: spaces.ends(entry)[end] for key, entry in space.items()})


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "soap", "muon"])
def test_the_schedule_of_a_learning_rate_is_searched_over_the_whole_run(optimizer):
    """An Adam without one is a weak baseline."""
    known = implementations.load(FRAMEWORK).OPTIMIZERS
    space = spaces.read(spaces.SHIPPED, known)[optimizer]
    assert {"learning_rate", "schedule", "schedule_end", "warm_up"} <= set(space)
    assert set(spaces.ends(space["schedule"])) == {"constant", "cosine", "exponential"}
    assert "schedule_steps" not in space  # the budget


MISTAKES = [
    ("[sgdd]", "spaces.toml: sgdd: unknown optimizer 'sgdd': did you mean sgd"),
    ("sgd = 3", "spaces.toml: sgd = 3: must be a table of hyperparameters"),
    (
        "[sgd]\nmomentun = 1",
        "spaces.toml: sgd.momentun = 1: unknown key: did you mean momentum?",
    ),
    (
        "[sgd]\nmomentum = { low = 0.0 }",
        'spaces.toml: sgd.momentum = {"low": 0.0}: must have a kind: uniform, ',
    ),
    (
        '[sgd]\nmomentum = { kind = "uniform", low = 0.0 }',
        "spaces.toml: sgd.momentum.high: is missing",
    ),
    (
        '[sgd]\nmomentum = { kind = "uniform", low = 0.0, high = 0.9, lwo = 1 }',
        "sgd.momentum.lwo = 1: unknown key: did you mean low?",
    ),
    (
        '[sgd]\nmomentum = { kind = "log-uniform", low = 0.0, high = 0.9 }',
        "spaces.toml: sgd.momentum.low = 0.0: must be > 0",
    ),
    (
        '[sgd]\nmomentum = { kind = "uniform", low = 0.0, high = 1.5 }',
        "spaces.toml: sgd.momentum = 1.5: must be < 1",
    ),
    (
        '[sgd]\nmomentum = { kind = "uniform", low = 0.95, high = 0.9 }',
        "sgd.momentum.high = 0.9: must be > low = 0.95",
    ),
    (
        '[sgd]\nmomentum = { kind = "categorical", values = [0.5] }',
        "momentum = [0.5]: must hold the default, 0.9",
    ),
    (
        '[sgd]\nmomentum = { kind = "categorical", values = [] }',
        "momentum.values = []: must have at least 1 entry",
    ),
    (
        '[kfac]\ncurvature = { kind = "categorical", values = ["type-3"] }',
        'kfac.curvature = "type-3": must be',
    ),
    ("[sgd", "spaces.toml: no TOML file: "),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_bad_space_is_one_line_that_names_it(text, message, tmp_path):
    (tmp_path / "spaces.toml").write_text(text)
    with pytest.raises(CampaignError) as caught:
        spaces.read(tmp_path / "spaces.toml", OPTIMIZERS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_optimizer_without_a_space_is_named(folder, tmp_path):
    (tmp_path / "mine.toml").write_text("[sgd]\n")
    with pytest.raises(CampaignError, match=r"mine\.toml: lbfgs: is missing"):
        tune(folder, Crew(), space=tmp_path / "mine.toml")


def test_every_optimizer_has_as_many_trials_and_the_same_budget(done):
    _, crew, trials = done
    assert [trial["label"] for trial in trials] == ["sgd"] * 12 + ["L-BFGS"] * 12
    assert {(run.steps, run.seconds) for run in crew.requests} == {(3, None)}


def test_every_trial_is_kept_with_its_records(done):
    folder, crew, trials = done
    kept = {file.name: record for file, record in store.records(folder / "runs")}
    named = [name for trial in trials for name in trial["records"].split()]
    assert (
        len(named) == len(set(named)) == len(kept) == len(crew.requests) == 2 * len(trials)
    )
    assert {trial["status"] for trial in trials} == {
        "finished finished",
        "diverged diverged",
    }
    assert all(
        (trial["relative_l2"] == "inf") == ("diverged" in trial["status"])
        for trial in trials
    )


def test_neither_points_nor_seeds_are_those_of_the_report(done):
    folder, crew, _ = done
    assert {run.evaluation for run in crew.requests} == {"selection"}
    assert {run.seed for run in crew.requests} == {FIRST_SEED, FIRST_SEED + 1}
    assert {(run.evaluation, run.seed) for run in tuned(folder)} == {
        ("report", 0),
        ("report", 1),
    }


def test_a_campaign_that_reports_on_seeds_of_tuning_is_refused(folder):
    with pytest.raises(CampaignError, match=r"tiny\.toml: seeds: must not hold 1000001"):
        tune(folder, Crew(), text=TINY.replace("[0, 1]", "[1000001]"), seeds=2)


def test_the_first_trial_is_the_defaults_and_what_no_space_has_stays(done):
    _, crew, _ = done
    sgd, lbfgs = (
        next(run for run in crew.requests if run.optimizer == name)
        for name in ("sgd", "lbfgs")
    )
    assert OPTIMIZERS["sgd"](**sgd.hyperparameters) == OPTIMIZERS["sgd"]()
    assert OPTIMIZERS["lbfgs"](**lbfgs.hyperparameters) == OPTIMIZERS["lbfgs"](
        inner_iterations=2
    )


def test_every_optimizer_of_the_shipped_campaign_has_its_defaults(tmp_path):
    """Those too that a request is silent on, and those of stages."""
    file = campaign.shipped()["standard_tuning"]
    plan = campaign.read(file)
    protocol = Protocol(trials=8, together=True, frameworks=(FRAMEWORK,))
    wanted = studies(
        plan,
        name=file.stem,
        source=file.name,
        file=spaces.SHIPPED,
        protocol=protocol,
        place=Place(tmp_path, "cpu"),
    )
    assert {study.label for study in wanted} == set(plan.optimizers)
    for study in wanted:
        assert list(study.defaults) == list(study.space)
        # nothing else is run than without them
        again = study.requests(study.defaults)
        assert [run.identity for run in again] == [run.identity for run in study.firsts]


def test_the_best_trial_that_ended_well_wins(done):
    folder, _, trials = done
    for run in tuned(folder):
        label = run.labels.optimizer
        best = min(
            float(trial["relative_l2"]) for trial in trials if trial["label"] == label
        )
        assert (
            made_up(run).history[-1].relative_l2 == best > 0
        )  # that of a diverged run is 0
        assert run.labels.hyperparameters_from == "tuned"
    assert {(run.optimizer, run.steps) for run in tuned(folder)} == {
        ("sgd", 3),
        ("lbfgs", 7),
    }


def test_stages_are_tuned_together_and_keep_their_shares(folder):
    table = (
        'two = [{ name = "sgd", learning_rate = 0.5, share = 0.5 }, '
        '{ name = "lbfgs", inner_iterations = 2 }]\n[[case]]'
    )
    crew = Crew()
    trials = tune(folder, crew, text=TINY.replace("[[case]]", table, 1), trials=6)
    found = [
        json.loads(trial["hyperparameters"]) for trial in trials if trial["label"] == "two"
    ]
    shipped = spaces.read(spaces.SHIPPED, OPTIMIZERS)
    keys = {f"1.{key}" for key in shipped["sgd"]} | {f"2.{key}" for key in shipped["lbfgs"]}
    assert [set(one) for one in found] == 6 * [keys]
    first = next(run for run in crew.requests if run.labels.optimizer == "two")
    assert OPTIMIZERS["sgd"](**first.stages[0].hyperparameters) == OPTIMIZERS["sgd"]()
    assert OPTIMIZERS["lbfgs"](**first.stages[1].hyperparameters) == OPTIMIZERS["lbfgs"](
        inner_iterations=2
    )
    best = min(found, key=lambda one: abs(math.log10(one["1.learning_rate"]) + 3))
    run = next(run for run in tuned(folder) if run.labels.optimizer == "two")
    assert best.items() <= run.settings.items()
    assert (run.stages[0].share, run.labels.hyperparameters_from) == (0.5, "tuned")


def test_the_result_says_how_it_came_about(done):
    text = (done[0] / "tuned.toml").read_text()
    assert "# Written by `optbench tune tiny.toml --trials 12 --seeds 2 --seed 0`" in text
    assert f"# poisson_sine_2d, tanh_4, sgd, {FRAMEWORK}, 3 steps a run: " in text


def test_an_optimizer_that_always_diverges_is_left_out(folder):
    tune(folder, Crew(), trials=1)  # the default learning rate of L-BFGS is made to diverge
    assert {run.optimizer for run in tuned(folder)} == {"sgd"}
    assert "no trial ended well of 1" in (folder / "tuned.toml").read_text()


def test_the_same_command_adds_nothing_and_more_trials_are_added(folder, tmp_path):
    few = tune(folder, Crew(), trials=2)
    assert tune(folder, (again := Crew()), trials=2) == few
    assert again.requests == []
    assert ended(tune(folder, Crew(), trials=3)) == ended(
        tune(tmp_path / "at once" / MACHINE, Crew(), trials=3)
    )


@pytest.mark.parametrize("after", [0, 5, 33])
def test_an_interrupted_study_ends_like_an_uninterrupted_one(after, done, folder):
    with pytest.raises(Interruption):
        tune(folder, Crew(stop_after=after), seeds=2)
    assert ended(tune(folder, Crew(), seeds=2)) == ended(done[2])


def die(folder):
    """Called in a process of its own."""
    tune(Path(folder), Crew(stop_after=5, stop=lambda: os._exit(9)), seeds=2)


@pytest.mark.medium
def test_a_killed_study_ends_like_an_uninterrupted_one(done, folder):
    script = f"import test_tuning; test_tuning.die({str(folder)!r})"
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | path, timeout=120
    )
    assert killed.returncode == 9
    trials = tune(folder, Crew(), seeds=2)
    assert len(trials) == len(done[2]) + 1  # the one in hand is kept too
    assert ended(trials) == ended(done[2])


def test_nobody_waits_for_a_worker_that_is_gone_and_the_first_trials_count(
    folder, tmp_path
):
    (tmp_path / "tiny.toml").write_text(TINY)
    url = f"sqlite:///{tmp_path}/shared.sqlite3"
    plan = campaign.read(tmp_path / "tiny.toml")
    study = studies(
        plan,
        name="tiny",
        source="tiny.toml",
        file=spaces.SHIPPED,
        protocol=Protocol(trials=3),
        place=Place(folder, "cpu"),
    )[0]
    with tuning._storage(url, tmp_path) as storage:
        optuna.create_study(
            storage=storage, study_name=study.name
        ).ask()  # in hand somewhere else
    trials = tune(folder, Crew(), url=url, trials=3)
    counted = [trial["label"] for trial in trials if trial["counted"] == "True"]
    assert counted == ["sgd"] * 3 + ["L-BFGS"] * 3


@needs_both
def test_with_several_frameworks_the_best_of_both_wins(folder):
    trials = tune(folder, Crew(), trials=4, frameworks=("torch", "jax"))
    studied = Counter((trial["framework"], trial["label"]) for trial in trials)
    assert studied == {
        (framework, label): 4
        for framework in ("torch", "jax")
        for label in ("sgd", "L-BFGS")
    }
    assert "the best over torch and jax" in (folder / "tuned.toml").read_text()
    for label, run in {run.labels.optimizer: run for run in tuned(folder)}.items():
        best = min(
            float(trial["relative_l2"]) for trial in trials if trial["label"] == label
        )
        assert made_up(run).history[-1].relative_l2 == best


def test_a_database_that_cannot_be_opened_is_one_line_without_its_password(folder):
    with pytest.raises(CampaignError) as caught:
        tune(folder, Crew(), url="nonsense://me:secret@nowhere/x")
    assert str(caught.value).startswith("--storage: cannot be opened: ")
    assert "secret" not in str(caught.value)


def test_a_database_that_fills_the_disk_is_one_line(folder, monkeypatch):
    def refuse(*_, **__):
        raise tuning.optuna.exceptions.StorageInternalError("long") from OSError("full")

    storage = tuning.optuna.storages.RDBStorage
    monkeypatch.setattr(storage, "set_trial_user_attr", refuse)
    with pytest.raises(CampaignError, match=r"sqlite3: does not keep a trial: full$"):
        tune(folder, Crew())


@pytest.mark.medium
def test_the_command_tunes_in_child_processes_and_run_takes_what_it_wrote(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY.replace("[0, 1]", "[0]").replace('"L-BFGS"', "# "))
    command_line.app(["tune", "tiny.toml", "--trials", "3"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "tiny-tuning: 3 trials, 3 per study, 0 done, 3 left" in said
    written = {
        path.name: path
        for path in (
            Path(x) for x in said.split() if x.startswith("results/local/tiny/tuning")
        )
    }
    assert {"SHA256SUMS", "runs", "studies.sqlite3", "tuned.toml", "trials.csv"} == set(
        written
    )
    command_line.app(["run", str(written["tuned.toml"])], standalone_mode=False)
    (record,) = (record for _, record in store.records(Path("results/local/tuned")))
    assert (record.status, record.request.evaluation) == ("finished", "report")
    assert record.request.labels.hyperparameters_from == "tuned"


@pytest.mark.medium
def test_many_open_a_new_database_at_once(tmp_path):
    start = threading.Barrier(6)

    def opens(_):
        start.wait()
        with tuning._storage(
            f"sqlite:///{tmp_path / 'studies.sqlite3'}", tmp_path
        ) as storage:
            return storage.get_all_studies()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opens, range(6))) == [[]] * 6


def found_in(folder):
    """What `optbench verify` has to say of a tuning folder in particular."""
    results = results_folder.load(folder)
    return [*trials.check_trials(results), *trials.check_values(results)]


@pytest.fixture
def copy(done, tmp_path):
    return Path(shutil.copytree(done[0], tmp_path / "tuning" / "m"))


def test_nothing_is_wrong_with_what_tuning_left(copy):
    assert found_in(copy) == []
    for rule in ("checksums", "campaign", "tables"):
        assert list(RULES[rule].issues(results_folder.load(copy))) == []


def test_a_run_that_another_process_has_in_hand_is_waited_for(done, folder, monkeypatch):
    """It is not done twice: a trial of the other process says what is in its record."""
    request = done[1].requests[-1]
    kept = store.Store(folder)
    others = locks.RunLocks(kept, [request])
    folder.mkdir()
    assert others.take() == request

    def end(seconds):
        record = made_up(request)
        kept.write(record)
        others.release(record)

    monkeypatch.setattr(tuning.time, "sleep", end)
    crew = Crew()
    tune(folder, crew, seeds=2)
    assert crew.requests == done[1].requests[:-1]
    assert found_in(folder) == []


def test_a_trial_that_was_taken_out_is_found(copy):
    lines = (copy / "trials.csv").read_text().splitlines(keepends=True)
    (copy / "trials.csv").write_text(
        "".join(lines[:3] + lines[4:])
    )  # trial 2 of the first study
    assert any("trials 2 are missing" in problem for problem in found_in(copy))


def test_a_run_that_was_taken_out_is_found(copy):
    run = next((copy / "runs").iterdir())
    run.unlink()
    assert any(f"{run.name} of trial" in problem for problem in found_in(copy))


def test_a_value_that_was_edited_is_found(copy, done):
    best = min(
        (trial for trial in done[2] if trial["label"] == "sgd"),
        key=lambda trial: float(trial["relative_l2"]),
    )
    text = (copy / "trials.csv").read_text()
    (copy / "trials.csv").write_text(text.replace(f",{best['relative_l2']},", ",0.5,"))
    assert any(
        f"trial {best['trial']} of" in problem and "0.5 is not what" in problem
        for problem in found_in(copy)
    )


def test_a_choice_that_is_not_the_best_is_found(copy):
    plan = tomllib.loads((copy / "tuned.toml").read_text())
    plan["case"][0]["optimizers"]["sgd"]["learning_rate"] *= 2
    (copy / "tuned.toml").write_text(tomli_w.dumps(plan))
    assert any(
        "tuned.toml: sgd on poisson_sine_2d, tanh_4 is not trial" in problem
        for problem in found_in(copy)
    )


@pytest.mark.parametrize("study", ["sgd", "lbfgs"])
def test_the_last_trials_and_a_study_cannot_be_taken_out(copy, study):
    lines = (copy / "trials.csv").read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if f",{study}," in line)
    (copy / "trials.csv").write_text("".join(lines[:last] + lines[last + 1 :]))
    problems = found_in(copy)
    assert any("11 trials count, and 12 of others" in problem for problem in problems)
    assert any("is no trial's" in problem for problem in problems)
    (copy / "trials.csv").write_text(
        "".join(line for line in lines if f",{study}," not in line)
    )
    assert any("is no trial's" in problem for problem in found_in(copy))


def test_the_best_trial_cannot_be_left_uncounted(copy, done):
    best = min(
        (trial for trial in done[2] if trial["label"] == "sgd"),
        key=lambda trial: float(trial["relative_l2"]),
    )
    text = (copy / "trials.csv").read_text()
    row = f",{best['trial']},True,{best['relative_l2']},"
    assert row in text
    (copy / "trials.csv").write_text(text.replace(row, row.replace("True", "False")))
    assert any("11 trials count, and 12 of others" in problem for problem in found_in(copy))


SIZES = (
    TINY.replace("points =", "# points =")
    + """
points = { interior = 9, boundary = 6 }
[[case]]
name = "larger"
problem = "poisson_sine_2d"
network = "tanh_4"
points = { interior = 18, boundary = 12 }
"""
)


def other_best(request):
    """As `made_up`, but the larger case has its best at another learning rate."""
    record = made_up(request)
    if request.points["interior"] == 9:
        return record
    (row,) = record.history
    error = {"relative_l2": abs(row.relative_l2 - 0.7) + 0.1}
    return record.model_copy(update={"history": (row.model_copy(update=error),)})


def test_cases_of_one_problem_and_network_are_told_apart(folder):
    crew = Crew()
    crew.run = lambda request, progress: other_best(request)
    rows = tune(folder, crew, text=SIZES, trials=8)
    assert found_in(folder) == []
    rates = {
        (run.labels.case, run.labels.optimizer): run.hyperparameters
        for run in tuned(folder)
    }
    assert rates["", "sgd"] != rates["larger", "sgd"]
    for number, case in (("0", ""), ("1", "larger")):
        mine = [row for row in rows if (row["case"], row["label"]) == (number, "sgd")]
        best = min(mine, key=lambda row: float(row["relative_l2"]))
        assert json.loads(best["hyperparameters"]).items() <= rates[case, "sgd"].items()
    # each case's choice in the other's place
    plan = tomllib.loads((folder / "tuned.toml").read_text())
    one, other = (case["optimizers"] for case in plan["case"])
    one["sgd"], other["sgd"] = other["sgd"], one["sgd"]
    (folder / "tuned.toml").write_text(tomli_w.dumps(plan))
    assert sum("sgd on poisson_sine_2d" in issue for issue in found_in(folder)) == 2


def test_one_choice_for_all_cases_has_the_smallest_mean_rank(folder):
    crew = Crew()
    crew.run = lambda request, progress: other_best(request)
    rows = tune(folder, crew, text=SIZES, trials=8, seeds=2, together=True)
    assert found_in(folder) == []
    names = {(run.labels.optimizer, run.labels.case) for run in tuned(folder)}
    assert names == set(product(("sgd", "L-BFGS"), ("", "larger")))
    for label in ("sgd", "L-BFGS"):
        mine = [row for row in rows if row["label"] == label]
        assert len({row["study"] for row in mine}) == 1
        errors, tried = (
            [[row[name] for row in mine if row["case"] == case] for case in "01"]
            for name in ("relative_l2", "hyperparameters")
        )
        assert tried[0] == tried[1]
        assert errors[0] != errors[1]
        ranks = rankdata([list(map(float, each)) for each in errors], axis=1).sum(axis=0)
        bests = [
            json.loads(tried[0][place]) for place in np.flatnonzero(ranks == min(ranks))
        ]
        runs = [run for run in tuned(folder) if run.labels.optimizer == label]
        assert any(
            all(best.items() <= run.hyperparameters.items() for run in runs)
            for best in bests
        )
    assert "--together" in (folder / "tuned.toml").read_text()
    assert "the mean rank over the cases" in (folder / "tuned.toml").read_text()
    # another trial's, in both cases
    plan = tomllib.loads((folder / "tuned.toml").read_text())
    trials = [json.loads(row["hyperparameters"]) for row in rows if row["label"] == "sgd"]
    chosen = plan["case"][0]["optimizers"]["sgd"]
    other = next(trial for trial in trials if not trial.items() <= chosen.items())
    for case in plan["case"]:
        case["optimizers"]["sgd"] |= other
    (folder / "tuned.toml").write_text(tomli_w.dumps(plan))
    assert sum("sgd on poisson_sine_2d" in issue for issue in found_in(folder)) == 2


def test_a_joint_study_that_was_interrupted_goes_on(folder, tmp_path):
    asked = {"text": SIZES, "trials": 5, "together": True}
    crew = Crew(stop_after=7)
    with pytest.raises(Interruption):
        tune(folder, crew, **asked)
    rows = tune(folder, Crew(), **asked)
    whole = tune(tmp_path / "whole" / MACHINE, Crew(), **asked)
    assert ended(rows) == ended(whole)
    assert found_in(folder) == []


def test_a_case_or_a_label_that_nobody_tuned_is_found(copy):
    plan = tomllib.loads((copy / "tuned.toml").read_text())
    optimizers = plan["case"][0]["optimizers"]
    optimizers["mine"] = optimizers["sgd"] | {"name": "sgd"}
    (copy / "tuned.toml").write_text(tomli_w.dumps(plan))
    assert any("no trial of mine on case 0" in issue for issue in found_in(copy))
    plan["case"] *= 2
    (copy / "tuned.toml").write_text(tomli_w.dumps(plan))
    assert any("2 cases, but trials of 1" in issue for issue in found_in(copy))


def test_labels_of_one_study_share_its_trials_and_it_is_said(folder):
    fast = 'fast = { name = "sgd", learning_rate = 0.1 }\n[[case]]'
    crew, says = Crew(), io.StringIO()
    rows = tune(folder, crew, text=TINY.replace("[[case]]", fast), says=says, trials=6)
    assert (
        f"poisson_sine_2d, tanh_4, fast, {FRAMEWORK} is the same study as "
        f"poisson_sine_2d, tanh_4, sgd, {FRAMEWORK}: done once" in says.getvalue()
    )
    assert "tiny-tuning: 12 trials, 6 per study" in says.getvalue()
    assert len(crew.requests) == 12
    assert Counter(row["label"] for row in rows) == {"sgd": 6, "L-BFGS": 6, "fast": 6}
    chosen = {run.labels.optimizer: run.hyperparameters for run in tuned(folder)}
    assert chosen["fast"] == chosen["sgd"]
    assert found_in(folder) == []


def test_what_an_earlier_campaign_left_is_named(folder):
    told = []
    tune(folder, Crew(), trials=2)
    tune(
        folder,
        Crew(),
        text=TINY.replace('"L-BFGS"', "# "),
        trials=2,
        others=lambda folder, own: told.extend(results_folder.others(folder, own)),
    )
    assert len(told) == 2
    assert all("-lbfgs-" in file.name for file in told)
    for file in told:
        files.set_aside(file)
    assert found_in(folder) == []
    assert list(RULES["schema"].issues(results_folder.load(folder))) == []


@pytest.mark.parametrize("name", ["why?", "a#b%20c", "x&mode=ro", "per cent %", "ü Δ"])
def test_the_database_lies_in_the_folder_whatever_its_name(name, tmp_path):
    folder = tmp_path / name / MACHINE
    tune(folder, Crew(), trials=1)
    assert (folder / "studies.sqlite3").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {name}
    tune(folder, (again := Crew()), trials=1)
    assert again.requests == []


ROT = {
    "a page": lambda content: content[:8192] + bytes(range(256)) * 16 + content[12288:],
    "a head": lambda content: b"not a database, " + content[16:],
    "a half": lambda content: content[: len(content) // 2],
    "a value": lambda content: content.replace(b"FloatDistribution", b"FloatDiZtribution"),
    "a text": lambda content: content.replace(b"COMPLETE", b"COMPLE\x81E"),
}


@pytest.mark.parametrize("rot", ROT)
def test_a_database_that_rotted_is_one_line(rot, done, tmp_path):
    folder = Path(shutil.copytree(done[0], tmp_path / MACHINE))
    database = folder / "studies.sqlite3"
    database.write_bytes(ROT[rot](database.read_bytes()))
    with pytest.raises(CampaignError) as caught:
        tune(folder, Crew(), seeds=2)
    assert str(caught.value).startswith(f"{database}: ")
    assert "\n" not in str(caught.value)


def test_a_study_is_its_machines_and_memory_at_a_border_makes_no_other(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(provenance, "machine_class", lambda device: "cpu-2-cores-24-gib")
    named = {}
    for there in ("cpu-2-cores-24-gib", "cpu-2-cores-25-gib", "cpu-2-cores-48-gib"):
        (tmp_path / there / "c" / there).mkdir(parents=True)
        (place,) = {Place(store.folder(tmp_path / there, "c"), "cpu")}
        (tmp_path / "tiny.toml").write_text(TINY)
        named[there] = (
            place.machine,
            [
                study.name
                for study in studies(
                    campaign.read(tmp_path / "tiny.toml"),
                    name="tiny",
                    source="tiny.toml",
                    file=spaces.SHIPPED,
                    protocol=Protocol(),
                    place=place,
                )
            ],
        )
    machines = [machine for machine, _ in named.values()]
    assert machines == ["cpu-2-cores-24-gib", "cpu-2-cores-25-gib", "cpu-2-cores-24-gib"]
    # a folder that another rounding named keeps its studies: they go on
    assert named["cpu-2-cores-24-gib"][1] == named["cpu-2-cores-48-gib"][1]
    assert not set(named["cpu-2-cores-24-gib"][1]) & set(named["cpu-2-cores-25-gib"][1])
