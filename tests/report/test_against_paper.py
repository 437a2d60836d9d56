"""The paper's recorded runs beside ours: absolute errors, joined on what is the same."""

import pandas as pd
import pytest
from fakes import Fake, request
from paper_runs import MISTAKEN, recorded_runs

from optbench import problems
from optbench.campaign import campaign, expansion
from optbench.problems import networks
from optbench.records.frames import from_records
from optbench.report import against_paper

RESULTS = pd.read_csv(against_paper.RECORDED)
NETWORK = "tanh_64"


def test_the_recorded_results_are_of_the_recorded_hyperparameters():
    runs = set(zip(RESULTS["experiment"], RESULTS["optimizer"], strict=True))
    assert len(runs) == len(RESULTS)
    assert runs == recorded_runs()


def test_networks_norms_and_faults_are_those_of_their_problems():
    for row in RESULTS.itertuples():
        problem = problems.get(row.problem)
        assert (
            networks.parameter_count(row.network, problem.dim, problem.outputs)
            == row.parameters
        )
        assert problem.solution_norm == pytest.approx(
            row.solution_norm, rel=0.02
        )  # theirs are rounded here and there
    faulty = RESULTS[RESULTS["fault"].fillna("").str.startswith("DIFFERENT")]
    assert set(zip(faulty["experiment"], faulty["optimizer"], strict=True)) == MISTAKEN


def frames_of(**fields):
    return from_records(
        Fake().perform(request(network=NETWORK, seed=seed, **fields)) for seed in range(3)
    )


def test_ours_are_joined_on_problem_network_and_optimizer():
    frames = frames_of(steps=20)
    data = against_paper.compare(frames)
    assert set(data["paper_experiment"]) == {"exp09_reproduce_poisson2d"}
    (row,) = data.to_dict("records")
    (theirs,) = RESULTS.query(
        "experiment == 'exp09_reproduce_poisson2d' and optimizer == 'sgd'"
    ).to_dict("records")
    assert row["paper_rms"] == theirs["rms"]
    assert row["rms"] == frames.runs["rms"].median()
    assert row["rms"] != pytest.approx(
        frames.runs["relative_l2"].median()
    )  # absolute errors alone
    assert (row["runs"], row["steps"]) == (3, 20)


def test_a_target_is_an_absolute_error_and_one_that_nobody_reaches_has_no_number():
    frames = frames_of(steps=7)
    history = frames.history[frames.history["identity"] == frames.runs["identity"][0]]
    (row,) = against_paper.compare(frames).to_dict("records")
    reached = history[history["rms"] <= 1e-2]
    assert row["reached_1e-2"] == (3 if len(reached) else 0)
    assert row["reached_1e-4"] == 0
    assert pd.isna(row["seconds_to_1e-4"])
    assert (
        against_paper.shown(against_paper.compare(frames))["s to 1e-04"][0]
        == "206 | – (0/3)"
    )  # theirs was reached


def test_when_a_target_was_reached_is_the_median_over_runs():
    # absolute errors of 0.1, 0.01, 0.001 … at seconds 1, 2, 3 …, later for each seed
    frames = frames_of(steps=7)
    step = frames.history["step"].clip(lower=1)
    seed = frames.history["identity"].map(frames.runs.set_index("identity")["seed"])
    history = frames.history.assign(
        rms=10.0**-step, seconds=1.0 * step + seed, relative_l2=1.0
    )
    (row,) = against_paper.compare(frames._replace(history=history)).to_dict("records")
    assert (row["reached_1e-2"], row["seconds_to_1e-2"]) == (3, 3)
    assert (row["reached_1e-4"], row["seconds_to_1e-4"]) == (3, 5)


def test_another_network_has_no_row_and_no_table():
    frames = from_records([Fake().perform(request())])  # tanh_4
    assert against_paper.compare(frames).empty
    assert len(against_paper.compare(frames)) == 0
    assert len(against_paper.compare(frames_of(steps=3))) > 0


@pytest.mark.parametrize(("name", "seconds"), [("gpu", 20), ("gpu_short", 4), ("cpu", 30)])
def test_a_campaign_on_the_papers_cases_has_the_papers_tables(name, seconds):
    """A shorter budget and the host's cores are all that differs."""
    papers = {run.labels.experiment: {} for run in _requests("paper")}
    for run in _requests("paper"):
        papers[run.labels.experiment][run.optimizer, run.framework] = run
    ours = [run for run in _requests(name) if run.labels.hyperparameters_from == "paper"]
    assert ours
    for run in ours:
        theirs = papers[run.labels.experiment][run.optimizer, run.framework]
        same = {
            "seconds": theirs.seconds,
            "threads": theirs.threads,
            "seed": theirs.seed,
            "labels": theirs.labels,
        }
        assert run.model_copy(update=same) == theirs
        assert run.labels.optimizer == theirs.labels.optimizer
        assert run.seconds == seconds


def _requests(name):
    file = campaign.shipped()[name]
    return expansion.requests(campaign.read(file), name, file.name)


def test_the_table_names_the_fault_of_a_recorded_run():
    frames = frames_of(steps=3)
    same = {"network": "tanh_64_64_48_48", "optimizer": "lbfgs"}
    shown = against_paper.shown(
        against_paper.compare(frames._replace(runs=frames.runs.assign(**same)))
    )
    assert shown["the paper's run"].tolist() == ["history ends before the time budget"]
