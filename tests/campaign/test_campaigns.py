"""A campaign's file: what it asks for, and one clear line where it is wrong."""

import pytest
from campaign_files import GOOD, read

from optbench.campaign import campaign, expansion, single_run
from optbench.campaign.errors import CampaignError
from optbench.campaign.presets import PRESETS
from optbench.problems.names import UnknownName


def test_every_default_is_spelled_out(tmp_path):
    (run,) = read(GOOD, tmp_path)
    assert (run.points, run.resample_every) == ({"interior": 900, "boundary": 120}, 0)
    assert (run.seconds, run.steps, run.seed, run.dtype, run.mode) == (
        2.0,
        None,
        0,
        "float64",
        "jit",
    )
    assert run.hyperparameters["damping"] == 1e-3
    assert run.hyperparameters["momentum"] == 0.5
    assert run.labels.hyperparameters_from == "ours"
    assert (run.problem_version, run.optimizer_version) == (1, 2)


def test_the_innermost_table_decides(tmp_path):
    text = GOOD.replace("seconds = 2.0", "seconds = 2.0\nseeds = [4, 5]") + (
        '"Adam, slow" = { name = "adam", steps = 7, resample_every = 3, '
        "points = { interior = 10, boundary = 4 } }\n"
        "adam = {}\n"
    )
    runs = read(text, tmp_path)
    assert [(run.seed, run.labels.optimizer) for run in runs] == [
        (seed, label) for seed in (4, 5) for label in ("kfac", "Adam, slow", "adam")
    ]
    slow, plain = runs[1], runs[2]
    assert (slow.optimizer, slow.steps, slow.seconds, slow.resample_every) == (
        "adam",
        7,
        None,
        3,
    )
    assert (slow.points["interior"], plain.points["interior"], plain.seconds) == (
        10,
        900,
        2.0,
    )
    assert (slow.labels.hyperparameters_from, plain.labels.hyperparameters_from) == (
        "default",
        "default",
    )


def test_some_optimizers_have_more_seeds(tmp_path):
    case = "network =", "more_seeds = { adam = [3, 1] }\nnetwork ="
    text = GOOD.replace(*case) + "adam = {}\n"
    assert [(run.seed, run.labels.optimizer) for run in read(text, tmp_path)] == [
        (0, "kfac"),
        (0, "adam"),
        (3, "adam"),
        (1, "adam"),
    ]


def test_what_is_asked_makes_the_identity_and_what_it_is_called_does_not(tmp_path):
    (run,) = read(GOOD, tmp_path)
    (named,) = read(GOOD.replace("network =", 'name = "first"\nnetwork ='), tmp_path)
    assert named.identity == run.identity
    changes = {
        "problem": "heat_sine_1d",
        "problem_version": 2,
        "network": "tanh_8",
        "resample_every": 1,
        "seed": 9,
        "optimizer_version": 99,
        "hyperparameters": {},
        "framework": "torch",
        "threads": 2,
        "mode": "eager",
        "dtype": "float32",
        "tf32": True,
        "seconds": 3.0,
        "points": run.points | {"interior": 8},
        "weights": {"interior": 1.0, "boundary": 2.0},
        "sampling": "sobol",
        "march": 5,
        "optimizer": "adam",
    }
    identities = {
        run.model_copy(update={key: value}).identity for key, value in changes.items()
    }
    assert len(identities | {run.identity}) == len(changes) + 1


