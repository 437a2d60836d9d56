"""Kronecker factors, Gramians and their solves against dense algebra and golden numbers."""

from functools import partial

import numpy as np
import pytest
from golden import GOLDEN, golden_batch
from made_up import coupled_2d
from small import arrays, frameworks, relative, small, vector

from optbench import implementations, problems

EPS = np.finfo(np.float64).eps


@pytest.fixture
def golden(request):
    return arrays(
        implementations.load(request.param),
        problems.get("poisson_sine_2d"),
        GOLDEN["W"],
        golden_batch(),
    )


in_both = pytest.mark.parametrize(
    "golden",
    [
        pytest.param(name, marks=pytest.mark.medium if name == "jax" else [])
        for name in implementations.installed()
    ],
    indirect=True,
)


def numbers(key):
    return [np.array(matrix) for matrix in key]


@in_both
def test_golden_residuals_losses_gradient(golden):
    residuals = golden.numpy(golden.objective.residuals(golden.params, golden.batch))
    assert list(residuals) == ["interior", "boundary"]
    for name, residual in residuals.items():
        assert relative(residual, np.array(GOLDEN[f"residual_{name}"])) <= 1e-10
    losses, gradient = golden.numpy(golden.objective.gradient(golden.params, golden.batch))
    for name, loss in losses.terms.items():
        assert float(loss) == pytest.approx(GOLDEN[f"loss_{name}"], rel=1e-10)
    assert relative(gradient, numbers(GOLDEN["gradient"])) <= 1e-10


@in_both
@pytest.mark.parametrize("approximation", ["expand", "reduce"])
@pytest.mark.parametrize("curvature", ["type-2", "empirical", "forward-only"])
def test_golden_factors(golden, approximation, curvature):
    terms = golden.objective.linearize(golden.params, golden.batch)
    for name, term in terms.items():
        factors = golden.numpy(
            golden.part("passes.linearization").kronecker_factors(
                term, approximation, curvature
            )
        )
        recorded = GOLDEN[f"kfac_{name}"][approximation]
        assert relative([A for A, _ in factors], numbers(recorded["A"])) <= 1e-10
        identities = [np.eye(len(matrix)) for matrix in GOLDEN["W"]]
        kind = {"type-2": "B_type2", "empirical": "B_empirical"}.get(curvature)
        assert (
            relative(
                [B for _, B in factors], numbers(recorded[kind]) if kind else identities
            )
            <= 1e-10
        )


@in_both
def test_golden_gramian_and_engd(golden):
    terms = golden.objective.linearize(golden.params, golden.batch)
    part = golden.part("passes.linearization")
    rows = [
        np.concatenate(golden.numpy(part.jacobian_blocks(term)), axis=1)
        for term in terms.values()
    ]
    gramian = sum(J.T @ J / len(J) for J in rows)
    assert np.trace(gramian) == pytest.approx(GOLDEN["gramian_trace"], rel=1e-10)
    assert relative(gramian[0], np.array(GOLDEN["gramian_first_row"])) <= 1e-10
    assert relative(np.diag(gramian), np.array(GOLDEN["gramian_diag"])) <= 1e-10
    _, state, step = golden.prepare("engd", damping=1e-2, learning_rate=1.0)
    params, _, _ = step(golden.params, state, golden.batch)
    direction = vector(golden.numpy(params)) - vector(golden.start)
    assert relative(direction, np.array(GOLDEN["engd_full_direction_lam1e-2"])) <= 1e-10


@in_both
def test_golden_kfac_and_the_quadratic_model(golden):
    optimizer, state, _ = golden.prepare("kfac", damping=1e-3, decay=0.5)
    summary = partial(
        golden.part("optimizers.kfac").summarize, optimizer, state.preconditioner
    )
    terms = golden.objective.mean_over_points(summary, golden.params, golden.batch)
    _, gradient = golden.part("optimizers.kfac").losses_and_gradient(
        golden.objective, terms
    )
    directions, _ = golden.part("optimizers.kfac").precondition(
        optimizer, golden.objective, state.preconditioner, terms, gradient
    )
    expected = numbers(GOLDEN["kfac_direction_step0_identity_init_beta0.5_lam1e-3"])
    assert relative(golden.numpy(directions), expected) <= 1e-10
    recorded, part = GOLDEN["kfac_auto"], golden.part("optimizers.kfac_star")
    previous = golden.framework.backend.from_numpy(
        np.array(recorded["previous_update_flat"])
    )
    update = golden.part("passes.parameters").split_like(golden.params, previous)
    chunks = golden.objective.linearize_chunks(golden.params, golden.batch)
    matrix, slope = part.quadratic_model(
        golden.objective, chunks, gradient, [directions, update], 1e-3
    )
    assert relative(golden.numpy(matrix), np.array(recorded["matrix"])) <= 1e-10
    assert relative(golden.numpy(slope), np.array(recorded["rhs"])) <= 1e-10
    assert (
        relative(
            golden.numpy(part.minimize_quadratic(matrix, slope)),
            np.array(recorded["alpha_mu"]),
        )
        <= 1e-10
    )


