"""Slow, obvious NumPy oracle: n steps of ENGD, KFAC, KFAC* and Hessian-free.

Written from the mathematics alone.
"""

import numpy as np
from oracle import (
    TANH,
    flat,
    gramian_and_gradient,
    kronecker_factors,
    like,
    linearized,
    loss,
    merged_factors,
)

GRID = 2.0 ** np.arange(-30, 1)


def grid_line_search(loss, theta, direction):
    """The step size α in GRID of smallest loss(θ + α·direction), or 0.

    NaN counts as +inf; smallest α on ties; 0 only where it is strictly better than all or
    nothing is finite.
    """
    with np.errstate(all="ignore"):
        start, *tried = (
            np.nan_to_num(loss(theta + a * direction), nan=np.inf, posinf=np.inf)
            for a in [0, *GRID]
        )
    best = int(np.argmin(tried))
    return 0.0 if start < tried[best] or tried[best] == np.inf else GRID[best]


def moved(problem, params, batch, direction, learning_rate, network):
    """θ + α·direction, α from the grid where learning_rate is None."""
    theta = flat(params)
    if learning_rate is None:
        learning_rate = grid_line_search(
            lambda at: loss(problem, like(params, at), batch, network),
            theta,
            direction,
        )
    return like(params, theta + learning_rate * direction)


def pseudo_inverse_solve(matrix, vector):
    """The minimum-norm solution of a system with a symmetric matrix [n, n].

    Eigenvalues |w| ≤ eps·n·max|w| are dropped.
    """
    w, V = np.linalg.eigh(matrix)
    kept = np.abs(w) > np.finfo(float).eps * len(w) * np.abs(w).max()
    return V[:, kept] @ ((V[:, kept].T @ vector) / w[kept])


def blocks(kind, params):
    """Indices of the parameters solved for together: all, a layer's, each alone."""
    everything = np.arange(len(flat(params)))
    layers = [part.ravel() for part in like(params, everything)]
    return {
        "engd": [everything],
        "engd_per_layer": layers,
        "engd_diagonal": list(everything[:, None]),
    }[kind]


def engd_direction(G, gradient, indices, damping):
    """-(G + λI)⁺ ∇L [D], block by block."""
    direction = np.zeros(len(gradient))
    for block in indices:
        damped = G[np.ix_(block, block)] + damping * np.eye(len(block))
        direction[block] = -pseudo_inverse_solve(damped, gradient[block])
    return direction


def engd_steps(
    problem, params, batch, n, kind="engd", damping=1e-8, decay=0.0, identity_init=False,
    learning_rate=None, network=TANH,
):  # fmt: skip
    """Parameters after each of n steps on one batch.

    `kind` is engd, engd_per_layer or engd_diagonal.
    """
    history = np.eye(len(flat(params))) * identity_init
    path = []
    for _ in range(n):
        G, gradient = gramian_and_gradient(problem, params, batch, network)
        history = decay * history + (1 - decay) * G
        direction = engd_direction(history, gradient, blocks(kind, params), damping)
        params = moved(problem, params, batch, direction, learning_rate, network)
        path.append(params)
    return path


def damped(A, B, damping, rule="same"):
    """A and B with their multiples of the identity.

    λ each ("same"), √λ·π and √λ/π ("trace-norm"), or √λ tr/dim of each ("relative").
    """
    on_A = on_B = damping
    if rule == "relative":
        on_A, on_B = (np.sqrt(damping) * np.trace(M) / len(M) for M in (A, B))
    if rule == "trace-norm":
        pi = np.sqrt((np.trace(A) / len(A)) / (np.trace(B) / len(B)))
        on_A, on_B = np.sqrt(damping) * pi, np.sqrt(damping) / pi
    return A + on_A * np.eye(len(A)), B + on_B * np.eye(len(B))


def kronecker_sum_solve(interior, boundary, gradient):
    """X [out, in + 1] with B X A + B_b X A_b = gradient, by the dense matrix.

    The pairs are (A, B) and (A_b, B_b).
    """
    dense = sum(
        np.kron(B, A) for A, B in (interior, boundary)
    )  # row-major: vec(B X A) = (B ⊗ A) vec(X), A symmetric
    return np.linalg.solve(dense, gradient.ravel()).reshape(gradient.shape)


