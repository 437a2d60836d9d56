"""What the first layer sees of a point: fixed maps without parameters.

Periodic axes of the problem become waves; `box_3_…` in a network's name maps the other
axes of the domain's box to [-3, 3]; `fourier_24_20.0_…` makes random cosines and sines of
what comes before. Derivatives stay those by the raw coordinates: a map acts on all channels
of a jet.
"""

from dataclasses import dataclass

import numpy as np

from optbench.problems import networks
from optbench.problems.networks import Network
from optbench.problems.problem import Problem
from optbench.problems.seeds import stream


@dataclass(frozen=True, eq=False)
class InputMap:
    """The map x ↦ sin(Wx + b) in some rows, Wx + b in the others."""

    matrix: np.ndarray  # [W | b], [out, in + 1]
    waves: np.ndarray  # whether a row has the sine [out]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Map points [n, in] to what the next layer sees [n, out]."""
        z = x @ self.matrix[:, :-1].T + self.matrix[:, -1]
        return np.where(self.waves, np.sin(z), z)


def of(problem: Problem, network: str | Network, seed: int) -> tuple[InputMap, ...]:
    """List the maps of a network for a problem, first to last; none: it sees raw points.

    The random frequencies come from a stream of the seed's own.
    """
    parsed = networks.parse(network)
    maps = []
    if problem.periodic or parsed.box is not None:
        maps.append(_coordinates(problem, parsed.box))
    if parsed.features:
        shape = parsed.features, problem.inputs
        frequencies = stream(seed, "features").normal(0, parsed.spread, shape)
        maps.append(_waves(frequencies))
    return tuple(maps)


def _coordinates(problem: Problem, box: float | None) -> InputMap:
    """Map every axis on its own: to [-box, box], or a periodic one to its waves."""
    rows, waves = [], []
    for axis, unit in enumerate(np.eye(problem.dim)):
        if axis in problem.periodic:
            period, modes = problem.periodic[axis]
            for mode in range(1, modes + 1):
                frequency = 2 * np.pi * mode / period * unit
                rows += [np.append(frequency, phase) for phase in (np.pi / 2, 0)]
                waves += [True, True]
        else:
            lower, upper = (bound[axis] for bound in problem.bounds)
            half, middle = (upper - lower) / 2, (upper + lower) / 2
            scale = 1.0 if box is None else box / half
            rows.append(np.append(scale * unit, 0.0 if box is None else -scale * middle))
            waves.append(False)
    return InputMap(np.array(rows), np.array(waves))


def _waves(frequencies: np.ndarray) -> InputMap:
    """Map inputs to the cosines of some frequencies [k, in], then to their sines."""
    cosines, sines = (
        np.column_stack([frequencies, np.full(len(frequencies), phase)])
        for phase in (np.pi / 2, 0)
    )
    return InputMap(np.concatenate([cosines, sines]), np.full(2 * len(frequencies), True))
