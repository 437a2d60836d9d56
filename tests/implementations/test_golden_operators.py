"""Operators of order one to four and their terms against numbers that are not ours."""

import numpy as np
import pytest
from golden import OPERATORS, numbers
from small import arrays, frameworks, relative, vector

from optbench import implementations, problems

TOLERANCE = 1e-11
every_equation = pytest.mark.parametrize("name", OPERATORS)


def case(framework, name):
    """The recorded case: the registry's problem with the recorded weights and points."""
    recorded = OPERATORS[name]
    weights = {term["name"]: term["weight"] for term in recorded["terms"]}
    problem = problems.get(name).with_weights(weights)
    batch = {
        term["name"]: tuple(np.array(term[key]) for key in "xy")
        for term in recorded["terms"]
    }
    assert list(problem.terms) == list(batch)
    network = "tanh_" + "_".join(str(len(matrix)) for matrix in recorded["W"][:-1])
    loaded = implementations.load(framework)
    return arrays(loaded, problem, numbers(recorded["W"]), batch, network)


def channel_names(operator, axes):
    """The channels of a layout as the file calls them, "x-y:4" or "laplacian"."""
    names = ["value"]
    for line in operator.layout.lines:
        if callable(line.direction):
            direction = "normal"
        else:
            signs = [("-" if c < 0 else "+") + axes[axis] for axis, c in line.direction]
            direction = "".join(signs).removeprefix("+")
        names += [f"{direction}:{order}" for order in range(1, line.order + 1)]
    return names + ["laplacian"] * len(operator.layout.families)


@frameworks
@every_equation
def test_residuals_channels_and_factors_of_every_term(framework, name):
    here, recorded = case(framework, name), OPERATORS[name]
    objective, part = here.part("passes.objective"), here.part("passes.linearization")
    linearizations = here.objective.linearize(here.params, here.batch)
    losses = here.objective.losses(here.params, here.batch)
    for term in recorded["terms"]:
        ours, operator = (
            linearizations[term["name"]],
            here.objective.problem.terms[term["name"]].operator,
        )
        assert relative(here.numpy(ours.residual), np.array(term["residual"])) <= TOLERANCE
        loss = float(here.numpy(losses.terms[term["name"]]))
        assert loss == pytest.approx(term["loss"], rel=TOLERANCE)
        like = [] if framework == "jax" else [here.params[0]]
        equation = here.objective.equation(
            here.objective.problem.terms[term["name"]], *like
        )
        x, y = here.batch[term["name"]]
        outputs = objective.evaluate(equation, here.params, x, y).forward_pass.outputs[-1]
        axes = here.objective.problem.axes
        assert sorted(channel_names(operator, axes)) == sorted(term["channels"])
        order = [term["channels"].index(c) for c in channel_names(operator, axes)]
        expected = np.array(term["output_channels"])[order]
        assert relative(here.numpy(outputs), expected) <= TOLERANCE
        factors = here.numpy(part.kronecker_factors(ours, "expand", "type-2"))
        for (A, B), A_recorded, B_recorded in zip(
            factors, term["A"], term["B"], strict=True
        ):
            assert relative(A, np.array(A_recorded)) <= TOLERANCE
            assert relative(B, np.array(B_recorded)) <= TOLERANCE


@frameworks
@every_equation
def test_the_whole_loss_its_gradient_gramian_and_kernel(framework, name):
    here, recorded = case(framework, name), OPERATORS[name]
    losses, gradient = here.objective.gradient(here.params, here.batch)
    assert float(losses.total) == pytest.approx(recorded["loss"], rel=TOLERANCE)
    assert relative(here.numpy(gradient), numbers(recorded["gradient"])) <= TOLERANCE
    engd = here.framework.OPTIMIZERS["engd"]()
    _, (rows,), _ = engd.rows(here.objective, here.params, here.batch)
    J = here.numpy(rows)
    gramian, kernel = J.T @ J, J @ J.T
    assert relative(gramian.diagonal(), np.array(recorded["gramian_diagonal"])) <= TOLERANCE
    assert relative(gramian[0], np.array(recorded["gramian_first_row"])) <= TOLERANCE
    assert np.trace(gramian) == pytest.approx(recorded["gramian_trace"], rel=TOLERANCE)
    part = here.part("passes.kernel")
    counts = part.row_counts(here.objective, here.batch)
    terms = here.objective.linearize(here.params, here.batch)
    assembled = here.numpy(part.scaled_kernel(counts, terms))
    assert relative(assembled, kernel) <= TOLERANCE
    assert relative(assembled[0], np.array(recorded["kernel_first_row"])) <= TOLERANCE


@frameworks
@every_equation
def test_directions_of_kfac_and_engd(framework, name):
    here, recorded = case(framework, name), OPERATORS[name]
    hyperparameters = {"identity_init": True, "decay": 0.5, "damping": 1e-3}
    _, state, step = here.prepare(
        "kfac", momentum=0.0, learning_rate=1.0, **hyperparameters
    )
    moved, state, _ = step(here.params, state, here.batch)
    direction = vector(here.numpy(moved)) - vector(here.start)
    assert relative(direction, vector(recorded["kfac"]["direction"])) <= 1e-9
    batches = [
        recorded["kfac"][pair][factor] for pair in ("pde", "conditions") for factor in "AB"
    ]
    for averages, batch in zip(
        zip(*state.preconditioner.factors, strict=True), batches, strict=True
    ):
        # averaged with the identity at a decay of one half
        ours = [2 * a - np.eye(len(a)) for a in here.numpy(list(averages))]
        assert relative(ours, numbers(batch)) <= TOLERANCE
    _, state, step = here.prepare("engd", damping=0.01, learning_rate=1.0)
    moved, _, _ = step(here.params, state, here.batch)
    direction = vector(here.numpy(moved)) - vector(here.start)
    assert relative(direction, vector(recorded["engd_direction"])) <= 1e-9
