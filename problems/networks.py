"""Networks by name, `<activation>_<width>_<width>…`, and their initial parameters.

A network is a chain of linear layers with a bias, the activation between them and none
after the last.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from optbench.problems.names import InvalidName
from optbench.problems.seeds import stream

# the three networks of the paper's cases in up to five inputs
SMALL_MEDIUM_LARGE = ("tanh_64", "tanh_64_64_48_48", "tanh_256_256_128_128")

DEEPEST = 100  # hidden layers: compilers take minutes for more, and tables have no room
_NAME = re.compile(r"(?P<activation>[a-z][a-z0-9]*)(?P<widths>(_[1-9][0-9]{0,6})+)")


@dataclass(frozen=True)
class Network:
    """An architecture; the frameworks' own tables say which activations there are."""

    activation: str
    widths: tuple[int, ...]  # of the hidden layers, first to last

    def __str__(self) -> str:
        """Write the network's name."""
        return "_".join([self.activation, *map(str, self.widths)])


def parse(network: str | Network) -> Network:
    """Parse a network's name, of 1 to DEEPEST hidden layers, 1 to 9,999,999 wide.

    Raises:
        InvalidName: the name is malformed, or of too many layers.
    """
    match = _NAME.fullmatch(str(network))
    if not match:
        raise InvalidName(
            f"malformed network name {str(network)!r}: write <activation>_<width>_<width>… "
            "with at least one width of a hidden layer, each a positive integer, "
            "such as tanh_64_64"
        )
    widths = match["widths"][1:].split("_")
    if len(widths) > DEEPEST:
        raise InvalidName(
            f"{len(widths)} hidden layers, {str(network)[:20]}…: at most {DEEPEST}"
        )
    return Network(match["activation"], tuple(map(int, widths)))


def shapes(network: str | Network, dim: int, outputs: int) -> list[tuple[int, int]]:
    """List the shapes (out, in + 1) of the matrices [W | b], one per layer.

    The network goes from `dim` inputs to `outputs` outputs.
    """
    widths = [dim, *parse(network).widths, outputs]
    return [(after, before + 1) for before, after in pairwise(widths)]


def parameter_count(network: str | Network, dim: int, outputs: int) -> int:
    """Count the parameters, D."""
    return sum(rows * columns for rows, columns in shapes(network, dim, outputs))


def describe(network: str | Network, dim: int, outputs: int) -> str:
    """Write the name with its parameter count: "tanh_64 (D = 257)"."""
    return f"{network} (D = {parameter_count(network, dim, outputs):,})"


def initial_parameters(
    network: str | Network, dim: int, outputs: int, seed: int
) -> list[np.ndarray]:
    """Draw one float64 matrix [W | b] [out, in + 1] per layer, from the seed.

    Every entry is U(-1/√in, 1/√in)-distributed; one draw makes a layer.
    """
    generator = stream(seed, "parameters")
    return [
        generator.uniform(-1, 1, shape) / np.sqrt(shape[1] - 1)
        for shape in shapes(network, dim, outputs)
    ]
