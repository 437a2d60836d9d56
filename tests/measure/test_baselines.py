"""Baselines beside others' implementations: counts, ratios, verdicts, a planted fault."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_up_baselines import certified, compared
from small import needs
from typer.testing import CliRunner

from optbench import implementations, problems
from optbench.cli import app as command
from optbench.measure import baselines, certificate, rivals
from optbench.measure.baselines import BASELINES, LEVEL, Posed
from optbench.measure.rivals import Ground

FEW = {"interior": 20, "boundary": 12}
SMALL = Posed("poisson_sine_2d", "tanh_5_5_4", FEW)
needs_torch, needs_jax = needs["torch"], needs["jax"]


def test_a_loss_is_reached_with_the_first_gradient_where_it_is_no_larger():
    losses = [3.0, np.nan, 1e-2, 5.0, 1e-3]
    assert [baselines.until(losses, at) for at in (4, 1e-2, 9e-3, 1e-4)] == [1, 3, 5, None]
    assert baselines.lowest(losses) == 1e-3
    assert baselines.lowest([np.nan]) == np.inf


def test_the_level_of_an_end_is_the_median_of_the_last_tenth():
    noisy = [*np.linspace(9, 1, 27), 0.5, 0.01, 0.7]
    assert baselines.level(noisy) == 0.5
    assert baselines.level([3.0, 2.0]) == 2
    assert baselines.level([1.0, np.nan]) == np.inf


def test_thresholds_are_decades_and_the_level_of_the_rival_s_end():
    counts = baselines.reached([([1.0, 9e-3, 4e-3], [1.0, 5e-3]), ([1.0], [0.5, 0.01])])
    assert counts["1e-02"] == [(2, 2), (None, 2)]
    assert counts["1e-03"] == [(None, None)] * 2
    assert counts[LEVEL] == [(3, 2), (None, 2)]


def test_the_ratio_is_the_geometric_mean_over_seeds_where_the_rival_arrives():
    each = compared({"1e-02": [(50, 40), (40, 50), (9, None)], "1e-03": [(None, None)]})
    assert each.ratios("1e-02") == [1.25, 0.8]
    assert each.gradient_ratio("1e-02") == pytest.approx(1.0)
    assert np.isnan(each.gradient_ratio("1e-03"))
    assert each.worst == "1e-02"
    low, high = each.gradient_interval
    assert low == pytest.approx(0.8)
    assert high == pytest.approx(1.25)


def test_the_level_counts_only_where_no_decade_is_reached():
    assert compared().worst == "1e-02"
    assert compared({"1e-02": [(None, None)]}).worst == LEVEL


@pytest.mark.parametrize(
    ("reached", "holds"),
    [
        ([(50, 40)], True),
        ([(51, 40)], False),
        ([(None, 40)], False),  # ours never arrives
        ([(50, None)], True),
        ([(60, 40), (40, 40)], True),  # 1.22 over both seeds
    ],
)
def test_more_gradients_than_allowed_do_not_hold(reached, holds):
    each = compared({"1e-02": reached, LEVEL: [(10, 10)]})
    assert each.holds is holds


@pytest.mark.parametrize(
    ("ratios", "holds"),
    [
        ([1.0] * 6, True),
        ([1.2] * 6, False),
        ([1.05, 1.2, 1.3] * 3, True),  # noise that reaches 1.1
        ([1.15, 1.2, 1.3] * 3, False),
    ],
)
def test_times_hold_where_the_interval_reaches_what_is_allowed(ratios, holds):
    each = compared(seconds=[(ratio, 1.0) for ratio in ratios])
    low, high = each.time_interval
    assert low <= each.time_ratio <= high
    assert each.holds is holds


@pytest.mark.parametrize("baseline", BASELINES, ids=lambda each: each.optimizer)
def test_every_baseline_is_an_optimizer_here(baseline):
    if baseline.framework not in implementations.installed():
        pytest.skip(f"{baseline.framework} is missing")
    known = implementations.load(baseline.framework).OPTIMIZERS
    known[baseline.optimizer](**baseline.hyperparameters)


def recorded(walk, ground, gradients):
    ground.told.clear()
    walk(lambda: len(ground.told) >= gradients)
    return np.array(ground.told)


TORCH = [
    ("sgd", rivals.torch_sgd, baselines.SGD),
    ("adam", rivals.torch_adam, baselines.ADAM),
    ("lbfgs_wolfe", rivals.torch_lbfgs, baselines.PAIRS),
    ("muon", rivals.torch_muon, baselines.MUON),
]
JAX = [
    ("adam", rivals.optax_adam, baselines.ADAM),
    ("sgd", rivals.optax_sgd, baselines.SGD),
    ("muon", rivals.optax_muon, baselines.MUON),
]


@pytest.mark.parametrize(
    ("framework", "name", "walker", "fields"),
    [
        *(pytest.param("torch", *each, marks=needs_torch) for each in TORCH),
        *(
            pytest.param("jax", *each, marks=[needs_jax, pytest.mark.medium])
            for each in JAX
        ),
    ],
)
def test_equal_methods_tell_equal_losses(framework, name, walker, fields):
    """Ours and theirs, from the same start: the count is of both alike."""
    if framework == "jax":
        pytest.importorskip("optax")
    ground = Ground(framework, SMALL.problem, SMALL.network, FEW, counted=True)
    one = recorded(rivals.ours(ground, name, fields), ground, 12)[:12]
    other = recorded(walker(ground, **fields), ground, 12)[:12]
    # torch.optim.Muon rounds to bfloat16; optax's has Nesterov's momentum otherwise
    tolerance = {"muon": 0.2}.get(name, 1e-9)
    np.testing.assert_allclose(one, other, rtol=tolerance)
    assert one[-1] < one[0]


@needs_torch
def test_what_the_objective_counts_is_what_torch_counts(monkeypatch):
    import torch

    made = []

    class Kept(torch.optim.LBFGS):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(torch.optim, "LBFGS", Kept)
    ground = Ground("torch", SMALL.problem, SMALL.network, FEW, counted=True)
    told = recorded(rivals.torch_lbfgs_by_default(ground, 5), ground, 60)
    (state,) = made[0].state.values()
    assert len(told) == state["func_evals"] >= 60


@needs_torch
@pytest.mark.parametrize(
    "walker", [rivals.scipy_lbfgsb, rivals.scipy_bfgs, rivals.scipy_lm]
)
def test_what_the_objective_counts_is_what_scipy_counts(walker, monkeypatch):
    from scipy import optimize

    results = []
    for name in ("minimize", "least_squares"):
        kept = getattr(optimize, name)
        monkeypatch.setattr(
            optimize, name, lambda *a, kept=kept, **k: results.append(kept(*a, **k))
        )
    fields = baselines.PAIRS if walker is rivals.scipy_lbfgsb else {}
    ground = Ground("torch", SMALL.problem, "tanh_3", FEW, counted=True)
    asked = iter(range(10))
    ground.told.clear()
    walker(ground, **fields)(lambda: next(asked) == 9)
    if results:
        assert len(ground.told) == results[0].njev >= 10
    else:  # least_squares was ended within
        assert len(ground.told) == 9
    assert min(ground.told) < ground.told[0]


@needs_torch
def test_soap_walks_beside_another():
    pytest.importorskip("pytorch_optimizer")
    ground = Ground("torch", SMALL.problem, SMALL.network, FEW, counted=True)
    told = recorded(rivals.pytorch_optimizer_soap(ground, 1e-2), ground, 12)
    assert told[0] == told[1]  # the first call does not move
    assert told[-1] < told[0]


@needs_jax
@needs_torch
@pytest.mark.medium
def test_a_compiled_step_tells_every_gradient_in_order():
    pytest.importorskip("optax")
    told = {}
    for framework in ("torch", "jax"):
        ground = Ground(framework, SMALL.problem, "tanh_4", FEW, counted=True)
        walk = rivals.ours(ground, "lbfgs_wolfe", baselines.PAIRS)
        told[framework] = recorded(walk, ground, 25)[:25]
    np.testing.assert_allclose(told["jax"], told["torch"], rtol=1e-6)
    theirs = recorded(rivals.optax_lbfgs(ground, 50), ground, 25)
    assert len(theirs) >= 25
    assert theirs.min() < theirs[0]


@needs_torch
def test_a_measurement_has_every_seed_and_round():
    (baseline,) = (
        each for each in BASELINES if (each.optimizer, each.framework) == ("adam", "torch")
    )
    (each,) = baselines.measure(replace(baseline, share=1.0, timed=3), SMALL, 8, 2, 3)
    assert each.gradients == 8
    assert len(each.losses) == len(each.reached[LEVEL]) == 2
    for ours, theirs in each.losses:
        assert ours == pytest.approx(theirs, rel=1e-12)
    assert each.gradient_ratio(LEVEL) == 1
    assert len(each.seconds) == 3
    assert all(second > 0 for pair in each.seconds for second in pair)


# the planted fault

HEAT = Posed("heat_sine_1d", "tanh_8", {"interior": 40, "boundary": 30})
SCALE = 1e-5  # of the loss, so that absolute constants bite early
BESIDE_SCIPY = baselines.Baseline(
    "lbfgs_wolfe", "torch", (baselines.SCIPY_LBFGSB,), baselines.PAIRS
)


@pytest.fixture
def light(monkeypatch):
    """The heat equation with a loss that is small from the start."""
    problem = problems.get(HEAT.problem)
    scaled = problem.with_weights(dict.fromkeys(problem.terms, SCALE))
    monkeypatch.setattr(problems, "get", lambda name: scaled)
    monkeypatch.setattr(baselines, "THRESHOLDS", (SCALE * 1e-1, SCALE * 1e-2, SCALE * 1e-3))


@pytest.fixture
def constants(monkeypatch):
    """lbfgs_wolfe with torch.optim's absolute constants, in PyTorch."""
    import torch

    from optbench.implementations.hyperparameters import optimizer
    from optbench.implementations.torch.optimizers import lbfgs_wolfe

    @optimizer
    class Absolute(lbfgs_wolfe.LBFGSWolfe):
        name = "lbfgs_wolfe"

        def direction(self, memory, gradient):
            """Nowhere, where gᵀd > −1e-9."""
            direction = super().direction(memory, gradient)
            descends = gradient.dot(direction) <= -1e-9
            return torch.where(descends, direction, 0.0)

        def update(self, memory, pair):
            """Keep the pair where yᵀs > 1e-10."""
            return super().update(memory, pair) if pair.curvature > 1e-10 else memory

    known = implementations.load("torch").OPTIMIZERS
    monkeypatch.setitem(known, "lbfgs_wolfe", Absolute)


