"""Ten steps of the newer optimizers against trajectories that are not ours."""

import json
from pathlib import Path

import numpy as np
import pytest
from small import arrays, frameworks, relative, vector

from optbench import implementations, problems

RECORDED = json.loads(
    (Path(__file__).parents[1] / "data" / "golden_optimizers.json").read_text()
)


def described(run):
    fields = ", ".join(f"{name}={value}" for name, value in run["hyperparameters"].items())
    return f"{run['optimizer']}, {run['case']}, {fields}"


@frameworks
@pytest.mark.parametrize("run", RECORDED["runs"], ids=described)
def test_ten_steps_are_the_recorded_ones(framework, run):
    recorded = RECORDED["cases"][run["case"]]
    batch = {
        "interior": (np.array(recorded["X"]), np.array(recorded["f"])),
        "boundary": (np.array(recorded["B"]), np.array(recorded["g"])),
    }
    case = arrays(
        implementations.load(framework),
        problems.get("poisson_sine_2d"),
        [np.array(matrix) for matrix in recorded["W"]],
        batch,
        run["case"],
    )
    made, state, step = case.prepare(run["optimizer"], **run["hyperparameters"])
    params, tolerance = case.params, run["tolerance"]
    counts = run.get("evaluations", [None] * 10)
    for number, evaluations in enumerate(counts, 1):
        params, state, losses = step(params, state, case.batch)
        made.check(state)
        before = [float(case.numpy(loss)) for loss in losses.terms.values()]
        expected = run["losses"][number - 1]
        # a loss's tolerance is a share of the total
        share = tolerance["losses"][number - 1]
        assert np.abs(np.subtract(before, expected)).max() <= share * sum(expected)
        if evaluations is not None:
            assert int(case.numpy(made.counters(state)["evaluations"])) == evaluations
        if (theirs := run["parameters"].get(str(number))) is not None:
            ours = vector(case.numpy(params))
            assert relative(ours, np.array(theirs)) <= tolerance["parameters"][str(number)]
