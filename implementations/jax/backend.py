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
from optbench.implementations.memory import (
    available_bytes,
    keep_freed_memory,
    peak_resident_bytes,
    reset_peak,
)
from optbench.implementations.protocol import Array, Objective, Optimizer, Params, Tree

keep_freed_memory()
reads = 0  # what a step decides is compiled into it: it never asks the host
_peak_before = 0  # bytes, at the last `reset_peak_memory`
jax.config.update(
    "jax_enable_x64", True
)  # float64 is the default of every case; a float32 case passes float32 arrays


def allow_tf32(allowed: bool) -> None:
    """Whether a GPU may round the factors of float32 products to TF32's 10 bits; until it is asked again."""
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if allowed else "highest"
    )


allow_tf32(False)  # in both frameworks, which have defaults of their own


@cache
def device() -> Any:
    """The device that computes; asking for it starts the accelerator."""
    return jax.devices()[0]


def from_numpy(array: np.ndarray) -> jax.Array:
    """An array on the device with the array's numbers and dtype."""
    # not tied to the device: a program compiled for tied arguments is compiled again for
    # the step's own results
    return jnp.asarray(np.array(array))


def to_numpy(array: Array) -> np.ndarray:
    """A copy of an array's numbers; waits for them."""
    return np.array(array)


def from_numpy_tree(tree: Tree) -> Tree:
    """`from_numpy` of every array in lists, tuples and named tuples."""
    return jax.tree.map(from_numpy, tree)


def to_numpy_tree(tree: Tree) -> Tree:
    """`to_numpy` of every array in lists, tuples and named tuples."""
    return jax.tree.map(to_numpy, tree)


def compile(function: Callable, donate: tuple[int, ...] = ()) -> Callable:
    """The function as the runner calls it: one compiled program for each set of shapes.

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
    """The largest number of bytes held since `reset_peak_memory`: of the GPU's memory, or of this process on a CPU.

    None on a GPU where the process held more before: JAX tells the peak since the process
    began alone.
    """
    statistics = device().memory_stats()
    if statistics is None:
        return peak_resident_bytes()
    peak = statistics["peak_bytes_in_use"]
    return peak if peak > _peak_before else None


def device_name() -> str:
    """The accelerator's name, or "cpu"."""
    return "cpu" if device().platform == "cpu" else device().device_kind


def state_bytes(optimizer: Optimizer, objective: Objective, params: Params) -> int:
    """Bytes that an optimizer keeps between steps, found without allocating them."""
    state = jax.eval_shape(lambda params: optimizer.init(objective, params), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def free_memory() -> int:
    """Bytes that are free: of the GPU's memory, or of the machine's on a CPU."""
    statistics = device().memory_stats()
    if statistics is not None:
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return available_bytes()
