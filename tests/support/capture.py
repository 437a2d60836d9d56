"""What a CUDA graph could not capture, found without a GPU.

A tensor on the device "meta" has a shape and no numbers, and stands for one on a GPU. An
operation whose result the host reads, whose shape depends on numbers, or that takes from
the host or gives to it, would not be in the graph.
"""

from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
TAGS = {
    torch.Tag.data_dependent_output: "is read by the host",
    torch.Tag.dynamic_output_shape: "has a shape that depends on numbers",
    torch.Tag.nondeterministic_seeded: "draws numbers",
}
CHECKED = ("_linalg_check_errors", "eigh", "linalg_svd", "lstsq")  # on the host


class NotCaptured(Exception):
    """An operation that a CUDA graph cannot hold; the message names it."""


class Captured(TorchDispatchMode):
    """Refuses what a graph cannot hold, in a block with tensors on DEVICE."""

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Do an operation, or say why it cannot be in a graph."""
        for tag, why in TAGS.items():
            if tag in func.tags:
                raise NotCaptured(f"{func} {why}")
        if any(name in str(func) for name in CHECKED):
            raise NotCaptured(f"{func} checks its result on the host")
        _on_device(func, (args, kwargs))
        result = func(*args, **(kwargs or {}))
        _on_device(func, result)
        return result


def _on_device(func: Any, values: Any) -> None:
    for leaf in pytree.tree_leaves(values):
        device = leaf.device if isinstance(leaf, torch.Tensor) else leaf
        if isinstance(device, torch.device) and device != DEVICE:
            raise NotCaptured(f"{func} has something on the {device}")
