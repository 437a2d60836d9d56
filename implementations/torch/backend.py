"""Arrays in, numbers out: what the runner needs to know of PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from optbench.implementations.process_memory import (
    available_bytes,
    keep_freed_memory,
    peak_resident_bytes,
    reset_peak,
)
from optbench.implementations.protocol import Array, Objective, Optimizer, Params, Tree

keep_freed_memory()
reads = 0  # of the device by `read`, in this process
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid a GPU to round factors of float32 products to TF32's 10 bits."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


allow_tf32(False)  # in both frameworks, which have defaults of their own


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """Copy an array to the device, in its own type."""
    return torch.from_numpy(np.array(array)).to(device)


def to_numpy(tensor: Array) -> np.ndarray:
    """Copy a tensor's numbers from the device; waits for them."""
    return (
        tensor.numpy(force=True).copy()
        if isinstance(tensor, torch.Tensor)
        else np.array(tensor)
    )


def read(value: Any) -> Any:
    """Read a tensor's numbers into Python, and wait for them.

    It is the one door through which a step's decisions ask the device.
    """
    global reads
    if not isinstance(value, torch.Tensor):
        return value
    reads += 1
    return value.tolist()


def from_numpy_tree(tree: Tree) -> Tree:
    """Apply `from_numpy` to every array in lists, tuples and named tuples."""
    return pytree.tree_map(from_numpy, tree)


def to_numpy_tree(tree: Tree) -> Tree:
    """Apply `to_numpy` to every tensor in lists, tuples and named tuples."""
    return pytree.tree_map(to_numpy, tree)


def compile(function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """Make the function that the runner calls: eager, without recording a graph.

    `donate` is the twin's: here an array that nobody can use any more is freed when its
    last name goes.
    """
    return torch.no_grad()(function)


def wait(tree: Tree) -> None:
    """Return when all work behind the tensors of `tree` is done."""
    if any(
        isinstance(leaf, torch.Tensor) and leaf.is_cuda for leaf in pytree.tree_leaves(tree)
    ):
        torch.cuda.synchronize()


def reset_peak_memory() -> None:
    """Begin a new peak for `peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak()


def peak_memory() -> int | None:
    """Measure the most bytes held since `reset_peak_memory`.

    They are of the GPU's memory, or of this process on a CPU.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def device_name() -> str:
    """Name the accelerator, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def state_bytes(optimizer: Optimizer, objective: Objective, params: Params) -> int:
    """Count the bytes of an optimizer's state, without allocating them."""
    state = optimizer.init(
        objective, [torch.empty_like(matrix, device="meta") for matrix in params]
    )
    return sum(
        leaf.nbytes for leaf in pytree.tree_leaves(state) if isinstance(leaf, torch.Tensor)
    )


def free_memory() -> int:
    """Measure the free bytes of the GPU's memory, or of the machine's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_bytes()
