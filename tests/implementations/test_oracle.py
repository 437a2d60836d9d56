"""The oracle against the golden numbers, against closed forms and against itself."""

import numpy as np
import oracle
import oracle_steps
import pytest
from golden import GOLDEN, golden_batch, numbers
from made_up import coupled_2d

from optbench import problems

POISSON = problems.get("poisson_sine_2d")
CASES = [
    POISSON,
    problems.get("heat_sine_1d"),
    problems.get("log_fokker_planck_2d"),
    coupled_2d,
]
every_case = pytest.mark.parametrize("problem", CASES, ids=lambda problem: problem.name)
activations = pytest.mark.parametrize("activation", ["tanh", "sin"])
approximations = pytest.mark.parametrize("approximation", ["expand", "reduce"])
trajectories = pytest.mark.parametrize(
    ("steps", "options"),
    [
        (oracle_steps.engd_steps, {"damping": 1e-2}),
        (
            oracle_steps.engd_steps,
            {"damping": 1e-2, "decay": 0.3, "kind": "engd_per_layer"},
        ),
        (
            oracle_steps.engd_steps,
            {"damping": 1e-2, "identity_init": True, "decay": 0.3, "kind": "engd_diagonal"},
        ),
        (oracle_steps.kfac_steps, {"damping": 1e-3, "damping_rule": "trace-norm"}),
        (
            oracle_steps.kfac_steps,
            {
                "damping": 1e-3,
                "momentum": 0,
                "curvature": "empirical",
                "factor_interval": 2,
            },
        ),
        (oracle_steps.kfac_star_steps, {"damping": 1e-3, "decay": 0.5}),
    ],
)


def close(one, other, rel=1e-10):
    one, other = (
        oracle.flat(numbers) if isinstance(numbers, list) else np.ravel(numbers)
        for numbers in (one, other)
    )
    assert one.shape == other.shape
    assert np.linalg.norm(one - other) <= rel * np.linalg.norm(other)


@pytest.fixture
def golden():
    return POISSON, numbers(GOLDEN["W"]), golden_batch()


def case(problem, network="tanh_4_3", points=5):
    params = problems.networks.initial_parameters(
        network, problem.inputs, problem.outputs, 3
    )
    numbers = dict.fromkeys(problem.terms, points - 1) | {"interior": points}
    return problem, params, problems.seeds.batch(problem, 3, 0, numbers)


def terms(problem, batch):
    return [(term, batch[name]) for name, term in problem.terms.items()]


def golden_kfac(golden):
    kronecker = oracle_steps.Kronecker(*golden[:2], damping=1e-3, decay=0.5)
    return kronecker.direction(*golden[1:], oracle.gramian_and_gradient(*golden)[1])


def test_golden_residuals_losses_gradient(golden):
    (interior, points), (boundary, condition) = terms(golden[0], golden[2])
    close(oracle.residual(interior, golden[1], points), GOLDEN["residual_interior"])
    close(oracle.residual(boundary, golden[1], condition), GOLDEN["residual_boundary"])
    losses = oracle.losses(*golden)
    close(list(losses.values()), [GOLDEN["loss_interior"], GOLDEN["loss_boundary"]])
    close(oracle.gramian_and_gradient(*golden)[1], numbers(GOLDEN["gradient"]))


@approximations
@pytest.mark.parametrize("curvature", ["type-2", "empirical", "forward-only"])
def test_golden_factors(golden, approximation, curvature):
    for (term, points), key in zip(
        terms(golden[0], golden[2]), ("kfac_interior", "kfac_boundary"), strict=True
    ):
        linear = oracle.linearized(term, golden[1], points)
        A, B = zip(*oracle.kronecker_factors(linear, approximation, curvature), strict=True)
        recorded = GOLDEN[key][approximation]
        name = {"type-2": "B_type2", "empirical": "B_empirical"}.get(curvature)
        identities = [np.eye(len(matrix)) for matrix in golden[1]]
        expected = numbers(recorded["A"]) + (
            numbers(recorded[name]) if name else identities
        )
        for factor, matrix in zip(A + B, expected, strict=True):
            close(factor, matrix)


