"""The paper's recorded best runs: their hyperparameters, and those that were mistaken."""

import json
from importlib.resources import files

RECORDED = json.loads(
    (files("optbench.benchmarks") / "paper_hyperparameters.json").read_text()
)
OPTIMIZERS = {
    "sgd": "SGD",
    "adam": "Adam",
    "lbfgs": "LBFGS",
    "engd": "ENGD (full)",
    "engd_per_layer": "ENGD (layer-wise)",
    "engd_diagonal": "ENGD (diagonal)",
    "kfac": "KFAC",
    "kfac_star": "KFAC*",
    "hessian_free": "Hessian-free",
}
MISTAKEN = {  # runs of something else than their experiment says
    ("exp16_poisson5d_deepwide", "engd"),  # run on a smaller network
    ("exp15_poisson2d_deepwide", "hessian_free"),  # run on another PDE
    ("exp20_poisson2d_mlp_tanh_256", "hessian_free"),
}


def recorded_runs():
    return {
        (experiment, ours)
        for experiment, recorded in RECORDED.items()
        for ours, theirs in OPTIMIZERS.items()
        if theirs in recorded["optimizers"]
    }
