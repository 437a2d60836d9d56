"""Timed steps, profiles, counts of operations and scaling: facts about them, no seconds."""

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from commands import cli
from fakes import Fake
from small import arrays, needs, small

from optbench import implementations, problems
from optbench.implementations.protocol import Losses
from optbench.measure import cost_figures, flops, profile, scale
from optbench.measure.timed import WARM_UP, Timed, Work, medians, network
from optbench.problems.names import UnknownName
from optbench.records.frames import Frames

SINE = problems.get("poisson_sine_2d")
WORK = Work("torch", "kfac", SINE.name, "tanh_3_2", points={"interior": 5, "boundary": 4})


def test_flops_by_phase_are_those_counted_by_hand():
    counted = flops.phases(WORK, 4)
    forward = 2 * 5 * (2 * 3 + 4 * (3 * 2 + 2)) + 2 * 4 * (2 * 3 + 3 * 2 + 2)
    assert counted["forward"] == forward
    assert counted["backward"] == 2 * forward - 2 * (5 + 4) * 2 * 3
    assert counted["line search"] == 4 * forward
    interior = 2 * 5 * (2**2 + 4 * (3**2 + 2**2 + 3**2 + 2**2 + 1))
    assert counted["factors"] == interior + 2 * 4 * (2**2 + 3**2 + 2**2 + 3**2 + 2**2 + 1)
    cubes = 3**3 + 3**3 + 4**3 + 2**3 + 3**3 + 1
    assert counted["inverses"] == pytest.approx(37 / 3 * cubes)


COUNTED = [
    (SINE.name, "tanh_3_2"),
    (SINE.name, "box_3_tanh_3_2"),  # whose map has the closed form, its first layer none
    ("log_fokker_planck_2d", "tanh_3_2"),
    ("burgers_1d", "tanh_3_2"),
    ("convection_1d", "box_10_sin_3_2"),  # waves of a periodic axis
    ("biharmonic_2d", "tanh_3_2"),
    ("kovasznay_2d", "box_1_tanh_3_2"),  # three residual components
    ("multiscale_poisson_2d", "box_1_fourier_24_20.0_tanh_3_2"),
]


@pytest.mark.skipif("torch" not in implementations.installed(), reason="torch is missing")
@pytest.mark.parametrize(("name", "network"), COUNTED)
def test_flops_are_those_that_torch_counts(name, network):
    from torch.utils.flop_counter import FlopCounterMode

    problem = problems.get(name)
    points = {term: 5 - number for number, term in enumerate(problem.terms)}
    case = small("torch", problem, network)
    case = arrays(
        case.framework,
        problem,
        case.start,
        problems.seeds.batch(problem, 1, 0, points),
        network,
    )
    part = case.part("passes.linearization")
    factors = partial(part.kronecker_factors, approximation="expand", curvature="type-2")
    counted = flops.phases(
        Work("torch", "kfac", problem.name, network, points=points), 0, products=1
    )
    terms = case.objective.linearize(case.params, case.batch)
    chunks = case.objective.linearize_chunks(case.params, case.batch)
    vector = case.part("passes.parameters").flatten(case.params)
    for work, expected in (
        (lambda: case.objective.loss(case.params, case.batch), counted["forward"]),
        (
            lambda: case.objective.gradient(case.params, case.batch),
            counted["forward"] + counted["backward"],
        ),
        (lambda: [factors(term) for term in terms.values()], counted["factors"]),
        (
            lambda: case.part("passes.curvature").gauss_newton(
                case.objective, case.params, chunks, vector
            ),
            counted["products"],
        ),
    ):
        with FlopCounterMode(display=False) as counter:
            work()
        assert counter.get_total_flops() == expected


@pytest.fixture
def fake(monkeypatch):
    fake = Fake()
    monkeypatch.setattr(implementations, "load", lambda name: fake)
    return fake


def test_a_timed_step_waits_for_its_device(fake):
    timed = Timed(Work("torch", "sgd", SINE.name, "tanh_4"))
    assert fake.calls == 1 + WARM_UP + 1
    assert fake.pending == 0
    timed()
    assert fake.calls == 1 + WARM_UP + 2
    assert fake.pending == 0
    timed.variant(learning_rate=0.1)()
    assert fake.pending == 0


def test_a_step_that_diverges_is_not_timed(fake):
    fake._losses = lambda params, batch: Losses({"interior": np.array(np.nan)})
    with pytest.raises(ArithmeticError, match="sgd diverged"):
        Timed(Work("torch", "sgd", SINE.name, "tanh_4"))


def test_functions_are_timed_in_turn():
    called = []
    seconds = medians({name: partial(called.append, name) for name in "ab"}, 0, least=3)
    assert called == ["a", "b", *"ababab"]
    assert set(seconds) == {"a", "b"}


