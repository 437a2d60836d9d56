"""The clock: every second of a run belongs to exactly one section."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optbench.records.record import SECTIONS


class Clock:
    """Attributes elapsed time to the section it was spent in; starts in "setup".

    Switching sections reads the time once and books it on the section left, so that the
    parts add up to the whole by construction. `now` gives seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(SECTIONS, 0.0)
        self._now = now
        self._current = "setup"
        self._start = self._last = now()
        self._earlier = 0.0

    def enter(self, section: str) -> None:
        """Leave the current section for `section`."""
        if section not in self.seconds:
            raise KeyError(f"no section {section!r}: there are {', '.join(SECTIONS)}")
        instant = self._now()
        self.seconds[self._current] += instant - self._last
        self._current, self._last = section, instant

    @contextmanager
    def section(self, section: str) -> Iterator[None]:
        """Spend the body in `section`, then go back to where the clock was.

        It goes back after an exception too.
        """
        previous = self._current
        self.enter(section)
        try:
            yield
        finally:
            self.enter(previous)

    def move(self, seconds: float, section: str, other: str) -> None:
        """Count seconds of a section to another one."""
        self.seconds[section] -= seconds
        self.seconds[other] += seconds

    def restore(self, seconds: dict[str, float]) -> None:
        """Count the seconds of an interrupted process's clock too."""
        for section, earlier in seconds.items():
            self.seconds[section] += earlier
            self._earlier += earlier

    @property
    def wall(self) -> float:
        """Seconds from the start to the last switch of sections, earlier processes' too."""
        return self._earlier + self._last - self._start
