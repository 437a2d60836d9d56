"""Networks by name, `<activation>_<width>_<width>…`, and their initial parameters.

A network is a chain of linear layers with a bias, the activation between them and none
after the last. A name may begin with what its first layer sees instead of the raw point:
`box_3_…` maps the domain's box to [-3, 3], `fourier_24_20.0_…` makes 24 random cosines and
as many sines of it (see `input_maps`).
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from optbench.problems.names import InvalidName
from optbench.problems.seeds import stream

# the three networks of the paper's cases in up to five inputs
SMALL_MEDIUM_LARGE = ("tanh_64", "tanh_64_64_48_48", "tanh_256_256_128_128")

DEEPEST = 100  # hidden layers: compilers take minutes for more, and tables have no room
_NUMBER = r"[0-9]{1,6}(\.[0-9]{1,6})?"
_NAME = re.compile(
    rf"(box_(?P<box>{_NUMBER})_)?"
    rf"(fourier_(?P<features>[1-9][0-9]{{0,4}})_(?P<spread>{_NUMBER})_)?"
    r"(?P<activation>[a-z][a-z0-9]*)(?P<widths>(_[1-9][0-9]{0,6})+)"
)


@dataclass(frozen=True)
class Network:
    """An architecture; the frameworks' own tables say which activations there are."""

    activation: str
    widths: tuple[int, ...]  # of the hidden layers, first to last
    box: float | None = None  # half the width of the box that inputs are mapped to
    features: int = 0  # random cosines of the inputs, and as many sines
    spread: float = 0.0  # standard deviation of their frequencies

    def __str__(self) -> str:
        """Write the network's name."""
        box = [] if self.box is None else ["box", f"{self.box:g}"]
        waves = ["fourier", self.features, self.spread] if self.features else []
        return "_".join(map(str, [*box, *waves, self.activation, *self.widths]))


@lru_cache  # the passes ask for it at every evaluation of the loss
def parse(network: str | Network) -> Network:
    """Parse a network's name, of 1 to DEEPEST hidden layers, 1 to 9,999,999 wide.

    Raises:
        InvalidName: the name is malformed, or of too many layers.
    """
    name = str(network)
    match = _NAME.fullmatch(name)
    if not match:
        raise InvalidName(
            f"malformed network name {name!r}: write <activation>_<width>_<width>… "
            "with at least one width of a hidden layer, each a positive integer, "
            "such as tanh_64_64, box_3_tanh_20_20 or fourier_24_20.0_tanh_20_20"
        )
    widths = match["widths"][1:].split("_")
    if len(widths) > DEEPEST:
        raise InvalidName(f"{len(widths)} hidden layers, {name[:20]}…: at most {DEEPEST}")
    parsed = Network(
        match["activation"],
        tuple(map(int, widths)),
        float(match["box"]) if match["box"] else None,
        int(match["features"] or 0),
        float(match["spread"] or 0),
    )
    if parsed.box == 0 or (parsed.features and not parsed.spread):
        raise InvalidName(f"network {name!r}: a box and a spread must be positive")
    if str(parsed) != name:  # one network has one name
        raise InvalidName(f"network {name!r}: write {parsed}")
    return parsed


def shapes(network: str | Network, inputs: int, outputs: int) -> list[tuple[int, int]]:
    """List the shapes (out, in + 1) of the matrices [W | b], one per layer.

    The network goes from `inputs` numbers (`Problem.inputs`) to `outputs`.
    """
    parsed = parse(network)
    widths = [2 * parsed.features or inputs, *parsed.widths, outputs]
    return [(after, before + 1) for before, after in pairwise(widths)]


def parameter_count(network: str | Network, inputs: int, outputs: int) -> int:
    """Count the parameters, D."""
    return sum(rows * columns for rows, columns in shapes(network, inputs, outputs))


def describe(network: str | Network, inputs: int, outputs: int) -> str:
    """Write the name with its parameter count: "tanh_64 (D = 257)"."""
    return f"{network} (D = {parameter_count(network, inputs, outputs):,})"


def initial_parameters(
    network: str | Network, inputs: int, outputs: int, seed: int
) -> list[np.ndarray]:
    """Draw one float64 matrix [W | b] [out, in + 1] per layer, from the seed.

    Every entry is U(-1/√in, 1/√in)-distributed; one draw makes a layer.
    """
    generator = stream(seed, "parameters")
    return [
        generator.uniform(-1, 1, shape) / np.sqrt(shape[1] - 1)
        for shape in shapes(network, inputs, outputs)
    ]
