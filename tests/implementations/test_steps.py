"""Whole steps of ENGD, KFAC and KFAC* against a NumPy oracle made from the mathematics."""

import oracle_steps
import pytest
from made_up import coupled_2d
from small import drawn, relative, small, where

from optbench import problems

PROBLEMS = [problems.get("heat_sum_2d"), problems.get("log_fokker_planck_1d"), coupled_2d]
STEPS = 3
ORACLES = {
    "engd": oracle_steps.engd_steps,
    "engd_per_layer": lambda *args, **fields: oracle_steps.engd_steps(
        *args, kind="engd_per_layer", **fields
    ),
    "engd_diagonal": lambda *args, **fields: oracle_steps.engd_steps(
        *args, kind="engd_diagonal", **fields
    ),
    "kfac": oracle_steps.kfac_steps,
    "kfac_star": oracle_steps.kfac_star_steps,
}
CASES = [
    ("engd", {"damping": 1e-2, "decay": 0.3, "identity_init": True}),
    ("engd_per_layer", {"damping": 1e-2}),
    ("engd_diagonal", {"damping": 1e-2, "decay": 0.5}),
    ("kfac", {"damping": 1e-2, "decay": 0.5}),
    ("kfac", {"damping": 1e-2, "damping_rule": "trace-norm"}),
    ("kfac", {"damping": 1e-2, "approximation": "reduce", "momentum": 0.9}),
    ("kfac", {"damping": 1e-2, "curvature": "empirical", "identity_init": False}),
    ("kfac", {"damping": 1e-2, "curvature": "forward-only", "learning_rate": 1e-3}),
    ("kfac", {"damping": 1e-2, "factor_interval": 2, "inverse_interval": 2}),
    ("kfac_star", {"damping": 1.0, "decay": 0.5}),
]


@pytest.mark.parametrize(
    ("framework", "problem"),
    where([(problem,) for problem in PROBLEMS], lambda problem: problem is coupled_2d),
)
@pytest.mark.parametrize(("optimizer", "fields"), CASES)
def test_steps_equal_the_oracle(framework, problem, optimizer, fields):
    case = small(framework, problem, "tanh_4_3", interior=6, boundary=4)
    expected = ORACLES[optimizer](
        problem, case.start, drawn(problem, 6, 4), STEPS, **fields
    )
    _, state, step = case.prepare(optimizer, **fields)
    params = case.params
    for theirs in expected:
        params, state, _ = step(params, state, case.batch)
        assert relative(case.numpy(params), list(theirs)) <= 1e-9
    assert relative(case.numpy(params), case.start) > 1e-9
