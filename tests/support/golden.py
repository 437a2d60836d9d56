"""The golden numbers of a small Poisson problem, as tests/data/README.md describes them."""

import json
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[1] / "data"
GOLDEN = json.loads((DATA / "golden_poisson.json").read_text())["poisson"]
OPERATORS = json.loads((DATA / "golden_operators.json").read_text())
del OPERATORS["_doc"]


def numbers(recorded):
    return [np.array(matrix) for matrix in recorded]


def golden_batch():
    """The points and targets of both terms."""
    return {
        name: tuple(np.array(GOLDEN[key]) for key in keys)
        for name, keys in (("interior", "Xf"), ("boundary", "Bg"))
    }
