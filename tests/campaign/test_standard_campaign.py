"""`standard.toml` has every optimizer with tuning's hyperparameters, or the paper's."""

import math
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from optbench import implementations
from optbench.campaign import campaign, expansion, results_folder
from optbench.campaign.presets import PRESETS
from optbench.records.record import ANSWERS

RESULTS = Path(__file__).parents[2] / "results"
FOLDER = RESULTS / "standard" / "2-cores-24-gib"
PAPERS = ", the paper's"
NEAR = 100  # times the smallest error of a case, within which further seeds are run…
USEFUL = 0.1  # …if the error is at most this
IN_BOTH = {"Poisson 2d", "Burgers 1d", "heat 4d", "Poisson 2d, D = 9,873"}


def tables(name):
    return tomllib.loads(campaign.shipped()[name].read_text())


@pytest.fixture(scope="module")
def requests():
    plan = campaign.read(campaign.shipped()["standard"])
    return expansion.requests(plan, "standard", "standard.toml")


def test_every_optimizer_runs_on_every_case_from_the_first_seed(requests):
    names = {*implementations.load("jax").OPTIMIZERS, *PRESETS}
    cases = {run.labels.case for run in requests}
    for case in cases:
        runs = [run for run in requests if run.labels.case == case and run.seed == 0]
        asked = {(run.labels.optimizer, run.framework) for run in runs}
        if case.endswith(PAPERS):
            assert {run.labels.hyperparameters_from for run in runs} == {"paper"}
        else:
            frameworks = ("torch", "jax") if case in IN_BOTH else ("jax",)
            assert asked == {(name, each) for name in names for each in frameworks}
    assert len(cases) == 27 + 6
    assert len({run.problem for run in requests}) == 23


def test_the_one_setting_is_what_tuning_chose():
    (file,) = RESULTS.glob("standard_tuning/tuning/*/tuned.toml")
    tuned, *others = (
        {
            label: {key: value for key, value in table.items() if key != "from"}
            for label, table in case["optimizers"].items()
        }
        for case in tomllib.loads(file.read_text())["case"]
    )
    assert others == [tuned, tuned]
    assert tables("standard")["optimizers"] == tuned
    assert tables("standard_steps")["optimizers"] == tuned


def test_the_cases_that_were_tuned_on_are_marked(requests):
    on = {(case["problem"], case["network"]) for case in tables("standard_tuning")["case"]}
    for run in requests:
        origin = run.labels.hyperparameters_from
        if origin != "paper":
            assert (origin == "tuned") == ((run.problem, run.network) in on)


def test_further_seeds_are_of_what_is_near_the_best(requests):
    """By the errors of seed 0, in whichever framework, once a case has them all."""
    asked, errors = (defaultdict(set), defaultdict(dict))
    for run in requests:
        if run.seed == 0:
            asked[run.case].add((run.labels.optimizer, run.framework))
    for record in results_folder.in_order(results_folder.load(FOLDER)):
        run = record.request
        if run.seed == 0:
            error = record.history[-1].relative_l2 if record.status in ANSWERS else math.inf
            key = run.labels.optimizer, run.framework
            errors[run.case][key] = max(error, record.floor)
    whole = [case for case in asked if asked[case] == set(errors[case])]
    assert whole
    for case in tables("standard")["case"]:
        name = case["name"]
        least: dict[str, float] = defaultdict(lambda: math.inf)
        for (label, _), error in errors[name].items():
            least[label] = min(least[label], error)
        bound = min(NEAR * min(least.values(), default=0), USEFUL)
        near = [label for label, error in least.items() if error <= bound]
        expected = {label: [1, 2, 3, 4] for label in near if name in whole}
        assert case.get("more_seeds", {}) == expected, f"more_seeds of {name}"


def test_steps_are_timed_on_the_same_cases():
    keys = ("name", "problem", "network")
    standard, steps = (
        [[case[key] for key in keys] for case in tables(name)["case"]]
        for name in ("standard", "standard_steps")
    )
    assert steps == [case for case in standard if not case[0].endswith(PAPERS)]


def test_the_papers_hyperparameters_are_those_of_its_campaign():
    recorded = {
        (case["problem"], case["network"]): case for case in tables("paper")["case"]
    }
    ours = [case for case in tables("standard")["case"] if case["name"].endswith(PAPERS)]
    for case in ours:
        theirs = recorded[case["problem"], case["network"]]
        for key in ("points", "resample_every", "optimizers"):
            assert case[key] == theirs[key]
