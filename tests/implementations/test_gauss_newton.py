"""Levenberg-Marquardt and the trust region against NumPy and SciPy, and their parts."""

import numpy as np
import oracle_gauss_newton as oracle
import posed
import pytest
from made_up import coupled_2d
from scipy.fft import dct
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from small import drawn, frameworks, relative, small

from optbench import problems

SINE = problems.get("poisson_sine_2d")
STEPS = {
    "levenberg_marquardt": oracle.levenberg_marquardt_steps,
    "trust_region": oracle.trust_region_steps,
}
# more rows than columns, and fewer; weights and order three; a system
CASES = [
    ("levenberg_marquardt", SINE, 40, {}),
    ("levenberg_marquardt", posed.kdv(), 7, {"acceleration": 0.5}),
    ("levenberg_marquardt", coupled_2d, 40, {"scaling": "identity", "pivot": 0.5}),
    ("trust_region", SINE, 40, {}),
    ("trust_region", posed.kdv(), 7, {"target": 0.15, "probes": 8}),
    ("trust_region", coupled_2d, 40, {"acceleration": 0.0}),
    ("trust_region", SINE, 40, {"sketch": 20, "seed": 3}),
]


@frameworks
@pytest.mark.parametrize(("optimizer", "problem", "points", "fields"), CASES)
def test_five_steps_equal_the_oracle(framework, optimizer, problem, points, fields):
    case = small(framework, problem, interior=points)
    batch = drawn(problem, points)
    _, state, step = case.prepare(optimizer, **fields)
    params, moved = case.params, []
    for expected in STEPS[optimizer](problem, case.start, batch, 5, **fields):
        params, state, _ = step(params, state, case.batch)
        assert relative(case.numpy(params), list(expected)) <= 1e-8
        moved.append(relative(case.numpy(params), case.start))
    assert moved[-1] > 1e-3


@frameworks
def test_a_step_may_be_refused(framework):
    """A radius far too large, and a damping far too small: θ stays until they fit."""
    case = small(framework, SINE, interior=40)
    for optimizer, fields in (
        ("trust_region", {"radius": 1e9, "probes": 3}),
        ("levenberg_marquardt", {"damping": 1e-30, "scaling": "identity"}),
    ):
        made, state, step = case.prepare(optimizer, **fields)
        params, losses = case.params, []
        for _ in range(25):
            params, state, before = step(params, state, case.batch)
            losses.append(float(before.total))
        assert all(np.diff(losses) <= 0)
        assert losses[-1] < 0.1 * losses[0]
        counters = case.numpy(made.counters(state))
        assert int(counters["stalls"]) == (np.diff(losses) == 0).sum()