MISTAKES = [
    (
        "seconds = 2.0",
        "seconds = 2.0\nsteps = 3",
        "mine.toml: seconds = 2.0: steps = 3 is given too",
    ),
    ('["jax"]', "[]", "mine.toml: frameworks = []: must have at least 1 entry"),
    ('["jax"]', '["jax"]\nseeds = []', "mine.toml: seeds = []: must have at least 1 entry"),
    (
        "seconds = 2.0",
        "",
        "mine.toml: case[0].optimizers.kfac: has no budget: give seconds or steps",
    ),
    ("seconds = 2.0", "seconds = -2.0", "mine.toml: seconds = -2.0: must be > 0"),
    (
        "seconds = 2.0",
        "secnds = 2.0",
        "mine.toml: secnds = 2.0: unknown key: did you mean seconds?",
    ),
    ('version = "1.0"', "", "mine.toml: version: is missing"),
    ("1e-3", "-1e-3", "mine.toml: case[0].optimizers.kfac.damping = -0.001: must be ≥ 0"),
    (
        "damping",
        "dampning",
        "mine.toml: case[0].optimizers.kfac.dampning = 0.001: "
        "unknown key: did you mean damping?",
    ),
    (
        "1e-3",
        '"low"',
        'mine.toml: case[0].optimizers.kfac.damping = "low": must be a valid number',
    ),
    (
        "{ damping = 1e-3 }",
        '{ curvature = "type-3" }',
        "kfac.curvature = \"type-3\": must be 'type-2'",
    ),
    (
        "kfac =",
        "kfca =",
        "mine.toml: case[0].optimizers.kfca: unknown optimizer 'kfca': did you mean kfac",
    ),
    ("tanh_64", "tanh64", 'mine.toml: case[0].network = "tanh64": malformed network name'),
    (
        "tanh_64",
        "tan_64",
        "case[0].network = \"tan_64\": unknown activation 'tan': did you mean tanh",
    ),
    (
        "poisson_sine_2d",
        "poison_sine_2d",
        'case[0].problem = "poison_sine_2d": unknown problem',
    ),
    (
        "poisson_sine_2d",
        "poisson_harmonic_3d",
        "poisson_harmonic: the dimension must be even",
    ),
    (
        '["jax"]',
        '["jaxx"]',
        "mine.toml: frameworks[0]: unknown framework 'jaxx': did you mean jax?",
    ),
    ('["jax"]', '["jax"]\nseeds = [-1]', "mine.toml: seeds[0] = -1: must be ≥ 0"),
    (
        "network =",
        "more_seeds = { kfak = [1] }\nnetwork =",
        "mine.toml: case[0].more_seeds.kfak: unknown optimizer of the case 'kfak': "
        "did you mean kfac?",
    ),
    (
        "network =",
        "more_seeds = { kfac = [1, 0] }\nnetwork =",
        "mine.toml: case[0].more_seeds.kfac[1] = 0: is a seed of all optimizers already",
    ),
    (
        '["jax"]',
        '["jax"]\nseeds = [true]',
        "mine.toml: seeds[0] = true: must be a valid integer",
    ),
    (
        '["jax"]',
        '["jax"]\npoints = { interior = 0, boundary = 1 }',
        "mine.toml: points.interior = 0: must be > 0",
    ),
    (
        "[case.optimizers]\nkfac = { damping = 1e-3 }",
        "",
        "mine.toml: case[0].optimizers: is missing",
    ),
    ("[[case]]", "[[case]", "mine.toml: no TOML file: "),
]


@pytest.mark.parametrize(("right", "wrong", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_it(right, wrong, message, tmp_path):
    assert right in GOOD
    with pytest.raises(CampaignError) as caught:
        read(GOOD.replace(right, wrong), tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_campaign_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match="did you mean quick"):
        campaign.find("quik")


def test_shipped_campaigns_are_read():
    assert {"quick", "paper"} <= set(campaign.shipped())
    for name, file in campaign.shipped().items():
        assert expansion.requests(campaign.read(file), name, file.name)


def test_quick_has_every_optimizer_in_both_frameworks_with_hyperparameters_of_its_own():
    file = campaign.find("quick")
    runs = expansion.requests(campaign.read(file), "quick", file.name)
    asked = {
        problem: {(run.optimizer, run.framework) for run in runs if run.problem == problem}
        for problem in ("poisson_sine_2d", "heat_sine_1d")
    }
    optimizers = expansion.implementations.load(
        expansion.implementations.installed()[0]
    ).OPTIMIZERS
    both = {(name, framework) for name in optimizers for framework in ("torch", "jax")}
    assert both <= asked["poisson_sine_2d"]
    assert {(name, "jax") for name in PRESETS} <= asked["poisson_sine_2d"]
    # on the second problem, what says something more than on the first
    assert {("ssbroyden", "jax"), ("trust_region", "torch")} <= asked["heat_sine_1d"]
    assert asked["heat_sine_1d"] <= asked["poisson_sine_2d"]
    origins = {(run.optimizer in PRESETS, run.labels.hyperparameters_from) for run in runs}
    assert origins <= {(False, "ours"), (True, "ours"), (True, "default")}


def one(*settings, **fields):
    case = {"problem": "heat_sine_1d", "network": "tanh_8", "seconds": None, "steps": 5}
    plan = single_run.campaign(
        optimizer="kfac", framework="jax", seed=3, settings=settings, **case | fields
    )
    return expansion.requests(plan, "single", single_run.SOURCE)[0]


def test_one_run_from_the_command_line():
    run = one("damping=1e-3", "curvature=empirical", "identity_init=false", interior=50)
    assert run.hyperparameters["damping"] == 1e-3
    assert run.hyperparameters["curvature"] == "empirical"
    assert run.hyperparameters["identity_init"] is False
    assert run.points == {"interior": 50, "boundary": 120}
    assert (run.seed, run.steps) == (3, 5)


@pytest.mark.parametrize(
    ("fields", "settings", "message"),
    [
        ({"seconds": 1.0}, (), "seconds = 1.0: steps = 5 is given too"),
        ({"steps": None}, (), "has no budget: give seconds or steps"),
        ({}, ("damping",), '--set = "damping": must be <hyperparameter>=<value>'),
        ({}, ("damping=-1",), "damping = -1: must be ≥ 0"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(fields, settings, message):
    with pytest.raises(CampaignError) as caught:
        one(*settings, **fields)
    assert message in str(caught.value)
    assert str(caught.value).startswith("command line: ")