@frameworks
@pytest.mark.parametrize(("network", "points"), [("tanh_5_4", 1), ("sin_3_3_3", 1)])
@pytest.mark.parametrize(
    "problem", [problems.get("heat_sum_2d"), coupled_2d], ids=lambda problem: problem.name
)
def test_boundary_factors_are_exact_for_one_point(framework, problem, network, points):
    case = small(framework, problem, network, boundary=points)
    assert_exact(case, case.objective.linearize(case.params, case.batch)["boundary"])


@frameworks
def test_boundary_factors_are_exact_for_one_linear_layer(framework):
    case = small(framework, coupled_2d, boundary=9)
    one_layer = [
        case.framework.backend.from_numpy(np.array([[0.3, -0.2, 0.1], [0.5, 0.7, -0.4]]))
    ]
    assert_exact(case, case.objective.linearize(one_layer, case.batch)["boundary"])


def assert_exact(case, term):
    """B ⊗ A is the block of (1/n) JᵀJ."""
    part = case.part("passes.linearization")
    blocks = zip(
        part.kronecker_factors(term, "expand", "type-2"),
        part.jacobian_blocks(term),
        strict=True,
    )
    for (A, B), rows in blocks:
        A, B, rows = case.numpy((A, B, rows))
        assert (
            relative(np.kron(B, A), rows.T @ rows / len(case.numpy(term.residual))) <= 1e-12
        )


def positive(generator, size, smallest=1e-2):
    root = generator.normal(size=(size, size))
    return root @ root.T + smallest * np.eye(size)


@frameworks
@pytest.mark.parametrize("rule", ["generalized_eigh", "generalized_eigh_by_root"])
def test_the_kronecker_sum_solve_equals_the_dense_solve(framework, rule):
    generator = np.random.default_rng(0)
    case = small(framework, coupled_2d)
    algebra, put = case.part("solvers.linear_algebra"), case.framework.backend.from_numpy
    shapes = [(4, 6), (6, 4), (1, 6)]  # of layers that share sizes, A's and B's too
    layers = [
        [positive(generator, size) for size in (columns, out, columns, out)]
        for out, columns in shapes
    ]
    sums = algebra.kronecker_sums(
        [tuple(map(put, layer)) for layer in layers], getattr(algebra, rule)
    )
    for shape, (A, B, A_c, B_c), inverse in zip(shapes, layers, sums, strict=True):
        right = generator.normal(size=shape)
        ours = case.numpy(inverse.solve(put(right)))
        dense = np.linalg.solve(np.kron(B, A) + np.kron(B_c, A_c), right.ravel())
        assert relative(ours.ravel(), dense) <= 1e-9
        assert relative(B @ ours @ A + B_c @ ours @ A_c, right) <= 1e-9


@frameworks
@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_a_layer_that_fails_leaves_those_of_its_size_alone(framework, bad):
    generator = np.random.default_rng(0)
    case = small(framework, coupled_2d)
    algebra, put = case.part("solvers.linear_algebra"), case.framework.backend.from_numpy
    good = [positive(generator, 4) for _ in range(4)]
    poor = [np.diag([1.0, bad, 2.0, 3.0]), *good[1:]]
    layers = [tuple(map(put, layer)) for layer in (good, poor, good)]
    sums = algebra.kronecker_sums(layers, algebra.generalized_eigh)
    solved = [case.numpy(each.solve(put(np.eye(4)))) for each in sums]
    assert np.isnan(solved[1]).any()
    assert np.isfinite(solved[0]).all()
    assert relative(solved[2], solved[0]) <= 1e-12


def test_a_matrix_that_does_not_converge_leaves_those_beside_it_alone(monkeypatch):
    torch = pytest.importorskip("torch")
    from optbench.implementations.torch.solvers import linear_algebra

    eigh = torch.linalg.eigh

    def refuse(matrices):
        if (matrices == 7).any():
            raise torch.linalg.LinAlgError("did not converge")
        return eigh(matrices)

    monkeypatch.setattr(torch.linalg, "eigh", refuse)
    matrices = torch.stack([torch.eye(3), 7 * torch.eye(3)])
    values, vectors = linear_algebra.eigh(matrices)
    assert values[0].tolist() == [1, 1, 1]
    assert vectors[0].isfinite().all()
    assert values[1].isnan().all()