@frameworks
def test_the_cosine_transform_and_the_sketch(framework):
    case = small(framework, SINE)
    part, put = case.part("solvers.sketch"), case.framework.backend.from_numpy
    device = [case.params[0].device] if framework == "torch" else []
    for size in (1, 2, 7, 24):
        rows = np.random.default_rng(size).normal(size=(3, size))
        S = oracle.sketch_matrix(5, 2, size, (size + 1) // 2)
        drawn_ = part.draw(5, 2, size, (size + 1) // 2, *device)
        assert np.allclose(case.numpy(drawn_.apply(put(rows))), rows @ S.T, atol=1e-14)
        z = rows[:, : len(S)]
        assert np.allclose(case.numpy(drawn_.lift(put(z))), z @ S, atol=1e-14)
        if framework == "torch":
            ours = case.numpy(part.dct(put(rows)))
            assert np.allclose(ours, dct(rows, norm="ortho"), atol=1e-14)


@frameworks
@pytest.mark.parametrize("rows", [12, 5])
def test_singular_values_both_ways(framework, rows):
    case = small(framework, SINE)
    part, put = case.part("solvers.singular_values"), case.framework.backend.from_numpy
    radii = case.part("solvers.trust_radius")
    generator = np.random.default_rng(rows)
    J, r = generator.normal(size=(rows, 8)), generator.normal(size=rows)
    ways = [part.of_jacobian] + ([part.of_gramian] if rows > 8 else [])
    for way in ways:
        values = way(put(J), put(r))
        for damping in (0.0, 0.3):
            filtered = radii.filtered(values, put(np.array([damping])))
            step = -case.numpy(values.V @ filtered)[:, 0]
            damped = np.concatenate([J, np.sqrt(damping) * np.eye(8)])
            expected = np.linalg.lstsq(
                damped, np.concatenate([-r, np.zeros(8)]), rcond=None
            )
            assert np.allclose(step, expected[0], atol=1e-12)
        projected = case.numpy(values.project(put(r[:, None])))[:, 0]
        assert np.allclose(projected, case.numpy(values.b), atol=1e-12)
        # a direction that J does not see is dropped
        blind = way(put(np.concatenate([J[:, :7], np.zeros((rows, 1))], axis=1)), put(r))
        step = case.numpy(blind.V @ radii.filtered(blind, put(np.zeros(1))))[:, 0]
        assert np.isfinite(step).all()
        assert abs(step[7]) < 1e-12


@frameworks
def test_damping_of_a_radius(framework):
    case = small(framework, SINE)
    part, put = case.part("solvers.singular_values"), case.framework.backend.from_numpy
    radii = case.part("solvers.trust_radius")
    generator = np.random.default_rng(4)
    J = generator.normal(size=(20, 9)) * 10.0 ** -np.arange(9)
    values = part.of_jacobian(put(J), put(generator.normal(size=20)))
    s, b = case.numpy(values.s), case.numpy(values.b)

    def length(damping):
        return np.linalg.norm(s * b / (s * s + damping))

    lengths = length(0.0) * np.array([1e-9, 1e-3, 0.5, 0.999999, 2.0])
    damping = case.numpy(radii.damping_of(values, put(lengths)))
    assert damping[-1] == 0
    for radius, found in zip(lengths[:-1], damping, strict=False):
        assert length(found) == pytest.approx(radius, rel=1e-12)
        root = brentq(lambda x, radius=radius: np.log(length(np.exp(x)) / radius), -60, 60)
        assert found == pytest.approx(np.exp(root), rel=1e-6)


@frameworks
@pytest.mark.parametrize("target", [0.2, 0.55, 0.9, 0.05])
def test_the_longest_radius_is_where_pchip_falls_to_the_target(framework, target):
    case = small(framework, SINE)
    part, put = case.part("solvers.trust_radius"), case.framework.backend.from_numpy
    radii = np.geomspace(0.1, 0.9, 8)
    ratios = np.array([0.8, 0.8, 0.7, 0.69, 0.3, 0.3, 0.11, 0.1])
    found = float(part.longest(put(radii), put(ratios), target))
    if target > ratios[0]:
        assert found == radii[0]
    elif target <= ratios[-1]:
        assert found == radii[-1]
    else:
        cubic = PchipInterpolator(np.log(radii), ratios)
        assert cubic(np.log(found)) == pytest.approx(target, abs=1e-12)
        assert found > radii[ratios >= target][-1]


@frameworks
def test_many_networks_pass_together(framework):
    problem = posed.kdv()
    case = small(framework, problem, interior=30)
    generator, put = np.random.default_rng(0), case.framework.backend.from_numpy
    many = [
        np.stack([m + 0.1 * generator.normal(size=m.shape) for _ in range(3)])
        for m in case.start
    ]
    stacked = [put(matrices) for matrices in many]
    losses = case.numpy(case.objective.loss_of_each(stacked, case.batch))
    residuals = case.objective.residuals_of_each(stacked, case.batch)
    for k in range(3):
        params = [put(matrices[k]) for matrices in many]
        alone = float(case.numpy(case.objective.loss(params, case.batch)))
        assert losses[k] == pytest.approx(alone, rel=1e-13)
        for name, each in case.objective.residuals(params, case.batch).items():
            assert relative(case.numpy(residuals[name][k]), case.numpy(each)) <= 1e-13


@frameworks
def test_a_sketch_larger_than_the_network_is_refused(framework):
    case = small(framework, SINE)
    _, state, step = case.prepare("trust_region", sketch=100)
    with pytest.raises(ValueError, match="sketch = 100: the network has 44 parameters"):
        step(case.params, state, case.batch)
