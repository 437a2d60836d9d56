"""What PyTorch is asked for while a function runs: operations, and Inductor's kernels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch._inductor.codecache import PyCodeCache
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# no views by their schema, and yet they compute nothing: they take memory, give it another
# shape, or read a number that is there (`Timed.reads` counts those)
FREE = {
    aten._local_scalar_dense,
    aten._unsafe_view,
    aten.empty,
    aten.empty_like,
    aten.empty_permuted,
    aten.empty_strided,
    aten.new_empty,
    aten.new_empty_strided,
    aten.resize_,
    aten.set_,
}
GENERATED = ("cpp_", "triton_")  # how Inductor names its kernels in a module of its own


class Counter(TorchDispatchMode):
    """Counts the operations that compute or copy, in one's own kernel or a library's."""

    number = 0

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Let what is compiled already run as it is."""
        return True

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count the operation unless it is free, and do it."""
        self.number += not (func.is_view or func.overloadpacket in FREE)
        return func(*args, **(kwargs or {}))


class Kernel:
    """A generated kernel that counts its calls: C++ is called, Triton's is run."""

    def __init__(self, kernel: Any, counter: Counter) -> None:
        self.kernel, self.counter = kernel, counter

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Count a call, and do it."""
        self.counter.number += 1
        return self.kernel(*arguments, **options)

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Count a run, and do it."""
        self.counter.number += 1
        return self.kernel.run(*arguments, **options)


def count(function: Callable[[], Any]) -> int:
    """Count the launches of a call, after one that compiles what is to be compiled.

    An operation is one, whatever its library does: a factorisation, a product, a copy.
    """
    function()
    with Counter() as counter, counted_kernels(counter):
        function()
    return counter.number


@contextmanager
def counted_kernels(counter: Counter) -> Iterator[None]:
    """Let the kernels of all programs compiled so far count their calls in the block."""
    kept: list[tuple[ModuleType, dict[str, Any]]] = []
    try:
        for module in PyCodeCache.modules:
            kernels = {
                name: value
                for name, value in vars(module).items()
                if name.startswith(GENERATED)
            }
            kept.append((module, kernels))
            counting = {name: Kernel(kernel, counter) for name, kernel in kernels.items()}
            vars(module).update(counting)
        yield
    finally:
        for module, kernels in kept:
            vars(module).update(kernels)
