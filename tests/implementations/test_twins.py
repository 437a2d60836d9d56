"""The two implementations of every optimizer walk the same path."""

from dataclasses import replace

import pytest
from cases import QUICK
from made_up import coupled_2d
from small import OPTIMIZERS, needs_both

from optbench import problems
from optbench.measure import parity

pytestmark = needs_both
OTHERS = (
    "log_fokker_planck_1d",
    "poisson_cosine_2d",
    "poisson_harmonic_4d",
    "poisson_norm_3d",
    "heat_sine_1d",
    "heat_sum_2d",
)
POISSON = problems.get("poisson_sine_2d")
PAIRS = [
    *(
        pytest.param(POISSON, name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in OPTIMIZERS
    ),
    # two unknowns, a full diffusion, and every channel of the jet in a product
    *(pytest.param(coupled_2d, name, marks=pytest.mark.medium) for name in OPTIMIZERS),
    *(
        pytest.param(problems.get(other), name, marks=pytest.mark.slow)
        for other in OTHERS
        for name in OPTIMIZERS
    ),
]
# quasi-Newton methods amplify rounding without bound: ten steps, of two inner iterations
# with small steps for `lbfgs`
QUASI_NEWTON = dict.fromkeys(("lbfgs", "lbfgs_wolfe", "bfgs", "ssbfgs", "ssbroyden"), 10)
# the residuals of log-Fokker-Planck are a hundred times larger, and so is what keeps
# rounding as small there
STIFF = {
    "engd": 1.0,
    "engd_woodbury": 1.0,
    "spring": 1.0,
    "engd_per_layer": 1.0,
    "engd_diagonal": 1e-2,
    "kfac": 1e-2,
    "kfac_star": 1.0,
}


def case(problem, optimizer, **fields):
    hyperparameters = dict(parity.CONDITIONED.get(optimizer, {}))
    if "fokker" in problem.name and optimizer in STIFF:
        hyperparameters["damping"] = STIFF[optimizer]
    fields = {"steps": QUASI_NEWTON.get(optimizer, 20), "network": "tanh_8_8", **fields}
    return parity.Case(problem, optimizer, hyperparameters, **fields)


@pytest.mark.parametrize(
    ("problem", "optimizer"), PAIRS, ids=lambda value: getattr(value, "name", value)
)
def test_trajectories_agree(problem, optimizer):
    frameworks = parity.both()
    one, other = (
        parity.trajectory(framework, case(problem, optimizer)) for framework in frameworks
    )
    assert parity.difference(one, other) <= 1e-10
    assert parity.difference(one[:1], one[-1:]) > 1e-9  # they went somewhere


@pytest.mark.medium
def test_the_first_step_of_twenty_inner_iterations_agrees():
    comparison = parity.Case(problems.get("poisson_sine_2d"), "lbfgs", {}, steps=1)
    certificate = parity.certify(comparison, parity.both())
    assert certificate.difference <= 1e-10
    assert certificate.agrees


@pytest.mark.medium
def test_searches_that_begin_where_the_decrease_says_agree():
    tried = parity.CONDITIONED["bfgs"] | {"first_trial": "decrease"}
    comparison = parity.Case(problems.get("poisson_sine_2d"), "bfgs", tried, steps=10)
    assert parity.certify(comparison, parity.both()).difference <= 1e-10


@pytest.mark.medium
def test_resting_factors_agree():
    lazy = {"damping": 1e-2, "factor_interval": 2, "inverse_interval": 3}
    for optimizer in ("kfac", "kfac_star"):
        comparison = parity.Case(problems.get("heat_sine_1d"), optimizer, lazy)
        assert parity.certify(comparison, parity.both()).difference <= 1e-10


@pytest.mark.medium
@pytest.mark.parametrize(
    "options",
    [
        {"approximation": "reduce"},
        pytest.param({"curvature": "empirical"}, marks=pytest.mark.slow),
        pytest.param({"curvature": "forward-only"}, marks=pytest.mark.slow),
        pytest.param({"damping_rule": "trace-norm"}, marks=pytest.mark.slow),
        {"learning_rate": 1e-3, "identity_init": False},
    ],
    ids=str,
)
def test_options_of_kfac_agree(options):
    comparison = parity.Case(
        coupled_2d, "kfac", {"damping": 1e-2, **options}, network="sin_5_4"
    )
    assert parity.certify(comparison, parity.both()).difference <= 1e-10


class Mutant:
    """Wrong twins that a comparison must tell from the right ones."""

    @staticmethod
    def eps_inside_the_root(framework):
        right = framework.OPTIMIZERS["adam"]

        class EpsInside(right):
            def step(self, objective, params, state, batch):
                moved, state, losses = right.step(self, objective, params, state, batch)
                unbias = 1 - self.beta2**state.step
                ratio = [(v / unbias) ** 0.5 + self.eps for v in state.second]
                wrong = [(v / unbias + self.eps**2) ** 0.5 for v in state.second]
                changes = zip(params, moved, ratio, wrong, strict=True)
                return [p + (q - p) * r / w for p, q, r, w in changes], state, losses

        return "adam", EpsInside

    @staticmethod
    def no_bias_correction(framework):
        right = framework.OPTIMIZERS["adam"]

        class Biased(right):
            def step(self, objective, params, state, batch):
                moved, state, losses = right.step(self, objective, params, state, batch)
                scale = (1 - self.beta1**state.step) / (1 - self.beta2**state.step) ** 0.5
                return (
                    [p + (q - p) * scale for p, q in zip(params, moved, strict=True)],
                    state,
                    losses,
                )

        return "adam", Biased


@pytest.mark.parametrize("mutant", [Mutant.eps_inside_the_root, Mutant.no_bias_correction])
def test_a_wrong_twin_is_noticed(mutant):
    torch, jax = parity.both()
    name, wrong = mutant(torch)
    broken = replace(torch, OPTIMIZERS={name: wrong})
    certificate = parity.certify(case(problems.get("poisson_sine_2d"), name), (broken, jax))
    assert certificate.difference > 1e-10
    assert not certificate.agrees


@pytest.mark.medium
def test_a_boundary_factor_with_the_wrong_count_is_noticed(monkeypatch):
    from optbench.implementations.torch.optimizers import kfac

    right = kfac.kronecker_factors

    def wrong(term, *options):
        boundary = term.inputs[0].channels() == 1
        return [(A, B * (20 / 30 if boundary else 1)) for A, B in right(term, *options)]

    monkeypatch.setattr(kfac, "kronecker_factors", wrong)
    for name in ("kfac", "kfac_star"):
        certificate = parity.certify(
            case(problems.get("poisson_sine_2d"), name), parity.both()
        )
        assert certificate.difference > 1e-10
        assert not certificate.agrees


def test_the_twins_have_the_same_fields_and_versions():
    torch, jax = parity.both()
    assert set(torch.OPTIMIZERS) == set(jax.OPTIMIZERS)
    for name in OPTIMIZERS:
        one, other = torch.OPTIMIZERS[name], jax.OPTIMIZERS[name]
        assert one.version == other.version
        assert vars(one()) == vars(other())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["engd", "kfac"])
