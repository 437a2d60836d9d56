"""What a run has learned is kept on a grid."""

import numpy as np
from fakes import Fake, request
from small import frameworks

from optbench import implementations, problems
from optbench.problems import networks
from optbench.training import solution_grid
from optbench.training.run import perform

SINE = problems.get("poisson_sine_2d")


def test_a_grid_is_the_problems_box():
    x = solution_grid.grid(SINE).reshape(solution_grid.SIDE, solution_grid.SIDE, 2)
    assert x[0, 0].tolist() == SINE.bounds[0].tolist()
    assert x[-1, -1].tolist() == SINE.bounds[1].tolist()
    assert x[-1, 0].tolist() == [SINE.bounds[1][0], SINE.bounds[0][1]]
    assert solution_grid.grid(problems.get("poisson_cosine_5d")) is None


def test_an_image_has_the_first_input_to_the_right():
    image = solution_grid.as_image(SINE, solution_grid.grid(SINE)[:, 0])
    assert (np.diff(image, axis=1) > 0).all()
    assert (np.diff(image, axis=0) == 0).all()


@frameworks
def test_a_record_has_what_the_network_gives_there(framework):
    asked = request(
        framework=framework,
        network="tanh_4",
        steps=1,
        hyperparameters={"learning_rate": 1e-300},
    )
    record = perform(asked)
    objective, backend = (
        implementations.load(framework).Objective(SINE),
        implementations.load(framework).backend,
    )
    params = networks.initial_parameters("tanh_4", 2, 1, asked.seed)
    u = backend.to_numpy(
        objective.predict(*map(backend.from_numpy_tree, (params, solution_grid.grid(SINE))))
    )
    np.testing.assert_allclose(record.surface, u[:, 0], rtol=1e-4, atol=1e-9)


def test_a_run_that_failed_has_none_and_no_run_fails_for_it(monkeypatch):
    assert (
        Fake()
        .perform(request(hyperparameters={"learning_rate": 1e200, "momentum": 0.9}))
        .surface
        is None
    )
    monkeypatch.setattr(solution_grid, "grid", lambda problem: np.zeros((3, 7)))
    fake = Fake()
    predict = fake._predict
    monkeypatch.setattr(
        fake, "_predict", lambda params, x: predict(params, x) if x.shape[1] == 2 else 1 / 0
    )
    record = fake.perform(request())
    assert (record.status, record.surface) == ("finished", None)
