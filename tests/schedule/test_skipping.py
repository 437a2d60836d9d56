"""In which order runs are done, and what is foreseen of them.

A run whose seconds have no room for a few steps is foreseen from a warm one, and it is not
repeated over seeds.
"""

from contextlib import nullcontext

import pytest
from fakes import STEP, Fake, request
from published import computed_by_the_fake
from rich.console import Console

from optbench.campaign import results_folder
from optbench.records import store
from optbench.records.cores import Claim
from optbench.schedule import progress, runner
from optbench.schedule.local_workers import Workers
from optbench.training.limits import Limits
from optbench.verify import verify as check

LEAST = 5


@pytest.mark.parametrize(
    ("seconds", "status", "steps"),
    [(LEAST * STEP, "finished", LEAST), (LEAST * STEP - 0.1, "timed-out", 0)],
)
def test_a_budget_without_room_is_foreseen_from_one_warm_step(seconds, status, steps):
    record = Fake().perform(request(seconds=seconds), least_steps=LEAST)
    assert (record.status, record.steps) == (status, steps)
    assert (
        record.error is None
        or record.error == "a step takes 1 s, and 4.9 s have no room for 5 of them"
    )
    assert not record.clock["train"] or steps


def test_a_budget_of_steps_and_a_campaign_without_the_key_foresee_nothing():
    assert Fake().perform(request(steps=2), least_steps=LEAST).status == "finished"
    assert Fake().perform(request(seconds=1.5)).status == "finished"


class Crew(Workers):
    """Does runs with the fake framework and keeps what it was asked."""

    def __init__(self):
        super().__init__(Limits(), lambda: Claim(()))
        self.asked = []

    def run(self, request, progress):
        self.asked.append(request)
        return Fake().perform(request, least_steps=LEAST)


def seeds_of(**fields):
    return [request(seed=seed, **fields) for seed in range(3)]


def run(folder, asked, least_steps=LEAST):
    crew = Crew()
    with open("/dev/null", "w") as nowhere:
        runner.run(
            asked, nullcontext(crew), folder, Console(file=nowhere), least_steps=least_steps
        )
    return crew.asked


def test_what_is_hopeless_is_recorded_for_every_seed_and_done_for_one(tmp_path):
    short, long = seeds_of(seconds=3.0), seeds_of(seconds=20.0)
    asked = [one for pair in zip(short, long, strict=True) for one in pair]
    assert run(tmp_path, asked) == [short[0], *long]
    records = {record.identity: record for _, record in store.records(tmp_path)}
    assert [records[one.identity].status for one in short] == ["timed-out"] * 3
    assert [records[one.identity].status for one in long] == ["finished"] * 3
    assert records[short[2].identity].error.startswith(
        "not done, as seed 0: a step takes 1 s"
    )
    # no lock is held any more
    assert not list(tmp_path.glob(".locks/*.lock")) or run(tmp_path, asked) == []


def test_a_later_seed_knows_what_an_earlier_session_found(tmp_path):
    short = seeds_of(seconds=3.0)
    run(tmp_path, short[:1])
    assert run(tmp_path, short) == []


def test_every_seed_is_done_where_the_campaign_does_not_ask_for_steps(tmp_path):
    assert len(run(tmp_path, seeds_of(seconds=3.0), least_steps=0)) == 3


def test_such_records_are_whole(tmp_path, monkeypatch):
    computed_by_the_fake(monkeypatch)
    folder = tmp_path / "c" / "m"
    run(folder, seeds_of(seconds=3.0))
    (found,) = results_folder.find(tmp_path)
    complaints = {
        finding.rule: finding.issues
        for finding in check.findings([found])
        if finding.issues
    }
    # no campaign file was given, and checksums and tables are the command's
    assert set(complaints) <= {"campaign", "checksums", "tables"}


def test_the_first_seed_of_every_case_comes_first(tmp_path):
    cases = [seeds_of(seconds=20.0), seeds_of(seconds=20.0, network="tanh_5")]
    asked = run(tmp_path, [one for case in cases for one in case])
    assert asked == [case[seed] for seed in range(3) for case in cases]


def test_the_hours_of_steps_are_said_where_budgets_are_in_seconds():
    runs = [request(seconds=1800.0), request(seconds=900.0, threads=4), request(steps=9)]
    assert progress.foreseen(runs) == ", 1.5 core-hours of steps"
    assert progress.foreseen(runs[2:]) == ""