class Kronecker:
    """KFAC's factors with their history: `direction` is called once per step."""

    def __init__(
        self, problem, params, damping=1e-8, decay=0.9, identity_init=True,
        factor_interval=1, inverse_interval=1, approximation="expand", curvature="type-2",
        damping_rule="same", network=TANH,
    ):  # fmt: skip
        self.problem, self.network = problem, network
        self.damping, self.decay, self.rule = damping, decay, damping_rule
        self.intervals, self.kind, self.step = (
            (factor_interval, inverse_interval),
            (approximation, curvature),
            0,
        )
        self.factors = [  # of every layer: A, B, A_c, B_c
            tuple(identity_init * np.eye(size) for size in 2 * matrix.shape[::-1])
            for matrix in params
        ]

    def direction(self, params, batch, gradient):
        """Δ = -X of every layer [D]; history and damped factors are brought up to date."""
        if self.step % self.intervals[0] == 0:
            pairs = zip(self.factors, self.of_batch(params, batch), strict=True)
            self.factors = [
                tuple(
                    self.decay * old + (1 - self.decay) * new
                    for old, new in zip(*layer, strict=True)
                )
                for layer in pairs
            ]
        if self.step % self.intervals[1] == 0:
            self.damped = [
                (
                    damped(A, B, self.damping, self.rule),
                    damped(A_c, B_c, self.damping, self.rule),
                )
                for A, B, A_c, B_c in self.factors
            ]
        self.step += 1
        return -flat(
            [
                kronecker_sum_solve(*pairs, matrix)
                for pairs, matrix in zip(self.damped, like(params, gradient), strict=True)
            ]
        )

    def of_batch(self, params, batch):
        """The four factors of every layer, weighted and merged."""
        terms = self.problem.terms.items()
        factors = {
            name: kronecker_factors(
                linearized(term, params, batch[name], self.network), *self.kind
            )
            for name, term in terms
        }
        return merged_factors(self.problem, factors)


def kfac_steps(
    problem, params, batch, n, momentum=0.5, learning_rate=None, network=TANH,
    guard=False, **options,
):  # fmt: skip
    """Parameters after each of n steps on one batch; `options` are Kronecker's."""
    kronecker, buffer, path = Kronecker(problem, params, network=network, **options), 0, []
    for _ in range(n):
        gradient = gramian_and_gradient(problem, params, batch, network)[1]
        direction = kronecker.direction(params, batch, gradient)
        buffer = momentum * buffer + direction  # un-scaled by the step size
        before, params = (
            params,
            moved(problem, params, batch, buffer, learning_rate, network),
        )
        if guard and np.array_equal(flat(before), flat(params)):
            buffer = 0 * buffer
        path.append(params)
    return path


def quadratic_model(direction, previous, G, gradient, damping):
    """KFAC*'s matrix [2, 2] and right-hand side [2] in the plane of Δ and δ."""
    plane = np.stack([direction, previous], 1)
    return plane.T @ G @ plane + damping * plane.T @ plane, plane.T @ gradient


def step_size_and_momentum(matrix, rhs):
    """(α, μ) = -matrix⁺ rhs: scaled to unit diagonal, of minimum norm.

    Eigenvalues up to 1e-14 of the largest are dropped.
    """
    scale = np.sqrt(np.diag(matrix))
    return (
        -np.linalg.pinv(matrix / np.outer(scale, scale), rcond=1e-14, hermitian=True)
        @ (rhs / scale)
        / scale
    )


LENGTHS = 4.0 ** -np.arange(7)


def guarded(loss, update):
    """The best of `update` times LENGTHS, or zero where none is below loss(0).

    NaN counts as +inf; the longest on ties.
    """
    with np.errstate(all="ignore"):
        tried = np.nan_to_num(
            [loss(length * update) for length in LENGTHS], nan=np.inf, posinf=np.inf
        )
    best = int(np.argmin(tried))
    return LENGTHS[best] * update if tried[best] < loss(0 * update) else 0 * update