@frameworks
def test_the_pseudo_inverse_drops_what_counts_as_zero(framework):
    generator = np.random.default_rng(1)
    case = small(framework, coupled_2d)
    algebra, put = case.part("solvers.linear_algebra"), case.framework.backend.from_numpy
    vectors = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    values = np.array([0.0, 1e-17, -1e-3, 2.0, 3.0])
    matrix, right = vectors * values @ vectors.T, generator.normal(size=5)
    ours = case.numpy(algebra.pseudo_inverse_solve(put(matrix), put(right)))
    assert (
        relative(ours, np.linalg.pinv(matrix, rcond=5 * 2.2e-16, hermitian=True) @ right)
        <= 1e-9
    )
    # eigenvalues just above and just below eps·n·max|w|
    values = np.array([-4.0, 0.5, 1.1 * 20 * EPS, 0.9 * 20 * EPS, 1.0])
    ours = case.numpy(algebra.pseudo_inverse_solve(put(np.diag(values)), put(values)))
    assert ours == pytest.approx([1, 1, 1, 0, 1], rel=1e-12)
    divided = case.numpy(
        case.part("optimizers.engd").divide(
            put(np.array([-0.5, 1.5])), 0.5, put(np.array([3.0, 3.0]))
        )
    )
    assert divided.tolist() == [0.0, 1.5]


@frameworks
@pytest.mark.parametrize(
    ("damping", "smallest"),
    [(1e-3, 0.0), (1e-3, 1.0), (0.0, 1.0), (1e-15, 0.0), (0.5, -1.0)],
)
def test_the_damped_solve_is_the_pseudo_inverse(framework, damping, smallest):
    """By Cholesky or not: damping that is rounding, a matrix that is not definite."""
    generator = np.random.default_rng(2)
    case = small(framework, coupled_2d)
    algebra, put = case.part("solvers.linear_algebra"), case.framework.backend.from_numpy
    vectors = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    matrix, right = (
        vectors * [smallest, 2.0, 3.0, 4.0, 50.0] @ vectors.T,
        generator.normal(size=5),
    )
    damped = matrix + damping * np.eye(5)
    ours = case.numpy(algebra.damped_solve(put(matrix), damping, put(right)))
    assert (
        relative(ours, np.linalg.pinv(damped, rcond=5 * 2.2e-16, hermitian=True) @ right)
        <= 1e-9
    )


@frameworks
@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_factorisations_answer_with_nan(framework, bad):
    case = small(framework, coupled_2d)
    algebra, put = case.part("solvers.linear_algebra"), case.framework.backend.from_numpy
    matrix = put(np.diag([1.0, bad, 2.0]))
    assert np.isnan(case.numpy(algebra.cholesky(matrix))).any()
    if np.isnan(bad):
        assert np.isnan(case.numpy(algebra.eigh(matrix)[0])).any()
        assert np.isnan(
            case.numpy(algebra.pseudo_inverse_solve(matrix, put(np.ones(3))))
        ).any()


@frameworks
def test_the_quadratic_model_s_minimum(framework):
    case = small(framework, coupled_2d)
    part, put = case.part("optimizers.kfac_star"), case.framework.backend.from_numpy
    scaled = np.diag([1.0, 1e-6])
    matrix, slope = (
        scaled @ np.array([[2.0, 0.7], [0.7, 1.0]]) @ scaled,
        scaled @ np.array([1.0, -3.0]),
    )
    solution = case.numpy(part.minimize_quadratic(put(matrix), put(slope)))
    assert relative(np.array(solution), -np.linalg.solve(matrix, slope)) <= 1e-12
    # along two parallel directions the shortest solution in scaled coordinates
    matrix = scaled @ np.ones((2, 2)) @ scaled
    solution = case.numpy(part.minimize_quadratic(put(matrix), put(scaled @ np.ones(2))))
    assert relative(np.array(solution), np.array([-0.5, -0.5e6])) <= 1e-9
    # without a last update there is one direction
    solution = case.numpy(
        part.minimize_quadratic(put(np.diag([4.0, 0.0])), put(np.array([2.0, 0.0])))
    )
    assert np.array(solution).tolist() == [-0.5, 0.0]


@frameworks
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("distance", "kept"), [(2.5e-14, True), (1.5e-14, False)])
def test_the_quadratic_model_s_cut_off(framework, sign, distance, kept):
    """Directions parallel but for 1 − |c|, just above or below 1e-14 (1 + |c|)."""
    case = small(framework, coupled_2d)
    part, put = case.part("optimizers.kfac_star"), case.framework.backend.from_numpy
    c = sign * (1 - distance)
    solution = case.numpy(
        part.minimize_quadratic(
            put(np.array([[1.0, c], [c, 1.0]])), put(np.array([2.0, sign]))
        )
    )
    large, small_ = 3 / (1 + abs(c)), kept / (1 - abs(c))
    expected = [-(large + small_) / 2, -sign * (large - small_) / 2]
    assert np.array(solution) == pytest.approx(expected, rel=1e-12)
