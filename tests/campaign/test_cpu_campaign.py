"""`cpu.toml` asks for every optimizer, with the paper's hyperparameters or tuning's."""

import tomllib
from pathlib import Path

import pytest

from optbench import implementations
from optbench.campaign import campaign, expansion
from optbench.campaign.presets import PRESETS

RESULTS = Path(__file__).parents[2] / "results"
# a case without the paper's hyperparameters: the case on which its own were tuned
TUNED_ON = {
    "Poisson 2d, D = 257": "poisson_sine_2d",
    "Poisson 2d, D = 9,873": "poisson_sine_2d",
    "Poisson 5d, D = 449": "poisson_sine_2d",
    "heat 1d, D = 257": "heat_sine_1d",
    "heat 4d, D = 449": "heat_sine_1d",
    "log-Fokker-Planck 9d, D = 769": "heat_sine_1d",
}
# there since the campaign's runs were published: hours of two cores
LATER = {
    *("bfgs", "ssbfgs", "ssbroyden", "levenberg_marquardt", "trust_region"),
    *("soap", "muon", "nystrom_newton"),
    *("adam_ssbroyden", "adam_lbfgs_nystrom", "soap_trust_region"),
}


@pytest.fixture(scope="module")
def plan():
    return campaign.read(campaign.shipped()["cpu"])


@pytest.fixture(scope="module")
def requests(plan):
    return expansion.requests(plan, "cpu", "cpu.toml")


def test_every_optimizer_runs_on_every_tuned_case_in_both_frameworks_from_five_seeds(
    requests,
):
    optimizers = {
        *implementations.load(implementations.installed()[0]).OPTIMIZERS,
        *PRESETS,
    } - LATER
    for case in TUNED_ON:
        asked = {
            (run.optimizer, run.framework, run.seed)
            for run in requests
            if run.labels.case == case
        }
        assert asked == {
            (name, fw, seed)
            for name in optimizers
            for fw in ("torch", "jax")
            for seed in range(5)
        }
    assert all(
        run.seconds == (30 if "D = 257" in run.labels.case else 20) for run in requests
    )
    assert {run.threads for run in requests} == {1}


def test_what_is_not_the_papers_is_what_tuning_chose(plan):
    (file,) = RESULTS.glob("cpu_tuning/tuning/*/tuned.toml")
    chosen = {
        case["problem"]: case["optimizers"]
        for case in tomllib.loads(file.read_text())["case"]
    }
    tables = tomllib.loads(campaign.shipped()["cpu"].read_text())["case"]
    for case in tables:
        if case["name"] in TUNED_ON:
            origin = "tuned" if case["name"].endswith("D = 257") else "tuned elsewhere"
            theirs = chosen[TUNED_ON[case["name"]]]
            assert case["optimizers"] == {
                name: table | {"from": origin} for name, table in theirs.items()
            }


def test_the_papers_cases_have_the_papers_hyperparameters_alone(requests):
    for run in requests:
        assert (run.labels.hyperparameters_from == "paper") == run.labels.case.endswith(
            "the paper's"
        )