def kfac_star_steps(
    problem, params, batch, n, damping=1e-8, network=TANH, guard=False, **options
):
    """Parameters after each of n steps on one batch; `options` are Kronecker's."""
    kronecker = Kronecker(problem, params, damping=damping, network=network, **options)
    update, path = None, []
    if options.get("damping_rule") == "relative":
        damping = 0.0  # of the 2×2 system
    for _ in range(n):
        G, gradient = gramian_and_gradient(problem, params, batch, network)
        direction = kronecker.direction(params, batch, gradient)
        if guard:
            along = [direction / np.linalg.norm(direction)]
            if update is not None and update.any():
                along.append(update / np.linalg.norm(update))
            plane = np.stack(along, 1)
            matrix = plane.T @ G @ plane + damping * plane.T @ plane
            update = guarded(
                lambda step, at=params: loss(
                    problem, like(at, flat(at) + step), batch, network
                ),
                plane @ step_size_and_momentum(matrix, plane.T @ gradient),
            )
        elif update is None:
            update = 1e-6 * direction
        else:
            model = quadratic_model(direction, update, G, gradient, damping)
            alpha, mu = step_size_and_momentum(*model)
            update = alpha * direction + mu * update
        params = like(params, flat(params) + update)
        path.append(params)
    return path


def truncated_cg(A, b, x, cap):
    """Iterates and models of CG on A x = b from x, and why it ended.

    It ends as "solved", "cap" or "progress".
    """
    r = A @ x - b
    p, xs, models = -r, [x], [0.5 * (r - b) @ x]
    while True:
        i = len(xs) - 1
        k = max(10, int(i / 10))
        if i > k and (models[i] - models[i - k]) / (models[i] - models[0]) < 5e-4:
            return xs, models, "progress"
        if i >= cap:
            return xs, models, "cap"
        if np.isnan(r).any() or np.linalg.norm(r) < 1e-5 * np.linalg.norm(b):
            return xs, models, "solved"
        alpha = (r @ r) / (p @ A @ p)
        before, x, r = r @ r, x + alpha * p, r + alpha * A @ p
        p = (r @ r) / before * p - r
        xs.append(x)
        models.append(0.5 * (r - b) @ x)


def stored_iterations(last, cap):
    """{⌈1.3ʲ⌉ − 1} up to the last iteration, and that."""
    grid = {
        int(np.ceil(1.3**j)) - 1
        for j in range(int(np.ceil(np.log(cap + 1) / np.log(1.3))) + 1)
    }
    return sorted({i for i in grid if i < last} | {last})


def changed_damping(damping, ratio):
    """λ after a step whose loss changed by `ratio` times the model's change."""
    return (
        damping * 3 / 2 if ratio < 1 / 4 else damping * 2 / 3 if ratio > 3 / 4 else damping
    )


def armijo_size(loss, slope):
    """The first α of 0.8^0 … 0.8^19 with loss(α) ≤ loss(0) + 0.01 α slope; its power.

    Where there is none: 0 and None.
    """
    for power in range(20):
        if loss(0.8**power) <= loss(0.0) + 0.01 * 0.8**power * slope:
            return 0.8**power, power
    return 0.0, None


def hessian_free_steps(
    problem,
    params,
    batch,
    n,
    damping=1.0,
    adapt_damping=True,
    cg_max_iterations=250,
    cg_decay=0.95,
    network=TANH,
):
    """(parameters, λ, events) after each of n steps on one batch.

    `events` are why CG ended, which of the stored iterates counted from the last was taken,
    and Armijo's power.
    """

    def loss_at(at):
        return loss(problem, like(params, at), batch, network)

    theta, x, path = flat(params), np.zeros(len(flat(params))), []
    for _ in range(n):
        G, gradient = gramian_and_gradient(problem, like(params, theta), batch, network)
        xs, models, why = truncated_cg(
            G + damping * np.eye(len(theta)), -gradient, x, cg_max_iterations
        )
        if adapt_damping:
            fall = loss_at(theta + xs[-1]) - loss_at(theta + xs[0])
            damping = changed_damping(damping, fall / (models[-1] - models[0]))
        stored = stored_iterations(len(xs) - 1, cg_max_iterations)
        chosen = len(stored) - 1
        while chosen > 0 and loss_at(theta + xs[stored[chosen - 1]]) < loss_at(
            theta + xs[stored[chosen]]
        ):
            chosen -= 1
        s = xs[stored[chosen]]
        alpha, power = armijo_size(
            lambda a, s=s, theta=theta: loss_at(theta + a * s), gradient @ s
        )
        theta, x = theta + alpha * s, cg_decay * xs[-1]
        path.append((like(params, theta), damping, (why, len(stored) - 1 - chosen, power)))
    return path


