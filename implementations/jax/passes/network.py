"""Push a jet through the layers of a perceptron, and a cotangent back.

A jet is an array of channels [S, n, h], of which the first is the value. A layer multiplies
every channel by W and adds b to the value alone: the derivatives of a constant vanish. How
a jet begins and how it passes an activation is known to its kind (`collapsed`, `taylor`).
"""

from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.activations import ACTIVATIONS, SIN, Activation
from optbench.implementations.jax.passes.layer_inputs import Channels
from optbench.implementations.jax.passes.parameters import Params
from optbench.implementations.protocol import LayerInputs
from optbench.problems.input_maps import InputMap


class Jets(Protocol):
    """A kind of jet at some points."""

    def begin(self) -> LayerInputs:
        """Make the first layer's inputs."""
        ...

    def activate(self, activation: Activation, jet: Array) -> tuple[Array, Any]:
        """Compute the channels of σ(z) [S, n, h], and what the way back needs."""
        ...

    def activate_transposed(
        self, activation: Activation, kept: Any, jet: Array, cotangents: Array
    ) -> Array:
        """Pull cotangents of the channels of σ(z) back to those of z, both [r, S, n, h]."""
        ...


class Architecture(NamedTuple):
    """A network but for its parameters."""

    activation: str
    maps: tuple[InputMap, ...]  # what the first layer sees of a point, first to last


class Pass(NamedTuple):
    """What a forward pass leaves for the way back and for the Kronecker factors."""

    inputs: list[LayerInputs]  # a: every layer's inputs [S, n, in]
    outputs: list[Array]  # z: every layer's outputs [S, n, out]
    kept: list[Any]  # at the outputs of every layer but the last


def forward(network: Architecture, params: Params, jets: Jets) -> Pass:
    """Compute the network's jet; it is the last of the outputs."""
    activation = ACTIVATIONS[network.activation]
    first = jets.begin()
    for made in network.maps:
        z = first.linear(jnp.asarray(made.matrix, params[0].dtype))
        first = Channels(jnp.where(made.waves, jets.activate(SIN, z)[0], z))
    inputs, outputs, kept = [first], [first.linear(params[0])], []
    for matrix in params[1:]:
        activated, needed = jets.activate(activation, outputs[-1])
        kept.append(needed)
        inputs.append(Channels(activated))
        outputs.append(inputs[-1].linear(matrix))
    return Pass(inputs, outputs, kept)


def backward(
    network: Architecture,
    params: Params,
    forward_pass: Pass,
    cotangents: Array,
    jets: Jets,
) -> list[Array]:
    """Pull cotangents of the last layer's outputs back to those of every layer.

    Each is [r, S, n, out], with r residual components.
    """
    activation = ACTIVATIONS[network.activation]
    layers = zip(
        params[:0:-1], forward_pass.outputs[-2::-1], forward_pass.kept[::-1], strict=True
    )
    from_last = [cotangents]
    for matrix, jet, kept in layers:
        pulled = from_last[-1] @ matrix[:, :-1]
        from_last.append(jets.activate_transposed(activation, kept, jet, pulled))
    return from_last[::-1]
