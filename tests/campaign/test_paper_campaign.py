"""`paper.toml` asks for what the paper's recorded best runs did."""

import pytest
from paper_runs import MISTAKEN, OPTIMIZERS, RECORDED, recorded_runs

from optbench import problems
from optbench.campaign import campaign, expansion
from optbench.problems import networks

PROBLEMS = {
    "poisson2d_sin_product": "poisson_sine_2d",
    "poisson5d_cos_sum": "poisson_cosine_5d",
    "poisson10d_u_weinan": "poisson_harmonic_10d",
    "poisson100d_u_weinan_norm": "poisson_norm_100d",
    "heat1+1d_sin_product": "heat_sine_1d",
    "heat4+1d_sin_sum": "heat_sum_4d",
    "logfokkerplanck9+1d_gaussian": "log_fokker_planck_9d",
}
# the recorded name of a field that every run of an optimizer must have, or the value that
# stands for its absence
FIELDS = {
    "sgd": {"learning_rate": "SGD_lr", "momentum": "SGD_momentum"},
    "adam": {"learning_rate": "Adam_lr", "eps": "Adam_eps"},
    "lbfgs": {
        "learning_rate": "LBFGS_lr",
        "history_size": "LBFGS_history_size",
        "inner_iterations": "LBFGS_max_iter",
    },
    "engd": {
        "damping": "ENGD_damping",
        "decay": "ENGD_ema_factor",
        "identity_init": "ENGD_initialize_to_identity",
    },
    "kfac": {
        "damping": "KFAC_damping",
        "decay": "KFAC_ema_factor",
        "identity_init": "KFAC_initialize_to_identity",
        "momentum": "KFAC_momentum",
        "factor_interval": "KFAC_T_kfac",
        "inverse_interval": "KFAC_T_inv",
        "curvature": "KFAC_ggn_type",
        "approximation": "KFAC_kfac_approx",
    },
    "hessian_free": {
        "damping": "HessianFree_damping",
        "adapt_damping": "HessianFree_adapt_damping",
        "cg_max_iterations": "HessianFree_cg_max_iter",
        "cg_decay": "HessianFree_cg_decay_x0",
        "curvature": "HessianFree_curvature_opt",
    },
}


@pytest.fixture(scope="module")
def requests():
    file = campaign.shipped()["paper"]
    return expansion.requests(campaign.read(file), "paper", file.name)


def test_every_recorded_run_is_there_in_both_frameworks(requests):
    asked = [
        (request.labels.experiment, request.optimizer, request.framework)
        for request in requests
    ]
    expected = {
        (*run, framework)
        for run in recorded_runs() - MISTAKEN
        for framework in ("torch", "jax")
    }
    assert len(asked) == len(set(asked))
    assert set(asked) == expected


def test_numbers_are_the_recorded_ones(requests):
    for request in requests:
        recorded = RECORDED[request.labels.experiment]
        run = recorded["optimizers"][OPTIMIZERS[request.optimizer]]
        setup, theirs = run["setup"], run["hyperparameters"]
        problem = problems.get(request.problem)
        assert request.problem == PROBLEMS[recorded["problem"]]
        assert request.network == setup["model"].replace("mlp-", "").replace("-", "_")
        assert (
            networks.parameter_count(request.network, problem.inputs, problem.outputs)
            == recorded["D"]
        )
        assert request.points == {
            "interior": setup["N_Omega"],
            "boundary": setup["N_dOmega"],
        }
        assert request.resample_every == setup["batch_frequency"]
        assert request.seconds == setup["num_seconds"]
        assert request.labels.hyperparameters_from == "paper"
        assert request.labels.case == request.labels.experiment.split("_")[0]
        family = (
            request.optimizer.removesuffix("_per_layer")
            .removesuffix("_diagonal")
            .removesuffix("_star")
        )
        for ours, name in FIELDS[family].items():
            if ours in request.hyperparameters:
                assert request.hyperparameters[ours] == theirs[name]
        assert request.hyperparameters.get("learning_rate") == searched(theirs)


def searched(theirs):
    """The recorded learning rate, None for a line search."""
    (rate,) = (value for name, value in theirs.items() if name.endswith("_lr"))
    return (
        None if isinstance(rate, str) or theirs.get("HessianFree_use_linesearch") else rate
    )