def nystrom_sketch(C, directions):
    """U, Λ and ν of a dense C from directions Ω; ν is raised where C is indefinite."""
    images, eps = C @ directions, np.finfo(float).eps
    shift = eps * np.linalg.norm(images)

    def core(shift):
        matrix = directions.T @ (images + shift * directions)
        return (matrix + matrix.T) / 2

    try:
        root = np.linalg.cholesky(core(shift))
    except np.linalg.LinAlgError:
        values = np.linalg.eigvalsh(core(shift))
        shift += abs(values[0]) + eps * len(values) * np.abs(values).max()
        root = np.linalg.cholesky(core(shift))
    quotient = np.linalg.solve(root, (images + shift * directions).T).T
    U, s, _ = np.linalg.svd(quotient, full_matrices=False)
    return U, np.maximum(s**2 - shift, 0), shift


def nystrom_inverse(U, values, damping):
    """P⁻¹, dense."""
    inside = (values[-1] + damping) * (U / (values + damping)) @ U.T
    return inside + np.eye(len(U)) - U @ U.T


def preconditioned_cg(A, b, x, inverse, tolerance, cap):
    """The last iterate, how many iterations were done, and whether a flat line ended it."""
    residual = b - A @ x
    ahead = inverse @ residual
    direction, square = ahead, residual @ ahead
    for iteration in range(cap):
        if not np.linalg.norm(residual) > tolerance:
            return x, iteration, False
        curvature = direction @ A @ direction
        if not curvature > 0:
            return x, iteration, True
        x = x + square / curvature * direction
        residual = residual - square / curvature * (A @ direction)
        ahead = inverse @ residual
        before, square = square, residual @ ahead
        direction = ahead + square / before * direction
    return x, cap, False


def nystrom_newton_steps(
    expand,
    loss,
    theta,
    n,
    signs,
    rank=60,
    sketch_interval=20,
    damping=1e-6,
    cg_tolerance=1e-10,
    cg_max_iterations=200,
):
    """(parameters, events) after each of n steps.

    `expand` gives C and g at θ [D], `signs` the random ones [D, rank] of a refresh. Events
    are how many iterations CG did, whether it went along −P⁻¹g, and the halvings, None for
    a stall.
    """
    start, path = np.zeros_like(theta), []
    for step in range(n):
        C, g = expand(theta)
        A = C + damping * np.eye(len(g))
        if step % sketch_interval == 0:
            drawn = signs(step // sketch_interval, len(g), min(rank, len(g)))
            U, values, _ = nystrom_sketch(C, np.linalg.qr(drawn)[0])
        inverse = nystrom_inverse(U, values, damping)
        tolerance = max(1e-16, cg_tolerance * np.linalg.norm(g))
        d, iterations, flat = preconditioned_cg(
            A, -g, start, inverse, tolerance, cg_max_iterations
        )
        reset = bool(
            (flat and iterations == 0) or not np.isfinite(d).all() or not g @ d < 0
        )
        d, before = -inverse @ g if reset else d, loss(theta)
        halvings = next(
            (j for j in range(61) if loss(theta + d / 2**j) <= before + g @ d / 2**j / 10),
            None,
        )
        if halvings is not None:
            theta = theta + d / 2**halvings
        start = np.zeros_like(d) if reset or halvings is None else d
        path.append((theta, (iterations, reset, halvings)))
    return path
