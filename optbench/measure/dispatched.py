"""What PyTorch is asked for while a function runs: operations, and Inductor's kernels."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
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
PROGRAM = "torch._inductor.runtime.compile_tasks."  # how Inductor names a module it wrote
GENERATED = ("cpp_", "triton_")  # and the kernels in it


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
    """Let the kernels of all programs compiled so far count their calls in the block.

    The programs are found in memory: Inductor's own list of them is emptied after every
    compilation where its caches are off, and `sys.modules` has one of two that are equal.
    """
    programs = [
        names
        for names in gc.get_objects()
        if type(names) is dict and str(names.get("__name__")).startswith(PROGRAM)
    ]
    kept = [
        (names, name, kernel)
        for names in programs
        for name, kernel in names.items()
        if name.startswith(GENERATED)
    ]
    try:
        for names, name, kernel in kept:
            names[name] = Kernel(kernel, counter)
        yield
    finally:
        for names, name, kernel in kept:
            names[name] = kernel
