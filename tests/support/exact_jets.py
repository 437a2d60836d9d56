"""Solutions a second time, in mpmath with 40 digits, and the jets that operators read.

They are written from the equations' own sources and not from `problems/equations`.
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def burgers_1d(t, x):
    """Cole and Hopf, by a finer sum."""
    nu, h = mp.mpf("0.01") / mp.pi, mp.mpf("0.11")
    over, under = mp.mpf(0), mp.mpf(0)
    for k in range(-110, 111):
        y = mp.pi * (x - mp.sqrt(4 * nu * t) * h * k)
        weight = mp.exp(-mp.cos(y) / (2 * mp.pi * nu) - (h * k) ** 2)
        over, under = over + mp.sin(y) * weight, under + weight
    return (-over / under,)


def convection_1d(t, x):
    return (mp.sin(x - 40 * t),)


def reaction_1d(t, x):
    h = mp.exp(-8 * (x - mp.pi) ** 2 / mp.pi**2)
    return (1 / (1 + (1 / h - 1) * mp.exp(-5 * t)),)


def wave_1d(t, x):
    """D'Alembert: half a wave to each side with the speed 2."""

    def shape(s):
        return mp.sin(mp.pi * s) + mp.sin(5 * mp.pi * s) / 2

    return ((shape(x - 2 * t) + shape(x + 2 * t)) / 2,)


def helmholtz_2d(x, y):
    return (mp.sin(mp.pi * x) * mp.sin(4 * mp.pi * y),)


def multiscale_poisson_2d(x, y):
    waves = (mp.sin(w * mp.pi * x) * mp.sin(w * mp.pi * y) for w in (4, 8, 12, 16))
    return (mp.fsum(waves) / 4,)


def nonlinear_poisson_2d(x, y):
    return (1 + mp.sin(4 * mp.pi * x) * mp.cos(4 * mp.pi * y),)


def fisher_kpp_1d(t, x):
    return ((1 - mp.tanh((x - 5 * t) / 2)) ** 2 / 4,)


def kdv_1d(t, x):
    """Hirota: 2 (ln τ)_xx, the quotient rule on τ, τ_x and τ_xx."""
    a, b = mp.sqrt(6), mp.sqrt(2)
    coupling = ((a - b) / (a + b)) ** 2
    e1 = mp.exp(a * x - a**3 * t - 2 * a)
    e2 = mp.exp(b * x - b**3 * t - 6 * b) / coupling
    tau = 1 + e1 + e2 + coupling * e1 * e2
    tau_x = a * e1 + b * e2 + (a + b) * coupling * e1 * e2
    tau_xx = a**2 * e1 + b**2 * e2 + (a + b) ** 2 * coupling * e1 * e2
    return (2 * (tau_xx * tau - tau_x**2) / tau**2,)


def kuramoto_sivashinsky_1d(t, x):
    k = mp.sqrt(mp.mpf(11) / 19)
    tanh = mp.tanh(k * (x - 2 * t) / 2)
    return (2 + mp.mpf(15) / 19 * k * (11 * tanh**3 - 9 * tanh),)


def nls_1d(t, x):
    above = mp.cosh(3 * x) + 3 * mp.expj(4 * t) * mp.cosh(x)
    below = mp.cosh(4 * x) + 4 * mp.cosh(2 * x) + 3 * mp.cos(4 * t)
    psi = 4 * mp.expj(t / 2) * above / below
    return psi.real, psi.imag


def kovasznay_2d(x, y):
    k = 20 - mp.sqrt(400 + 4 * mp.pi**2)
    e = mp.exp(k * x)
    return (
        1 - e * mp.cos(2 * mp.pi * y),
        k * e * mp.sin(2 * mp.pi * y) / (2 * mp.pi),
        (1 - e**2) / 2,
    )


def taylor_green_2d(t, x, y):
    e = mp.exp(-t / 50)
    pressure = (mp.sin(x) ** 2 + mp.sin(y) ** 2 - 1) / 2
    return -mp.cos(x) * mp.sin(y) * e, mp.sin(x) * mp.cos(y) * e, pressure * e**2


def beltrami_3d(t, x, y, z):
    """Ethier and Steinman; the pressure by Bernoulli: p + |u|²/2 is the same everywhere."""
    e = mp.exp(-t)
    u = -(mp.exp(x) * mp.sin(y + z) + mp.exp(z) * mp.cos(x + y)) * e
    v = -(mp.exp(y) * mp.sin(z + x) + mp.exp(x) * mp.cos(y + z)) * e
    w = -(mp.exp(z) * mp.sin(x + y) + mp.exp(y) * mp.cos(z + x)) * e
    return u, v, w, -(u**2 + v**2 + w**2) / 2


def biharmonic_2d(x, y):
    return ((mp.sin(mp.pi * x) * mp.sin(mp.pi * y)) ** 2,)


def black_scholes_barenblatt(t, *x):
    return (mp.exp(mp.mpf("0.21") * (1 - t)) * mp.fsum(s**2 for s in x) / len(x),)


EXACT = {
    function.__name__: function
    for function in (
        *(burgers_1d, convection_1d, reaction_1d, wave_1d, helmholtz_2d),
        *(multiscale_poisson_2d, nonlinear_poisson_2d, fisher_kpp_1d, kdv_1d),
        *(kuramoto_sivashinsky_1d, nls_1d, kovasznay_2d, taylor_green_2d, beltrami_3d),
        biharmonic_2d,
    )
} | {f"black_scholes_barenblatt_{n}d": black_scholes_barenblatt for n in (1, 10, 100)}


def values(function, x):
    """The function [n, m] at points x [n, d]."""
    return np.array([function(*map(mp.mpf, point)) for point in x.tolist()], dtype=float)


def channels(function, operator, x):
    """The channels [S, n, m] that an operator of the long form reads, at x [n, d]."""
    return np.stack([_at(function, operator.layout, point) for point in x], axis=1)


def _at(function, layout, x):
    point = [mp.mpf(float(coordinate)) for coordinate in x]

    def along(v, order):
        """d^k/dε^k u(x + εv) at 0, [m]."""

        def line(output):
            def moved(e):
                return function(*(p + e * c for p, c in zip(point, v, strict=True)))[output]

            return moved

        return [mp.diff(line(output), 0, order) for output in range(len(value))]

    value = function(*point)
    rows = [value]
    for line in layout.lines:
        if callable(line.direction):
            v = [float(column[0]) for column in line.direction(x[None])]
        else:
            v = [dict(line.direction).get(axis, 0) for axis in range(len(x))]
        rows += [along(v, order) for order in range(1, line.order + 1)]
    for family in layout.families:
        A = family.matrix(x[None])[0] if callable(family.matrix) else family.matrix
        assert A.ndim == 1  # the registry's are diagonal
        seconds = [along(np.eye(len(x))[axis].tolist(), 2) for axis in family.axes]
        weighted = zip(A.tolist(), seconds, strict=True)
        parts = [[w * second for second in outputs] for w, outputs in weighted]
        rows.append([mp.fsum(outputs) for outputs in zip(*parts, strict=True)])
    return np.array(rows, dtype=float)