def test_phases_add_up_to_the_step():
    parts = {
        "forward": 1.0,
        "gradient": 3.0,
        "without factors": 4.0,
        "without inverses": 6.0,
        "without search": 9.0,
    }
    phases = profile.differences(parts | {"step": 14.0})
    assert phases == {
        **{"forward": 1.0, "backward": 2.0, "line search": 5.0},
        **{"inverses": 3.0, "factors": 2.0, "rest": 1.0},
    }
    assert (
        profile.differences({"forward": 1.0, "gradient": 3.0, "step": 4.0})["rest"] == 1.0
    )


# JAX compiles KFAC's step once for each part that is left out of it
@pytest.mark.parametrize(
    ("framework", "optimizer", "parts"),
    [
        pytest.param("torch", "kfac", ("inverses", "factors"), marks=needs["torch"]),
        pytest.param("jax", "engd_diagonal", (), marks=needs["jax"]),
        pytest.param(
            "jax", "kfac", ("inverses", "factors"), marks=[needs["jax"], pytest.mark.slow]
        ),
    ],
)
@pytest.mark.medium
def test_a_profile_is_printed(framework, optimizer, parts, tmp_path):
    small_case = [
        "--network",
        "tanh_4",
        "--interior",
        "6",
        "--boundary",
        "4",
        "--seconds",
        "0",
    ]
    said = cli(
        "profile",
        SINE.name,
        optimizer,
        *small_case,
        "--framework",
        framework,
        "--set",
        "damping=1e-3",
        cwd=tmp_path,
    )
    for words in (
        f"{framework}: {optimizer} on {SINE.name}, tanh_4 (D = 17)",
        "line search",
        *parts,
        "Gflop/s",
        "launches: a gradient ",
    ):
        assert words in said.stdout
    assert (framework == "jax") == ("waits for the device within a step: 0" in said.stdout)


@pytest.mark.skipif("torch" not in implementations.installed(), reason="torch is missing")
@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (
            "trust_region",
            ["rows of J", "acceleration", "radii", "factorization and rest"],
        ),
        ("levenberg_marquardt", ["rows of J", "factorization and rest"]),
    ],
)
def test_a_profile_takes_a_step_with_the_whole_jacobian_apart(optimizer, expected):
    measured = profile.measure(replace(WORK, optimizer=optimizer), 0)
    assert [phase.name for phase in measured.phases] == expected
    # what is left out and what is left are the step
    total = sum(phase.seconds for phase in measured.phases)
    assert total == pytest.approx(measured.seconds)
    assert all(name in profile.render(measured) for name in expected)


@pytest.mark.skipif("torch" not in implementations.installed(), reason="torch is missing")
def test_a_profile_tells_what_a_product_costs():
    work = Work(
        "torch",
        "hessian_free",
        SINE.name,
        "tanh_4",
        {"damping": 0.1},
        points={"interior": 6, "boundary": 4},
    )
    result = profile.measure(work, 0)
    assert result.products > 1
    (phase,) = (phase for phase in result.phases if phase.name == "products")
    assert phase.flops == 2 * (result.products - 1) * result.phases[0].flops
    last = profile.render(result).splitlines()[-1]
    assert f"products G v within a step: {result.products}, " in last
    assert "products G v" not in profile.render(replace(result, products=0))


@pytest.mark.skipif("torch" not in implementations.installed(), reason="torch is missing")
def test_a_profile_shares_a_sketch_among_the_steps_of_its_interval():
    work = Work(
        "torch",
        "nystrom_newton",
        SINE.name,
        "tanh_4",
        {"rank": 3, "sketch_interval": 7, "damping": 0.1},
        points={"interior": 6, "boundary": 4},
    )
    result = profile.measure(work, 0)
    assert [phase.name for phase in result.phases] == [
        *("forward", "backward", "sketch", "products", "rest")
    ]
    by_name = {phase.name: phase for phase in result.phases}
    product = 2 * result.phases[0].flops
    whole = 3 * product + 13 * result.parameters * 3**2 + 20 * 3**3
    assert by_name["sketch"].flops == pytest.approx(whole / 7)
    assert by_name["products"].flops == (result.products - 1) * product
    assert sum(phase.seconds for phase in result.phases) == pytest.approx(result.seconds)
    assert "sketch" in profile.render(result)


def test_a_sketch_is_in_one_step_of_its_interval():
    parts = {
        "forward": 1.0,
        "gradient": 3.0,
        "step": 99.0,  # it may have been one with a sketch, or one without
        "with sketch": 50.0,
        "without sketch": 10.0,
        "without products": 4.0,
    }
    mean = profile.mean_step(parts, 20)
    assert mean == pytest.approx(12.0)
    phases = profile.differences(parts | {"step": mean})
    assert phases == {
        **{"forward": 1.0, "backward": 2.0, "sketch": 2.0, "products": 6.0, "rest": 1.0}
    }


