"""The golden numbers of a small Poisson problem, as tests/data/README.md describes them."""

import json
from pathlib import Path

import numpy as np

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "data" / "golden_poisson.json").read_text()
)["poisson"]


def numbers(recorded):
    return [np.array(matrix) for matrix in recorded]