def test_golden_gramian_and_engd(golden):
    G, gradient = oracle.gramian_and_gradient(*golden)
    close(np.trace(G), GOLDEN["gramian_trace"])
    close(np.diag(G), GOLDEN["gramian_diag"])
    close(G[0], GOLDEN["gramian_first_row"])
    blocks = oracle_steps.blocks("engd", golden[1])
    close(
        oracle_steps.engd_direction(G, gradient, blocks, 1e-2),
        GOLDEN["engd_full_direction_lam1e-2"],
    )


def test_golden_kfac_and_kfac_star(golden):
    direction, recorded = golden_kfac(golden), GOLDEN["kfac_auto"]
    close(direction, numbers(GOLDEN["kfac_direction_step0_identity_init_beta0.5_lam1e-3"]))
    previous = np.array(recorded["previous_update_flat"])
    model = oracle_steps.quadratic_model(
        direction, previous, *oracle.gramian_and_gradient(*golden), 1e-3
    )
    close(model[0], recorded["matrix"])
    close(model[1], recorded["rhs"])
    close(oracle_steps.step_size_and_momentum(*model), recorded["alpha_mu"])


@every_case
@activations
def test_jacobian_is_inputs_times_cotangents(problem, activation):
    _, params, batch = case(problem)
    for term, points in terms(problem, batch):
        network = oracle.Network(activation)
        linear = oracle.linearized(term, params, points, network)
        pairs = zip(linear.inputs, linear.cotangents, strict=True)
        rows = [
            np.einsum("csno,sni->ncoi", q, a).reshape(linear.residual.size, -1)
            for a, q in pairs
        ]
        close(np.hstack(rows), oracle.jacobian(term, params, points, network), 1e-13)


@every_case
@pytest.mark.parametrize("curvature", ["type-2", "empirical"])
def test_factors_are_exact_at_one_boundary_point(problem, curvature):
    """With S = n = 1: B ⊗ A = Σ_c JᵀJ of the layer, or its gradient's outer product."""
    _, params, batch = case(problem, points=2)
    J = oracle.jacobian(problem.boundary, params, batch["boundary"])
    linear = oracle.linearized(problem.boundary, params, batch["boundary"])
    if curvature == "empirical":
        J = linear.residual @ J
    factors, start = oracle.kronecker_factors(linear, curvature=curvature), 0
    for (A, B), matrix in zip(factors, params, strict=True):
        block = J[:, start : (start := start + matrix.size)]
        close(np.kron(B, A), block.T @ block, 1e-12)


@activations
def test_jet_equals_a_closed_form(activation):
    """u = Σ_k c_k σ(w_k·x + b_k): ∇u = Σ_k c_k σ′ w_k, tr(A∇²u) = Σ_k c_k σ″ w_kᵀAw_k."""
    problem, params, batch = case(coupled_2d, "tanh_4")
    (x, _), operator = batch["interior"], problem.interior.operator
    A = operator.diffusion
    (W, b), (C, shift) = ((matrix[:, :-1], matrix[:, -1]) for matrix in params)
    value, first, second = oracle.ACTIVATIONS[activation](x @ W.T + b)
    network = oracle.Network(activation)
    jet = oracle.jet(operator, oracle.forward(operator, params, x, network)[1], x)
    close(jet.value, value @ C.T + shift, 1e-13)
    close(jet.gradient, np.einsum("mk,nk,ki->nim", C, first, W), 1e-13)
    close(jet.curvature, np.einsum("mk,nk,ki,ij,kj->nm", C, second, W, A, W), 1e-13)


@activations
def test_activations_are_complex_steps_of_each_other(activation):
    z = np.linspace(-2, 2, 9)
    _, first, second = oracle.ACTIVATIONS[activation](z)
    nearby = oracle.ACTIVATIONS[activation](z + 1j * oracle.H)
    close(nearby[0].imag / oracle.H, first, 1e-14)
    close(nearby[1].imag / oracle.H, second, 1e-14)


