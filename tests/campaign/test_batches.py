"""Points, weights, sampling and a march: what a campaign may say of them.

`burgers_1d` has the terms interior, initial and boundary; what is not named is its own.
"""

import pytest
from campaign_files import read

from optbench import problems
from optbench.campaign import expansion, single_run
from optbench.campaign.errors import CampaignError

FILE = """
version = "1.0"
steps = 3
frameworks = ["jax"]
FILE
[[case]]
problem = "PROBLEM"
network = "tanh_5"
CASE
[case.optimizers]
sgd = { TABLE }
"""
DEFAULT = problems.get("burgers_1d")


def runs(tmp_path, problem="burgers_1d", **said):
    text = FILE.replace("PROBLEM", problem)
    for level in ("FILE", "CASE", "TABLE"):
        text = text.replace(level, said.get(level.lower(), ""))
    (run,) = read(text, tmp_path)
    return run


def test_a_problem_s_own_are_spelled_out(tmp_path):
    run = runs(tmp_path)
    assert (
        run.points == DEFAULT.points == {"interior": 5000, "initial": 200, "boundary": 200}
    )
    assert (
        run.weights == DEFAULT.weights == {"interior": 1, "initial": 100, "boundary": 100}
    )
    assert (run.sampling, run.march, run.resample_every) == ("sobol", 0, 0)


@pytest.mark.parametrize("level", ["file", "case", "table"])
def test_every_level_may_say_them(level, tmp_path):
    said = {
        "points": "{ initial = 7 }",
        "weights": "{ boundary = 2.5 }",
        "sampling": '"uniform"',
        "march": "40",
    }
    separator = ", " if level == "table" else "\n"
    text = separator.join(f"{key} = {value}" for key, value in said.items())
    run = runs(tmp_path, **{level: text})
    assert run.points == DEFAULT.points | {"initial": 7}
    assert list(run.points) == list(DEFAULT.terms)
    assert run.weights == DEFAULT.weights | {"boundary": 2.5}
    assert (run.sampling, run.march) == ("uniform", 40)


def test_the_innermost_level_counts_and_all_of_it(tmp_path):
    run = runs(
        tmp_path,
        file="points = { interior = 9, initial = 8 }\nmarch = 10",
        case="points = { interior = 7 }",
        table="march = 0",
    )
    assert run.points == DEFAULT.points | {"interior": 7}
    assert run.march == 0


def test_weights_of_1_are_said_only_where_they_are_not_the_problem_s(tmp_path):
    ones = "weights = { interior = 1.0, initial = 1.0, boundary = 1.0 }"
    said = runs(tmp_path, case=ones)
    assert said.weights == dict.fromkeys(DEFAULT.terms, 1.0)
    assert said.posed.weights == said.weights
    silent = runs(tmp_path, problem="kdv_1d", case="weights = { initial = 1.0 }")
    assert silent.weights == {}
    assert silent.identity == runs(tmp_path, problem="kdv_1d").identity


def test_what_says_nothing_is_in_no_file(tmp_path):
    silent = runs(tmp_path, problem="poisson_sine_2d")
    assert {"weights", "sampling", "march"}.isdisjoint(silent.model_dump(mode="json"))
    said = runs(tmp_path, case="march = 3").model_dump(mode="json")
    assert (said["march"], said["sampling"], said["weights"]["initial"]) == (
        3,
        "sobol",
        100,
    )


def test_each_of_them_makes_another_run(tmp_path):
    cases = [
        "",
        "points = { boundary = 9 }",
        "weights = { boundary = 9 }",
        'sampling = "uniform"',
        "march = 9",
    ]
    assert len({runs(tmp_path, case=case).identity for case in cases}) == len(cases)


MISTAKES = [
    (
        {"file": "points = { initail = 5 }"},
        "mine.toml: points.initail = 5: burgers_1d has no such term: "
        "it has interior, initial, boundary",
    ),
    (
        {"table": "weights = { slope = 2.0 }"},
        "mine.toml: case[0].optimizers.sgd.weights.slope = 2.0: burgers_1d has no such "
        "term: it has interior, initial, boundary",
    ),
    (
        {"case": "weights = { initial = 0.0 }"},
        "mine.toml: case[0].weights.initial = 0.0: must be > 0",
    ),
    (
        {"case": "weights = { initial = inf }"},
        "mine.toml: case[0].weights.initial = Infinity: must be a finite number",
    ),
    (
        {"case": "points = { initial = 0 }"},
        "mine.toml: case[0].points.initial = 0: must be > 0",
    ),
    (
        {"case": 'sampling = "grid"'},
        "mine.toml: case[0].sampling = \"grid\": must be 'uniform' or 'sobol'",
    ),
    ({"case": "march = -1"}, "mine.toml: case[0].march = -1: must be ≥ 0"),
    (
        {"case": "march = 9", "problem": "kovasznay_2d"},
        "mine.toml: case[0].march = 9: must be 0: the first input of kovasznay_2d is not "
        "called 't'",
    ),
    (
        {"file": 'sampling = "sobol"', "problem": "heat_sine_1d"},
        'mine.toml: sampling = "sobol": the term interior of heat_sine_1d has no region: '
        "make it by Term.of(operator, region, target)",
    ),
]


@pytest.mark.parametrize(("said", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_it(said, message, tmp_path):
    with pytest.raises(CampaignError) as caught:
        runs(tmp_path, **said)
    assert str(caught.value) == message


def test_the_command_line_says_them_too():
    (run,) = expansion.requests(
        single_run.campaign(
            problem="burgers_1d",
            network="tanh_5",
            optimizer="sgd",
            framework="jax",
            settings=[],
            interior=9,
            points=["initial=8"],
            weights=["initial=3", "boundary = 2.5"],
            sampling="uniform",
            march=5,
            steps=1,
        ),
        "single",
        single_run.SOURCE,
    )
    assert run.points == {"interior": 9, "initial": 8, "boundary": 200}
    assert run.weights == {"interior": 1, "initial": 3, "boundary": 2.5}
    assert (run.sampling, run.march) == ("uniform", 5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"points": ["initial"]}, '--points = "initial": must be <term>=<value>'),
        ({"weights": ["3"]}, '--weight = "3": must be <term>=<value>'),
        ({"points": ["slope=3"]}, "burgers_1d has no such term"),
        (
            {"points": ["initial=x"]},
            'case[0].points.initial = "x": must be a valid integer',
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(said, message):
    with pytest.raises(CampaignError) as caught:
        expansion.requests(
            single_run.campaign(
                problem="burgers_1d",
                network="tanh_5",
                optimizer="sgd",
                framework="jax",
                settings=[],
                steps=1,
                **said,
            ),
            "single",
            single_run.SOURCE,
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
