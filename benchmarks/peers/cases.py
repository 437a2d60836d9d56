"""What is compared: equations, networks and points that everybody can pose."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from optbench import problems
from optbench.problems import networks
from optbench.problems.problem import Batch

LEARNING_RATE = 1e-3
HISTORY = 100  # pairs of L-BFGS


@dataclass(frozen=True)
class Case:
    """Δu + f = 0 in the unit cube with u given on its boundary, and a network."""

    problem: str
    network: str
    interior: int
    boundary: int
    # f at points x [n, d], with a framework's sin and its product over the columns [n, 1]
    source: Callable[[Any, Callable, Callable], Any]

    @property
    def dimension(self) -> int:
        """The number of the coordinates, d."""
        return problems.get(self.problem).inputs

    @property
    def parameters(self) -> int:
        """The number of the network's parameters, D."""
        return networks.parameter_count(self.network, self.dimension, 1)

    @property
    def widths(self) -> list[int]:
        """The layers' widths, from the coordinates to the solution."""
        return [self.dimension, *networks.parse(self.network).widths, 1]

    def start(self) -> list[np.ndarray]:
        """Make everybody's first parameters, a matrix [W | b] per layer."""
        return networks.initial_parameters(self.network, self.dimension, 1, 0)

    def batch(self) -> Batch:
        """Draw everybody's points with the values there."""
        points = {"interior": self.interior, "boundary": self.boundary}
        return problems.seeds.batch(problems.get(self.problem), 0, 0, points)


def sines(x: Any, sin: Callable, product: Callable) -> Any:
    """Evaluate f = d π² Π sin πx."""
    return x.shape[1] * math.pi**2 * product(sin(math.pi * x))


def nothing(x: Any, sin: Callable, product: Callable) -> Any:
    """Evaluate f = 0, of a harmonic solution."""
    return 0.0


CASES = (
    Case("poisson_sine_2d", "tanh_64", 900, 120, sines),
    Case("poisson_sine_2d", "tanh_64_64_48_48", 900, 120, sines),
    Case("poisson_harmonic_10d", "tanh_64_64_48_48", 900, 120, nothing),
    Case("poisson_harmonic_100d", "tanh_64_64_48_48", 100, 50, nothing),
)


class Side(Protocol):
    """Somebody's training in hand, with losses ½ mean r² summed over both terms."""

    def walk(self, steps: int) -> None:
        """Do steps from where it is, and wait for the last."""
        ...

    def loss(self) -> float:
        """Evaluate the loss where it is."""
        ...