@every_case
def test_gradient_is_the_slope_of_the_loss(problem):
    _, params, batch = case(problem)
    theta, slope = (
        oracle.flat(params),
        oracle.gramian_and_gradient(problem, params, batch)[1],
    )
    for index in range(0, len(theta), 7):
        step = np.eye(len(theta))[index] * 1e-5
        above, below = (
            oracle.loss(problem, oracle.like(params, theta + s), batch)
            for s in (step, -step)
        )
        assert (above - below) / 2e-5 == pytest.approx(slope[index], rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("rule", ["same", "trace-norm"])
def test_kronecker_sum_solve_solves_the_matrix_equation(rule):
    generator = np.random.default_rng(0)
    roots = [
        (generator.normal(size=(4, 5)), generator.normal(size=(3, 4))) for _ in range(2)
    ]
    interior, boundary = (
        oracle_steps.damped(a.T @ a, b.T @ b, 1e-2, rule) for a, b in roots
    )
    gradient = generator.normal(size=(4, 5))
    X = oracle_steps.kronecker_sum_solve(interior, boundary, gradient)
    close(interior[1] @ X @ interior[0] + boundary[1] @ X @ boundary[0], gradient)


def test_trace_norm_splits_the_damping_by_the_mean_eigenvalues():
    A, B = oracle_steps.damped(8 * np.eye(3), 2 * np.eye(2), 0.01, "trace-norm")
    close(A, 8.2 * np.eye(3))  # π = √(8/2)
    close(B, 2.05 * np.eye(2))


@pytest.mark.parametrize(
    ("loss", "step"),
    [
        (lambda at: (at - 0.25) ** 2, 0.25),
        (lambda at: 0 * at, 2.0**-30),  # ties: the smallest candidate, not 0
        (lambda at: at, 0.0),  # the start is strictly better
        (lambda at: np.nan, 0.0),
        (lambda at: np.inf, 0.0),
        (lambda at: np.nan if at == 0 else 1 - at, 1.0),
        (lambda at: np.nan if at < 0.5 else at, 0.5),
    ],
)
def test_grid_line_search(loss, step):
    assert oracle_steps.grid_line_search(loss, 0.0, 1.0) == step


def test_pseudo_inverse_drops_what_is_rounding():
    matrix, vector = np.diag([2.0, 1e-17, 0.0]), np.ones(3)
    close(oracle_steps.pseudo_inverse_solve(matrix, vector), [0.5, 0, 0])
    close(oracle_steps.pseudo_inverse_solve(np.zeros((1, 1)), np.ones(1)), [0.0])
    close(oracle_steps.pseudo_inverse_solve(np.array([[-4.0]]), np.ones(1)), [-0.25])


@pytest.mark.parametrize(
    ("gap", "expected"), [(1e-15, [-0.375, -0.375]), (0.5, [0.0, -1.0])]
)
def test_the_two_by_two_system_drops_rounding(gap, expected):
    matrix = np.array([[1.0, 1 - gap], [1 - gap, 1.0]])
    close(oracle_steps.step_size_and_momentum(matrix, np.array([0.5, 1.0])), expected)


def test_two_parallel_directions_share_the_step():
    """δ = 2Δ: a singular 2×2 system, scaled: both get the same share of the minimiser."""
    G, gradient, direction = np.diag([3.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 1.0])
    model = oracle_steps.quadratic_model(direction, 2 * direction, G, gradient, 0.5)
    alpha, mu = oracle_steps.step_size_and_momentum(*model)
    assert alpha + 2 * mu == pytest.approx(-3 / 5)  # -∇L·Δ / Δᵀ(G + λ)Δ
    assert alpha == pytest.approx(2 * mu)


@pytest.mark.parametrize("kind", ["engd", "engd_per_layer"])
def test_engd_solves_linear_least_squares_in_one_step(kind):
    """A linear u has Δu = 0 = f: the undamped step ends at the quadratic loss's minimum."""
    problem, params, batch = case(problems.get("poisson_harmonic_2d"))
    (end,) = oracle_steps.engd_steps(problem, [params[0][:1]], batch, 1, kind, damping=0.0)
    x, g = batch["boundary"]
    close(end, [np.linalg.lstsq(np.c_[x, np.ones(len(x))], g, rcond=None)[0].T])


def test_engd_per_layer_solves_each_block(golden):
    G, gradient = oracle.gramian_and_gradient(*golden)
    (end,) = oracle_steps.engd_steps(
        *golden, 1, "engd_per_layer", damping=1e-2, learning_rate=1.0
    )
    direction, start = oracle.flat(end) - oracle.flat(golden[1]), 0
    for matrix in golden[1]:
        block = slice(start, start := start + matrix.size)
        damped = G[block, block] + 1e-2 * np.eye(matrix.size)
        close(damped @ direction[block], -gradient[block], 1e-9)


def test_diagonal_engd_divides_by_the_averaged_diagonal(golden):
    G, gradient = oracle.gramian_and_gradient(*golden)
    options = {"damping": 1e-2, "decay": 0.3, "identity_init": True, "learning_rate": 0.5}
    (end,) = oracle_steps.engd_steps(*golden, 1, "engd_diagonal", **options)
    expected = -0.5 * gradient / (0.3 + 0.7 * np.diag(G) + 1e-2)
    close(oracle.flat(end) - oracle.flat(golden[1]), expected)


@trajectories
@every_case
def test_losses_fall_along_trajectories(problem, steps, options):
    path = [case(problem)[1], *steps(*case(problem), 4, **options)]
    values = [oracle.loss(problem, params, case(problem)[2]) for params in path]
    assert np.isfinite(values).all()
    assert values[-1] < values[0]
    if steps is not oracle_steps.kfac_star_steps:  # the line search never goes up
        assert (np.diff(values) <= 0).all()


def test_first_steps_follow_the_golden_direction(golden):
    theta, direction = oracle.flat(golden[1]), golden_kfac(golden)
    options = {"damping": 1e-3, "decay": 0.5}
    (fixed,) = oracle_steps.kfac_steps(*golden, 1, learning_rate=0.1, **options)
    close(oracle.flat(fixed), theta + 0.1 * direction)
    (first,) = oracle_steps.kfac_star_steps(*golden, 1, **options)
    close(oracle.flat(first), theta + 1e-6 * direction)


@pytest.mark.parametrize("interval", ["factor_interval", "inverse_interval"])
def test_momentum_is_not_scaled_and_histories_have_intervals(golden, interval):
    """With a constant step size, θ₂ - θ₁ = rate·(½ Δ₀ + Δ₁).

    Δ₁ uses step 0's factors where the interval is 2.
    """
    options = {"damping": 1e-3, "decay": 0.5, "momentum": 0.5, "learning_rate": 0.1}
    problem, params, batch = golden
    first, second = oracle_steps.kfac_steps(*golden, 2, **{interval: 2}, **options)
    kronecker = oracle_steps.Kronecker(
        problem, params, damping=1e-3, decay=0.5, **{interval: 2}
    )
    start = kronecker.direction(params, batch, oracle.gramian_and_gradient(*golden)[1])
    gradient = oracle.gramian_and_gradient(problem, first, batch)[1]
    stale = [
        oracle_steps.kronecker_sum_solve(*pairs, matrix)
        for pairs, matrix in zip(
            kronecker.damped, oracle.like(params, gradient), strict=True
        )
    ]
    close(
        oracle.flat(second) - oracle.flat(first),
        0.1 * (0.5 * start - oracle.flat(stale)),
        1e-9,
    )
    fresh = oracle_steps.kfac_steps(*golden, 2, **options)
    assert np.linalg.norm(oracle.flat(fresh[1]) - oracle.flat(second)) > 1e-6
