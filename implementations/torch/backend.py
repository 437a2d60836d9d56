"""Arrays in, numbers out: what the runner needs to know of PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from optbench.implementations.memory import (
    available_bytes,
    keep_freed_memory,
    peak_resident_bytes,
    reset_peak,
)
from optbench.implementations.protocol import Array, Objective, Optimizer, Params, Tree
from torch.utils import _pytree as pytree

keep_freed_memory()
reads = 0  # how often `read` asked, in this process
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def allow_tf32(allowed: bool) -> None:
    """Whether a GPU may round the factors of float32 products to TF32's 10 bits; until it is asked again."""
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


allow_tf32(False)  # in both frameworks, which have defaults of their own


def from_numpy(array: np.ndarray) -> torch.Tensor:
    """A tensor on the device with the array's numbers and dtype."""
    return torch.from_numpy(np.array(array)).to(device)


def to_numpy(tensor: Array) -> np.ndarray:
    """A copy of a tensor's numbers; waits for them."""
    return (
        tensor.numpy(force=True).copy()
        if isinstance(tensor, torch.Tensor)
        else np.array(tensor)
    )


def read(value: Any) -> Any:
    """A tensor's numbers as Python's: the one door through which a step's decisions ask the device, and wait for it."""
    global reads
    if not isinstance(value, torch.Tensor):
        return value
    reads += 1
    return value.tolist()


def from_numpy_tree(tree: Tree) -> Tree:
    """`from_numpy` of every array in lists, tuples and named tuples."""
    return pytree.tree_map(from_numpy, tree)


def to_numpy_tree(tree: Tree) -> Tree:
    """`to_numpy` of every tensor in lists, tuples and named tuples."""
    return pytree.tree_map(to_numpy, tree)


def compile(function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """The function as the runner calls it: eager, without recording a graph.

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


def peak_memory() -> int:
    """The largest number of bytes held since `reset_peak_memory`: of the GPU's memory, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def device_name() -> str:
    """The accelerator's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def state_bytes(optimizer: Optimizer, objective: Objective, params: Params) -> int:
    """Bytes that an optimizer keeps between steps, found without allocating them."""
    state = optimizer.init(
        objective, [torch.empty_like(matrix, device="meta") for matrix in params]
    )
    return sum(
        leaf.nbytes for leaf in pytree.tree_leaves(state) if isinstance(leaf, torch.Tensor)
    )


def free_memory() -> int:
    """Bytes that are free: of the GPU's memory, or of the machine's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return available_bytes()