@pytest.mark.parametrize(
    "problem",
    [POISSON, coupled_2d, *map(problems.get, OTHERS[:-2])],
    ids=lambda problem: problem.name,
)
def test_the_lazy_line_search_goes_where_the_exhaustive_one_does(problem, optimizer):
    torch = parity.both()[0]
    comparison = case(problem, optimizer, steps=30)
    lazy = replace(
        comparison, hyperparameters=comparison.hyperparameters | {"line_search": "grid"}
    )
    assert (
        parity.difference(
            *(parity.trajectory(torch, search) for search in (comparison, lazy))
        )
        == 0
    )


@pytest.mark.medium
def test_the_lazy_line_search_is_the_same_in_both():
    comparison = parity.Case(problems.get("heat_sine_1d"), "kfac", {"damping": 1e-2})
    assert parity.certify(comparison, parity.both()).difference <= 1e-10


def test_weights_and_high_orders_are_compared_with_the_relative_damping():
    for name in ("biharmonic_2d", "helmholtz_2d"):
        case_ = parity.conditioned(problems.get(name), "kfac_star")
        assert case_.hyperparameters["guard"]
    plain = parity.conditioned(problems.get("poisson_sine_2d"), "kfac_star")
    assert plain.hyperparameters == parity.CONDITIONED["kfac_star"]
