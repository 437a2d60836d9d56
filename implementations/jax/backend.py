"""Arrays in, numbers out: what the runner needs to know of JAX."""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

# memory as it is needed: by default JAX takes three quarters of a GPU, which PyTorch's
# process may be using
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from optbench.implementations.process_memory import (
    available_bytes,
    keep_freed_memory,
    peak_resident_bytes,
    reset_peak,
)
from optbench.implementations.protocol import Array, Objective, Optimizer, Params, Tree

keep_freed_memory()
reads = 0  # what a step decides is compiled into it: it never asks the host
_peak_before = 0  # bytes, at the last `reset_peak_memory`
# float64 is the default of every case; a float32 case passes float32 arrays
jax.config.update("jax_enable_x64", True)


def allow_tf32(allowed: bool) -> None:
    """Allow or forbid a GPU to round factors of float32 products to TF32's 10 bits."""
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if allowed else "highest"
    )


allow_tf32(False)  # in both frameworks, which have defaults of their own


@cache
def device() -> Any:
    """Return the device that computes; the first call starts the accelerator."""
    return jax.devices()[0]


def from_numpy(array: np.ndarray) -> jax.Array:
    """Copy an array to the device, in its own type."""
    # not tied to the device: a program compiled for tied arguments is compiled again for
    # the step's own results
    return jnp.asarray(np.array(array))


def to_numpy(array: Array) -> np.ndarray:
    """Copy an array's numbers from the device; waits for them."""
    return np.array(array)


def from_numpy_tree(tree: Tree) -> Tree:
    """Apply `from_numpy` to every array in lists, tuples and named tuples."""
    return jax.tree.map(from_numpy, tree)


def to_numpy_tree(tree: Tree) -> Tree:
    """Apply `to_numpy` to every array in lists, tuples and named tuples."""
    return jax.tree.map(to_numpy, tree)


def compile(function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """Make the function that the runner calls: one program for each set of shapes.

    It may write its results over the arguments at the positions in `donate`, which nobody
    can use afterwards.
    """
    return jax.jit(function, donate_argnums=donate)


def wait(tree: Tree) -> None:
    """Return when all work behind the arrays of `tree` is done."""
    jax.block_until_ready(tree)


def reset_peak_memory() -> None:
    """Begin a new peak for `peak_memory`."""
    global _peak_before
    _peak_before = (device().memory_stats() or {}).get("peak_bytes_in_use", 0)
    reset_peak()


def peak_memory() -> int | None:
    """Measure the most bytes held since `reset_peak_memory`.

    They are of the GPU's memory, or of this process on a CPU.

    None on a GPU where the process held more before: JAX tells the peak since the process
    began alone.
    """
    statistics = device().memory_stats()
    if statistics is None:
        return peak_resident_bytes()
    peak = statistics["peak_bytes_in_use"]
    return peak if peak > _peak_before else None


def device_name() -> str:
    """Name the accelerator, or "cpu"."""
    return "cpu" if device().platform == "cpu" else device().device_kind


def state_bytes(optimizer: Optimizer, objective: Objective, params: Params) -> int:
    """Count the bytes of an optimizer's state, without allocating them."""
    state = jax.eval_shape(lambda params: optimizer.init(objective, params), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def free_memory() -> int:
    """Measure the free bytes of the GPU's memory, or of the machine's on a CPU."""
    statistics = device().memory_stats()
    if statistics is not None:
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return available_bytes()