def beside_scipy():
    (each,) = baselines.measure(BESIDE_SCIPY, HEAT, 200)
    return each


@needs_torch
def test_absolute_constants_do_not_hold(light, constants):
    assert not beside_scipy().few_gradients


@needs_torch
def test_without_them_it_holds(light):
    each = beside_scipy()
    assert all(each.ratios(name) for name in each.reached)
    assert each.few_gradients


# the command


@pytest.fixture
def said(monkeypatch, tmp_path):
    """Run the command with made-up measurements, in this process."""

    def run(*comparisons, options=()):
        monkeypatch.setattr(certificate, "run", lambda *_: iter(comparisons))
        words = ["baselines", "--out", str(tmp_path), *options]
        return CliRunner().invoke(command.app, words)

    return run


def test_the_command_prints_and_keeps_the_certificate(said, tmp_path):
    done = said(compared(), options=["--optimizer", "adam"])
    assert done.exit_code == 0, done.output
    assert "lbfgs_wolfe (torch)" in done.output
    assert "50 / 40" in done.output
    kept = certificate.read(tmp_path / certificate.NAME)
    assert kept.holds
    assert kept.comparisons[0].gradient_ratio("1e-02") == 1.25
    assert certificate.read(certificate.write(kept, tmp_path / "again")) == kept
    assert json.loads((tmp_path / certificate.NAME).read_text())["versions"]["scipy"]