def test_products_with_the_hessian_have_no_formula():
    hessian = replace(
        WORK, optimizer="nystrom_newton", hyperparameters={"curvature": "hessian"}
    )
    assert not {"products", "sketch"} & set(flops.phases(hessian, 1, 5, 3, 2))


def test_the_exponent_is_that_of_the_large_networks():
    D = np.array([300, 1e4, 1e5, 1e6, 1e7])
    table = pd.DataFrame(
        {
            "optimizer": "kfac",
            "framework": "jax",
            "parameters": D,
            "step_seconds": 1e-9 * D**1.5,
        }
    )
    table.loc[0, "step_seconds"] = 1.0  # a small one: launches, not work
    (fit,) = scale.fits(table)
    assert fit["exponent"] == pytest.approx(1.5)
    assert fit["low"] <= 1.5 <= fit["high"]
    assert (fit["points"], fit["smallest"], fit["largest"]) == (4, 1e4, 1e7)
    table.loc[2:, "step_seconds"] = np.nan  # no memory
    assert list(scale.fits(table)) == []


def test_the_interval_of_a_noisy_exponent_holds_it():
    generator = np.random.default_rng(0)
    D, held = np.logspace(4, 7, 6), 0
    for _ in range(200):
        noisy = 1e-9 * D * np.exp(0.3 * generator.normal(size=6))
        table = pd.DataFrame(
            {
                "optimizer": "kfac",
                "framework": "jax",
                "parameters": D,
                "step_seconds": noisy,
            }
        )
        (fit,) = scale.fits(table)
        held += fit["low"] <= 1 <= fit["high"]
    assert 180 <= held <= 198  # 95 % of 200 is 190


def test_a_step_of_the_ladder_is_one_after_the_warm_up():
    """The first ones search far; a run that diverged has no number."""
    seconds = np.cumsum([9.0, 9, 9, 9, 9, 1, 2, 3])
    rows = [
        {"run": name, "step": step, "seconds": taken, "evaluations": 4 * step}
        for name in ("a", "b", "c")
        for step, taken in enumerate(seconds, 1)
        if name != "c" or step <= scale.WARM_UP
    ]
    runs = [
        {
            "run": name,
            "optimizer": "kfac",
            "framework": "jax",
            "network": f"tanh_{width}_{width}",
            "parameters": 9,
            "status": status,
            "evaluations": 32,
            "compile_seconds": 1.0,
            "step_seconds": 0.0,
            "peak_memory": 1,
        }
        for name, width, status in (
            ("a", 8, "finished"),
            ("b", 16, "diverged"),
            ("c", 32, "timed-out"),
        )
    ]
    measured = scale.measurements(Frames(pd.DataFrame(runs), pd.DataFrame(rows)))
    np.testing.assert_array_equal(measured["step_seconds"], [2, np.nan, np.nan])
    np.testing.assert_array_equal(measured["evaluations"], [4, 4, np.nan])


def test_scaling_keeps_the_proportions_and_names_its_optimizers():
    assert network(64) == "tanh_64_64_48_48"
    with pytest.raises(UnknownName, match="kfac_star"):
        scale.campaign(SINE.name, [16], ["kfac_plus"], ["jax"])


@needs["torch"]
@pytest.mark.medium
def test_scaling_records_what_lacks_memory(tmp_path):
    options = [
        "--width",
        "8",
        "--width",
        "400",
        "--optimizer",
        "engd_per_layer",
        "--memory",
        "1",
        "--steps",
        "2",
    ]
    said = cli(
        "scale", *options, "--framework", "torch", "--results", tmp_path, cwd=tmp_path
    )
    (file,) = tmp_path.rglob("scale.csv")
    measured = pd.read_csv(file)
    assert measured["status"].tolist() == ["finished", "out-of-memory"]
    assert measured["width"].tolist() == [8, 400]
    assert measured["step_seconds"].notna().tolist() == [True, False]
    assert measured["peak_memory"].iloc[0] > 0
    assert f"written: {file}" in said.stdout.replace("\n", "")
    assert (file.parent / "cost_over_parameters.png").stat().st_size > 0
    assert "exponent of D" in said.stdout


def test_nothing_is_drawn_without_a_step(tmp_path):
    table = pd.read_csv(
        io.StringIO("optimizer,framework,parameters,step_seconds\nkfac,jax,5,\n")
    )
    assert cost_figures.cost_over_parameters(table, pd.DataFrame(), tmp_path) == []
