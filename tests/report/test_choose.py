"""What the published results say to somebody with a problem, a size and a budget."""

import numpy as np
import pytest
from made_up_results import ran

from optbench.cli import results
from optbench.problems.names import UnknownName
from optbench.records import store
from optbench.records.frames import from_records
from optbench.report import choose

SMALL, LARGE = "tanh_4", "tanh_32_32"  # D = 17 and 1,185
RUNS = [
    *(ran("late", [1, 0.9, 0.8, 1e-4 + seed / 1e6], seed) for seed in range(5)),
    *(ran("early", [1, 0.1, 0.09, 0.08], seed) for seed in range(5)),
    ran("large", [1, 0.5], network=LARGE),
    ran("lost", [1, 1e-9]).model_copy(update={"status": "diverged"}),
]


@pytest.mark.parametrize(
    ("parameters", "network"),
    [(None, SMALL), (10, SMALL), (141, SMALL), (143, LARGE), (10**6, LARGE)],
)
def test_the_case_is_the_one_of_the_nearest_size(parameters, network):
    advice = choose.ask(from_records(RUNS), "poisson_sine_2d", parameters, None)
    assert advice.network == network  # the mean on a logarithmic scale is 141.9
    assert f"D = {advice.parameters:,}" in choose.text(advice, parameters)
    assert ("you asked for" in choose.text(advice, parameters)) is bool(parameters)


def test_errors_are_those_after_the_seconds_that_are_asked():
    frames = from_records(RUNS)
    soon = choose.ask(frames, "poisson_sine_2d", None, 2.0)
    assert soon.table["label"].tolist() == ["early", "late", "lost"]
    assert soon.table["median"].tolist() == [0.09, 0.8, np.inf]
    whole = choose.ask(frames, "poisson_sine_2d", None, 1000.0)
    assert whole.table["label"].tolist() == ["late", "early", "lost"]
    assert (whole.seconds, whole.longest) == (4.0, 4.0)
    assert whole.table["among"].tolist() == [True, False, False]
    assert whole.table["to_target"].iloc[0] == 3.0  # the first whose error is below 1e-3
    assert np.isnan(whole.table["to_target"].iloc[1])
    assert "after 2 of 4 optimizer seconds" in choose.text(soon, None)


def test_results_of_several_campaigns_are_one_case():
    frames = from_records([ran("early", [1, 0.1], seed) for seed in range(4)])
    names = ["one", "one", "other", "other"]
    frames = frames._replace(runs=frames.runs.assign(campaign=names))
    (row,) = choose.ask(frames, "poisson_sine_2d", None, None).table.to_dict("records")
    assert (row["label"], row["runs"]) == ("early", 4)


def test_a_budget_of_steps_has_errors_after_seconds_and_at_the_end():
    frames = from_records(RUNS[:5])
    steps = frames._replace(runs=frames.runs.assign(budget_seconds=np.nan))
    soon = choose.ask(steps, "poisson_sine_2d", None, 2.0)
    assert soon.table["median"].tolist() == [0.8]
    assert "after 2 optimizer seconds" in choose.text(soon, None)
    whole = choose.ask(steps, "poisson_sine_2d", None, None)
    assert "errors at the end" in choose.text(whole, None)


def test_a_problem_without_results_is_refused_in_one_line():
    with pytest.raises(UnknownName, match=r"problem with published results") as caught:
        choose.ask(from_records(RUNS), "kdv_1d", None, None)
    assert "poisson_sine_2d" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_prints_it(tmp_path, capsys):
    for record in RUNS:
        folder = tmp_path / record.request.labels.optimizer
        store.write(store.path(folder, record.request), record)
    results.choose("poisson_sine_2d", 20, 4.0, tmp_path)
    said = capsys.readouterr().out
    assert "you asked for 20" in said
    assert said.index("late") < said.index("early") < said.index("lost")