def test_what_does_not_hold_is_named_with_exit_code_1(said):
    done = said(
        compared({"1e-02": [(80, 40)]}),
        compared({"1e-02": [(None, 40)]}, rival="another"),
        compared(seconds=[(1.5, 1.0)] * 5, rival="a third"),
        options=["--optimizer", "adam"],
    )
    assert done.exit_code == 1
    *lines, last = done.output.splitlines()[-4:]
    assert lines == [
        "poisson_sine_2d: lbfgs_wolfe in torch needs 2.00 times the gradients of some to "
        "a loss of 1e-02",
        "poisson_sine_2d: lbfgs_wolfe in torch needs more than the allowed times the "
        "gradients of another to a loss of 1e-02",
        "poisson_sine_2d: lbfgs_wolfe in torch needs 1.50 times the time of a third, "
        "[1.50, 1.50]",
    ]
    assert last == "optbench: 3 of the claims on baselines do not hold"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--problem", "kdv_1d"], "unknown problem with baselines 'kdv_1d'"),
        (["--optimizer", "kfac"], "unknown baseline 'kfac'"),
        (["--framework", "mxnet"], "unknown framework 'mxnet'"),
    ],
)
def test_what_is_unknown_is_a_line(said, options, line, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["baselines", *options])
    assert ended.value.code == 2
    assert line in capsys.readouterr().err


