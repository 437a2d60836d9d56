"""Small problems of several terms: of third and fourth order, a system, a periodic one.

Their solutions are closed forms. Each is a function of what a test spoils in it.
"""

from dataclasses import replace

import numpy as np

from optbench.problems.domains import outward_normal, slice_at, walls, whole
from optbench.problems.jets import along, partial, trace
from optbench.problems.problem import DIRICHLET, Operator, Periodic, Problem, Term


def norm(solution, lower, upper):
    """(E |u*|²)^½ over a box of two inputs, by Gauss's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    unit = (np.stack(np.meshgrid(nodes, nodes), -1).reshape(-1, 2) + 1) / 2
    square = (solution(lower + unit * (upper - lower)) ** 2).sum(1)
    return float(np.sqrt(np.outer(weights, weights).ravel() @ square / 4))


def problem(name, lower, upper, solution, terms, outputs=1, **given):
    """A problem of two inputs."""
    return Problem(
        name=name,
        dim=2,
        outputs=outputs,
        terms=terms,
        bounds=(lower, upper),
        solution=solution,
        solution_norm=norm(solution, lower, upper),
        resample_every=0,
        networks=("tanh_5_4",),
        reference="made up for these tests",
        **given,
    )


def nothing(components=1):
    return lambda x: np.zeros((len(x), components))


# -- Korteweg and de Vries's equation: u_t + 6 u u_x + u_xxx = 0, one soliton --
LOWER, UPPER = np.array([0.0, -3.0]), np.array([1.0, 5.0])
OUTWARD = outward_normal(LOWER, UPPER, [1])
THIRD = {"u_t": partial(0), "u_x": partial(1), "u_xxx": partial(1, 1, 1)}


def soliton(x):
    return 2 / np.cosh(x[:, 1:] - 4 * x[:, :1]) ** 2


def soliton_slope(x):
    return -2 * np.tanh(x[:, 1:] - 4 * x[:, :1]) * soliton(x)


def kdv(
    reads=THIRD,
    residual=lambda jet, x, y: jet.u_t + 6 * jet.value * jet.u_x + jet.u_xxx - y,
    normal=OUTWARD,
):
    """Pose it with values and normal derivatives at both ends."""
    ends = walls(LOWER, UPPER, [1])
    slope = Operator(lambda jet, x, y: jet.u_n - y, reads={"u_n": along(normal)})

    def outward(x):
        return np.where(x[:, 1:] == UPPER[1], 1, -1) * soliton_slope(x)

    terms = {
        "interior": Term.of(
            Operator(residual, reads=reads), whole(LOWER, UPPER), nothing(), 50
        ),
        "initial": Term.of(
            DIRICHLET, slice_at(LOWER, UPPER, {0: 0.0}), soliton, 20, weight=10.0
        ),
        "boundary": Term.of(DIRICHLET, ends, soliton, 20),
        "slope": Term.of(slope, ends, outward, 20),
    }
    return problem("kdv_1d", LOWER, UPPER, soliton, terms, axes=("t", "x"), march=100)


# -- steady Navier-Stokes: Kovasznay's flow, three unknowns in three equations --
REYNOLDS = 40.0
RATE = REYNOLDS / 2 - np.sqrt(REYNOLDS**2 / 4 + 4 * np.pi**2)
FLOW = {"w_x": partial(0), "w_y": partial(1), "lap": trace([1.0, 1.0])}
FLOW_LOWER, FLOW_UPPER = np.array([-0.5, -0.5]), np.array([1.0, 1.5])


def flow(x):
    e, phase = np.exp(RATE * x[:, 0]), 2 * np.pi * x[:, 1]
    return np.stack(
        [
            1 - e * np.cos(phase),
            RATE / (2 * np.pi) * e * np.sin(phase),
            (1 - e**2) / 2,
        ],
        1,
    )


def momentum(jet, x, y):
    (u, v), (w_x, w_y, lap) = (
        (jet.value[:, :1], jet.value[:, 1:2]),
        (jet.w_x, jet.w_y, jet.lap),
    )
    return (
        u * w_x[:, :1] + v * w_y[:, :1] + w_x[:, 2:] - lap[:, :1] / REYNOLDS - y[:, :1],
        u * w_x[:, 1:2] + v * w_y[:, 1:2] + w_y[:, 2:] - lap[:, 1:2] / REYNOLDS - y[:, 1:2],
        w_x[:, :1] + w_y[:, 1:2] - y[:, 2:],
    )


def kovasznay(residual=momentum, reads=FLOW):
    """Pose it with all unknowns on the boundary."""
    terms = {
        "interior": Term.of(
            Operator(residual, reads=reads), whole(FLOW_LOWER, FLOW_UPPER), nothing(3), 50
        ),
        "boundary": Term.of(DIRICHLET, walls(FLOW_LOWER, FLOW_UPPER, [0, 1]), flow, 20),
    }
    return problem("kovasznay_2d", FLOW_LOWER, FLOW_UPPER, flow, terms, outputs=3)


# -- convection around a circle, u_t + 4 u_x = 0, with one place where u is given --
ROUND_LOWER, ROUND_UPPER = np.zeros(2), np.array([1.0, 2 * np.pi])


def wave(x):
    return np.sin(x[:, 1:] - 4 * x[:, :1])


def convection(period=2 * np.pi, modes=1, place=None, **given):
    """Pose it with values at the start, and at `place` at all times."""
    place = place or slice_at(ROUND_LOWER, ROUND_UPPER, {1: 0.0})
    operator = Operator(
        lambda jet, x, y: jet.u_t + 4 * jet.u_x - y,
        reads={"u_t": partial(0), "u_x": partial(1)},
    )
    terms = {
        "interior": Term.of(operator, whole(ROUND_LOWER, ROUND_UPPER), nothing(), 50),
        "initial": Term.of(
            DIRICHLET, slice_at(ROUND_LOWER, ROUND_UPPER, {0: 0.0}), wave, 20
        ),
        "gauge": Term.of(DIRICHLET, place, wave, 20, weight=0.5),
    }
    made = problem(
        "convection_1d",
        ROUND_LOWER,
        ROUND_UPPER,
        wave,
        terms,
        axes=("t", "x"),
        periodic={1: Periodic(period, modes)},
    )
    return replace(made, **given)


# -- a plate: Δ²u = q, whose mixed derivative is a sum over lines --
PLATE_LOWER, PLATE_UPPER = np.zeros(2), np.ones(2)
FOURTH = {
    "u_xxxx": partial(0, 0, 0, 0),
    "u_xxyy": partial(0, 0, 1, 1),
    "u_yyyy": partial(1, 1, 1, 1),
}


def bump(x):
    return (np.sin(np.pi * x) ** 2).prod(1, keepdims=True)


def load(x):
    """Δ²u* with sin² z = (1 - cos 2z)/2."""
    (c, d), (a, b) = np.cos(2 * np.pi * x).T, (np.sin(np.pi * x) ** 2).T
    w = (2 * np.pi) ** 4
    return (w * (-c * b / 2 + 2 * c * d / 4 - d * a / 2))[:, None]


def plate(
    residual=lambda jet, x, y: jet.u_xxxx + 2 * jet.u_xxyy + jet.u_yyyy - y,
    reads=FOURTH,
):
    """Pose it with u = 0 and ∂u/∂n = 0 on the boundary."""
    ends = walls(PLATE_LOWER, PLATE_UPPER, [0, 1])
    clamped = Operator(
        lambda jet, x, y: jet.u_n - y,
        reads={"u_n": along(outward_normal(PLATE_LOWER, PLATE_UPPER, [0, 1]))},
    )
    terms = {
        "interior": Term.of(
            Operator(residual, reads=reads), whole(PLATE_LOWER, PLATE_UPPER), load, 50
        ),
        "boundary": Term.of(DIRICHLET, ends, nothing(), 20),
        "normal": Term.of(clamped, ends, nothing(), 20),
    }
    return problem("plate_2d", PLATE_LOWER, PLATE_UPPER, bump, terms)


EVERY = (kdv, kovasznay, convection, plate)
