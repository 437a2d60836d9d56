"""A certificate of the baselines whose counts and seconds are made up."""

from optbench.measure import baselines
from optbench.measure.baselines import LEVEL, Comparison
from optbench.measure.certificate import Certificate

NEVER = {baselines.named(loss): [(None, None)] for loss in baselines.THRESHOLDS}


def compared(reached=None, **fields):
    """A comparison; a loss of 1e-2 is reached, if no others are named."""
    made = {
        "problem": "poisson_sine_2d",
        "network": "tanh_64",
        "framework": "torch",
        "optimizer": "lbfgs_wolfe",
        "hyperparameters": {"history_size": 50},
        "rival": "some",
        "counts": "gradients",
        "allowed": 1.25,
        "gradients": 400,
        "losses": [(1e-3, 2e-3)],
        "reached": {**NEVER, "1e-02": [(50, 40)], LEVEL: [(200, 100)], **(reached or {})},
        "seconds": [(1.0, 1.0)] * 5,
        "commit": "0123456789abcdef+",
    }
    return Comparison(**made | fields)


def certified(*comparisons):
    """A certificate, of one comparison if none are given."""
    each = comparisons or (compared(seconds=[(1.0, 1.0), (1.2, 1.0), (1.4, 1.0)] * 3),)
    return Certificate("some", {"scipy": "1.17"}, list(each))
