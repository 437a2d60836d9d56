"""Prefetch: batches are drawn before a step asks; the seed alone says what is drawn."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Prefetch:
    """Draws batch k + 1 in the background while batch k is in use.

    Only for accelerators: on a CPU the drawing would take its time from the steps being
    timed.
    """

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self._draw, self._thread = draw, ThreadPoolExecutor(1)
        self._next: tuple[int, Future] | None = None

    def __call__(self, index: int) -> Any:
        """Give batch number `index`; waits only where it is not there yet."""
        ready = self._next
        batch = ready[1].result() if ready and ready[0] == index else self._draw(index)
        self._next = index + 1, self._thread.submit(self._draw, index + 1)
        return batch

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)
