"""What the tests go through: problems that are published, others, and what is soon done."""

import pytest
from made_up import coupled_2d

from optbench import problems

PUBLISHED = [
    "poisson_sine_2d",
    "poisson_cosine_5d",
    "poisson_harmonic_10d",
    "poisson_norm_100d",
    "heat_sine_1d",
    "heat_sum_4d",
    "log_fokker_planck_9d",
]
OTHERS = [
    *("poisson_sine_1d", "poisson_sine_3d", "poisson_cosine_1d", "poisson_cosine_2d"),
    *(
        "poisson_harmonic_2d",
        "poisson_harmonic_4d",
        "poisson_harmonic_100d",
        "poisson_norm_1d",
        "poisson_norm_10d",
    ),
    *(
        "heat_sine_2d",
        "heat_sine_3d",
        "heat_sum_1d",
        "heat_sum_2d",
        "log_fokker_planck_1d",
        "log_fokker_planck_3d",
    ),
]
EVERY = [problems.get(name) for name in PUBLISHED + OTHERS] + [coupled_2d]
# the optimizers whose steps JAX compiles soonest: those of KFAC take it four seconds each
QUICK = ("sgd", "engd_woodbury")
every_problem = pytest.mark.parametrize("problem", EVERY, ids=lambda problem: problem.name)
