"""Presets: sequences of optimizers that have a name.

A campaign that says no more than `adam_lbfgs = {}` gets these stages.
"""

from collections.abc import Sequence
from typing import Any

Tables = list[dict[str, Any]]  # stages as a campaign's file has them

PRESETS: dict[str, Tables] = {
    # what PINNs are usually trained with: Adam far from a minimum, then L-BFGS (Rathore et
    # al. 2024, arXiv 2402.01868)
    "adam_lbfgs": [
        {"name": "adam", "learning_rate": 1e-2, "share": 0.33},
        {"name": "lbfgs_wolfe", "history_size": 50},
    ],
    # the same with a self-scaled Broyden method (Urbán, Stefanou, Pons 2025, arXiv
    # 2405.04230), which needs no long way to where it is fast
    "adam_ssbroyden": [
        {"name": "adam", "learning_rate": 1e-2, "share": 0.1},
        {"name": "ssbroyden"},
    ],
    # Rathore et al.'s own: Newton's steps, from where L-BFGS has become slow
    "adam_lbfgs_nystrom": [
        {"name": "adam", "learning_rate": 1e-2, "share": 0.2},
        {"name": "lbfgs_wolfe", "history_size": 50, "share": 0.3},
        {"name": "nystrom_newton"},
    ],
    "soap_trust_region": [
        {"name": "soap", "learning_rate": 1e-2, "schedule": "cosine", "share": 0.1},
        {"name": "trust_region"},
    ],
}
VERSION = 1  # of how stages follow each other


def named(optimizers: Sequence[str]) -> str:
    """Name a sequence of optimizers: as a preset of these, or by all their names."""
    for name, stages in PRESETS.items():
        if [stage["name"] for stage in stages] == list(optimizers):
            return name
    return "+".join(optimizers)


def described(stages: Tables) -> str:
    """Describe stages in words."""
    return ", then ".join(map(_stage, stages))


def _stage(table: dict[str, Any]) -> str:
    share = f" for {table['share']:.0%} of the budget" if "share" in table else ""
    hyperparameters = ", ".join(
        f"{key}={value!r}" for key, value in table.items() if key not in ("name", "share")
    )
    return f"{table['name']}{share}{f' ({hyperparameters})' if hyperparameters else ''}"
