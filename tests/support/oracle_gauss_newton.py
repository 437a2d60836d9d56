"""Slow, obvious steps of Levenberg-Marquardt and of the trust region, in NumPy and SciPy.

Written from the mathematics alone: dense singular values, roots by bisection, SciPy's
PCHIP and cosine transform.
"""

import hashed
import numpy as np
from oracle import flat, like, residual, weighted_rows
from scipy.fft import dct
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

H = 0.1


class Problem:
    """L, r and J as functions of the parameters θ [D]."""

    def __init__(self, problem, params, batch):
        self.problem, self.params, self.batch = problem, params, batch

    def r(self, theta):
        params = like(self.params, theta)
        return np.concatenate(
            [
                np.sqrt(term.weight / len(self.batch[name][0]))
                * residual(term, params, self.batch[name]).ravel()
                for name, term in self.problem.terms.items()
            ]
        )

    def loss(self, theta):
        return self.r(theta) @ self.r(theta) / 2

    def rows(self, theta):
        return weighted_rows(self.problem, like(self.params, theta), self.batch)

    def second(self, theta, J, r, p, v):
        """r_vv along v, the parameters' change that belongs to p."""
        return 2 / H * ((self.r(theta + H * v) - r) / H - J @ p)


def levenberg_marquardt_steps(
    problem, params, batch, n, damping=1e-3, scaling="diagonal", pivot=0.25, acceleration=0
):
    at, theta, W, growth = Problem(problem, params, batch), flat(params), 0.0, 2.0
    for step in range(n):
        J, r = at.rows(theta)
        G, g = J.T @ J, J.T @ r
        diagonal = np.diag(G)
        unit = 1.0 if scaling == "diagonal" else unit if step else diagonal.max()  # noqa: F821
        if step == 0:
            damping = damping * unit
            diagonal = np.maximum(diagonal, np.finfo(float).eps * diagonal.max())
        W = np.maximum(W, diagonal) if scaling == "diagonal" else np.ones(len(G))
        for _ in range(10):
            damping = np.clip(damping, 1e-16 * unit, 1e16 * unit)
            damped = G + damping * np.diag(W)
            d = a = -np.linalg.solve(damped, g)
            change = d
            if acceleration:
                a = -np.linalg.solve(damped, J.T @ at.second(theta, J, r, d, d)) / 2
                long, most = np.sqrt(a @ (W * a)), acceleration * np.sqrt(d @ (W * d))
                change = d + (a * most / long if long > most else a)
            model_fall = d @ (damping * W * d - g) / 2
            gain = (at.loss(theta) - at.loss(theta + change)) / model_fall
            if gain > 0:
                z = (gain - pivot) / (1 - pivot if gain > pivot else pivot)
                theta, damping, growth = theta + change, damping * max(1 / 3, 1 - z**3), 2.0
                break
            damping, growth = damping * growth, 2 * growth
        yield like(params, theta)


def sketch_matrix(seed, step, D, coordinates):
    """S [s, D], a column at a time."""
    signs, order = hashed.signs(seed, step, 0, D), hashed.permutation(seed, step, 1, D)
    kept = hashed.permutation(seed, step, 2, D)[:coordinates]
    rows = np.eye(D) * signs
    return dct(rows[:, order], norm="ortho")[:, kept].T


def trust_region_steps(
    problem, params, batch, n, target=0.2, radius=1.0, probes=24, acceleration=0.5,
    sketch=None, seed=0,
):  # fmt: skip
    at, theta = Problem(problem, params, batch), flat(params)
    for step in range(n):
        J, r = at.rows(theta)
        S = np.eye(len(theta)) if sketch is None else sketch_matrix(
            seed, step, len(theta), sketch
        )  # fmt: skip
        B = J @ S.T
        U, s, Vt = np.linalg.svd(B, full_matrices=False)
        b = U.T @ r

        def p_of(damping, s=s, b=b, Vt=Vt):
            return -Vt.T @ (s * b / (s * s + damping))

        def candidate(radius, s=s, b=b, U=U, Vt=Vt, B=B, S=S, r=r, theta=theta, p_of=p_of):
            damping = 0.0
            if np.linalg.norm(p_of(0.0)) > radius:
                high = s[0] ** 2
                while np.linalg.norm(p_of(high)) > radius:
                    high *= 10
                low = high
                while np.linalg.norm(p_of(low)) < radius:
                    low /= 10
                damping = np.exp(
                    brentq(
                        lambda x: np.log(np.linalg.norm(p_of(np.exp(x))) / radius),
                        *np.log([low, high]),
                        xtol=1e-15,
                        rtol=1e-15,
                    )
                )
            p = p_of(damping)
            model = ((s * b) ** 2 * (s * s + 2 * damping) / (s * s + damping) ** 2).sum()
            if acceleration:
                bent = U.T @ at.second(theta, B, r, p, S.T @ p)
                a = -Vt.T @ (s * bent / (s * s + damping)) / 2
                most = acceleration * np.linalg.norm(p)
                p = p + (a * most / np.linalg.norm(a) if np.linalg.norm(a) > most else a)
            end = theta + S.T @ p
            ratio = 2 * (at.loss(theta) - at.loss(end)) / model
            return end, np.clip(ratio, -1, 1) if np.isfinite(ratio) else -1.0

        radii = np.geomspace(radius / 3, 3 * radius, probes)
        ratios = np.minimum.accumulate([candidate(each)[1] for each in radii])
        if ratios[0] < target:
            chosen = radii[0]
        elif ratios[-1] >= target:
            chosen = radii[-1]
        else:
            cubic = PchipInterpolator(np.log(radii), ratios)
            i = int((ratios >= target).sum()) - 1
            low, high = np.log(radii[i : i + 2])
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if cubic(middle) >= target else (low, middle)
            chosen = np.exp(low)
        end, ratio = candidate(chosen)
        theta, radius = (end, chosen) if ratio > 0 else (theta, radii[0])
        yield like(params, theta)
