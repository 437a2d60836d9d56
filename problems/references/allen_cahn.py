"""Compute the reference of `allen_cahn_1d`: `make references`.

u_t = 10⁻⁴ u_xx + 5(u - u³) with u(0, x) = x² cos πx and period 2, for t in [0, 1]. u is
even: a cosine series, without aliases, marched by ETDRK4 (Kassam, Trefethen 2005, SIAM J.
Sci. Comput. 26). It is computed again with half as many modes and steps of twice the
length: what differs is the stated accuracy, with what interpolation between nodes adds.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from optbench.problems.reference import Reference

KEPT = Path(__file__).parents[1] / "data" / "allen_cahn_1d.npz"
MODES, STEP = 4096, 5e-4
TIMES, NODES = 201, 401  # that are kept, and these on [0, 1]
# intervals of time between two that are kept: interpolation is looked at there too
PARTS = 5
CONTOUR = np.exp(1j * np.pi * (np.arange(16) + 0.5) / 16)  # half of it: L is real


def initial_coefficients(modes: int) -> np.ndarray:
    """Compute the coefficients [modes] of x² cos πx, from those of x²."""
    k = np.arange(1, modes + 1)
    square = np.append(1 / 3, 4 * (-1.0) ** k / (np.pi * k) ** 2)
    a = np.append(square[1] / 2, (square[:-2] + square[2:]) / 2)
    a[1] += square[0] / 2  # the constant has no coefficient at -1 to share with
    return a


def on_grid(a: np.ndarray, points: int, shift: float = 0.0) -> np.ndarray:
    """Evaluate Σ a_k cos kπx at x = (j + shift)/points, j = 0 … 2 points - 1."""
    phase = np.exp(1j * np.pi * shift / points * np.arange(len(a)))
    scale = np.where(np.arange(len(a)) == 0, 2 * points, points)
    return np.fft.irfft(a * scale * phase, 2 * points)


def march(modes: int, longest: float, times: np.ndarray) -> Iterator[np.ndarray]:
    """Give the coefficients [modes] at every time, by steps that are no longer."""
    linear = 5 - 1e-4 * (np.pi * np.arange(modes)) ** 2
    scale = np.where(np.arange(modes) == 0, 4 * modes, 2 * modes)

    def cubic(a: np.ndarray) -> np.ndarray:
        """Compute the coefficients of -5u³: on 4 modes points a period no alias is left."""
        u = on_grid(a, 2 * modes)
        return -5 * np.fft.rfft(u**3).real[:modes] / scale

    a = initial_coefficients(modes)
    yield a
    for interval in np.diff(times):
        steps = int(np.ceil(interval / longest))
        h = interval / steps
        z = h * linear[:, None] + CONTOUR
        half = h * np.mean((np.exp(z / 2) - 1) / z, axis=1).real
        first, second, third = (
            h * np.mean(term / z**3, axis=1).real
            for term in (
                -4 - z + np.exp(z) * (4 - 3 * z + z**2),
                2 + z + np.exp(z) * (z - 2),
                -4 - 3 * z - z**2 + np.exp(z) * (4 - z),
            )
        )
        whole_decay, decay = np.exp(h * linear), np.exp(h * linear / 2)
        for _ in range(steps):
            n = cubic(a)
            b = decay * a + half * n
            n_b = cubic(b)
            c = decay * a + half * n_b
            n_c = cubic(c)
            d = decay * b + half * (2 * n_c - n)
            a = whole_decay * a + first * n + 2 * second * (n_b + n_c) + third * cubic(d)
        yield a


def graded(states: np.ndarray, points: int) -> np.ndarray:
    """Choose the nodes of [0, 1], closer where the fourth derivative is large.

    The mean square of cubics' errors is least for distances that go with its power of -2/9.
    A part of the nodes is even, so that no gap is wide.
    """
    fourth = (np.pi * np.arange(states.shape[1])) ** 4
    square = np.mean([on_grid(fourth * a, points) ** 2 for a in states], axis=0)
    density = square[: points + 1] ** (1 / 9)
    window = np.hanning(points // 64 + 1)
    wide = np.pad(density, len(window) // 2, mode="reflect")
    density = np.convolve(wide, window / window.sum(), "valid")
    density = density / density.mean() + 0.2
    total = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2))
    return np.interp(np.linspace(0, total[-1], NODES), total, np.linspace(0, 1, points + 1))


def main() -> None:
    """Compute it, say how accurate it is, and how far from the file that is kept."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("file", type=Path, help="where to write it")
    file = parser.parse_args().file
    s = np.linspace(0, 1, PARTS * (TIMES - 1) + 1)
    times = s / 2 + s**2 / 2  # denser early, when the corner at x = 1 opens
    fine = np.array(list(march(MODES, STEP, times)))
    coarse = np.array(list(march(MODES // 2, 2 * STEP, times)))

    # means over x are sums over modes; over time by Simpson's rule in s, dt = (½ + s) ds
    simpson = np.append(np.tile([2, 4], len(s) // 2), 1) / (3 * (len(s) - 1))
    simpson[0] /= 2
    over_time = simpson * (0.5 + s)
    over_space = np.where(np.arange(MODES) == 0, 1, 0.5)

    def norm(a: np.ndarray) -> float:
        return float(np.sqrt(over_time @ (a**2 @ over_space[: a.shape[1]])))

    difference = fine.copy()
    difference[:, : MODES // 2] -= coarse
    solver = norm(difference) / norm(fine)
    right = graded(fine[1:][PARTS - 1 :: PARTS], 2 * MODES)
    x = np.concatenate([-right[:0:-1], right])
    u = fine[::PARTS] @ np.cos(np.pi * np.outer(np.arange(MODES), right))
    u[0] = right**2 * np.cos(np.pi * right)  # the series misses its corner by 1e-4
    u = np.concatenate([u[:, :0:-1], u], axis=1)
    file.parent.mkdir(parents=True, exist_ok=True)

    def write(accuracy: float) -> Reference:
        np.savez_compressed(file, axis_0=times[::PARTS], axis_1=x, u=u, accuracy=accuracy)
        return Reference.read(file)

    reference = write(solver)
    # between the nodes: at all times, at 8192 points in the middle of even cells
    middle = (np.arange(2 * MODES) + 0.5) / (2 * MODES)
    errors = []
    for time, a in zip(times, fine, strict=True):
        exact = on_grid(a, 2 * MODES, 0.5)[: len(middle)]
        points = np.column_stack([np.full_like(middle, time), middle])
        errors.append(np.mean((reference(points)[:, 0] - exact) ** 2))
    interpolation = float(np.sqrt(over_time @ errors)) / norm(fine)
    estimate = reference.interpolation_error()
    # no less than what `optbench check` asks for
    accuracy = solver + max(interpolation, estimate)
    write(accuracy)
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB; (E u²)^½ = {norm(fine):.13f}")
    print(f"differences by steps and modes {solver:.1e}, between nodes {interpolation:.1e}")
    print(f"(half of the nodes say {estimate:.1e}); stated accuracy {accuracy:.1e}")
    kept = Reference.read(KEPT)
    grid = np.stack(np.meshgrid(times[::PARTS], x, indexing="ij"), -1).reshape(-1, 2)
    far = np.linalg.norm(kept(grid) - u.reshape(-1, 1)) / np.linalg.norm(u)
    print(f"it is {far:.1e} from the file that is kept, {KEPT.name}")


if __name__ == "__main__":
    main()