def test_a_missing_extra_is_a_line_before_anything_is_measured(monkeypatch, capsys):
    from optbench import extras

    found = extras.find_spec
    monkeypatch.setattr(
        extras, "find_spec", lambda name: None if name == "optax" else found(name)
    )
    monkeypatch.setattr(certificate, "run", lambda *_: pytest.fail("it began"))
    with pytest.raises(SystemExit) as ended:
        command.main(["baselines", "--optimizer", "adam", "--framework", "jax"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "optbench: optax is not installed: "
        "pip install 'pinn-optbench[baselines]' brings it\n"
    )


def test_jobs_are_all_or_those_that_are_named():
    jobs = certificate.chosen([], [], ["torch", "jax"])
    assert len(jobs) == len(BASELINES) * len(baselines.PROBLEMS)
    jobs = certificate.chosen(["burgers_1d"], ["adam"], ["jax"])
    assert [(each.optimizer, posed.problem) for each, posed in jobs] == [
        ("adam", "burgers_1d")
    ]


@needs_torch
@pytest.mark.medium
def test_it_is_measured_in_a_process_of_its_own():
    (baseline,) = (
        each for each in BASELINES if (each.optimizer, each.framework) == ("adam", "torch")
    )
    words = []
    (each,) = certificate.run([(baseline, SMALL)], 8, 1, 2, words.append)
    assert each.rival == "torch.optim.Adam"
    assert words[-1] == "[1/1] poisson_sine_2d: adam in torch beside torch.optim.Adam"


def test_a_loss_that_few_starts_of_the_rival_reach_does_not_count():
    lucky = {"1e-03": [(None, 90), (95, None), (None, 80), (90, None), (None, None)]}
    often = {"1e-02": [(40, 40)] * 5}
    assert compared(often | lucky).worst == "1e-02"
    assert compared(often | {"1e-03": [(None, 90)] * 3 + [(95, None)] * 2}).worst == "1e-03"


def test_a_certificate_keeps_what_is_not_measured_again():
    old, other = compared(commit="1"), compared(commit="1", rival="another")
    new = compared(commit="2", losses=[(1e-4, 1e-4)])
    joined = certificate.joined(certified(old, other), certified(new))
    assert joined.comparisons == [new, other]
    assert "commits 2 and 1, with" in certificate.caption(joined)
    for field, value in (("machine", "elsewhere"), ("versions", {"scipy": "2"})):
        with pytest.raises(certificate.OtherCertificate, match="name another folder"):
            certificate.joined(replace(certified(old), **{field: value}), certified(new))


def test_a_table_has_a_row_for_each_and_says_what_it_was_made_from():
    each = compared({"1e-02": [(50, 40), (40, 40)]}, losses=[(1e-3, 2e-3), (3e-3, 4e-3)])
    made = certified(each)
    (row,) = certificate.shown(made).to_dict("records")
    assert row["loss after"] == "1.0e-03 / 2.0e-03 (400)"
    assert row["to 1e-02"] == "40 / 40"
    assert row["largest ratio"] == "1.12 [1.00, 1.25]"
    assert row["holds"] == "yes"
    words = certificate.caption(made)
    assert "medians of 2 seeds" in words
    assert "commit 0123456789+, with scipy 1.17" in words
