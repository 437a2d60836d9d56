"""The cores of a process, and the threads that native libraries take.

Two processes that measure on one core halve each other's speed. Each therefore claims its
cores, by a lock for each in the machine's temporary folder; a core has as many places as
processes are on it, and one that is alone holds the first.
"""

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from optbench.records import file_locks

# of native thread pools; read once, when NumPy or a framework is imported
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
FOLDER = Path(tempfile.gettempdir()) / "optbench-cores"
PATIENCE = 10  # seconds that others may take to choose theirs


def usable() -> list[int]:
    """Give the cores that this process may use, by their numbers."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class Claim:
    """Cores that a process has taken."""

    cores: tuple[int, ...]
    # the locks that it holds, one for each core; none where there can be no locks
    places: tuple[Path, ...] = ()

    def part(self, first: int, threads: int) -> "Claim":
        """Give so many of the cores, from one on."""
        chosen = slice(first, first + threads)
        return Claim(self.cores[chosen], self.places[chosen])

    def others(self) -> dict[int, str]:
        """Name the processes that are on these cores too, by core."""
        if not self.places:
            return {}
        with _choosing():
            held = [place for place in self._other_places() if file_locks.is_held(place)]
        return {_core(place): file_locks.holder(place) for place in held}

    def watch(self) -> Callable[[], bool]:
        """Give a question: was any other process on these cores since now?"""
        there, before = bool(self.others()), self._arrivals()
        return lambda: there or self._arrivals() != before

    def _arrivals(self) -> dict[Path, int | None]:
        return {place: file_locks.arrival(place) for place in self._other_places()}

    def _other_places(self) -> list[Path]:
        there = [place for core in self.cores for place in _places(core)]
        return [place for place in there if place not in self.places] if self.places else []


@contextmanager
def claimed(threads: int, say: Callable[[str], None]) -> Iterator[Claim]:
    """Take so many of the cores that this process may use, the least used ones.

    `say` is told where others are on them, and where nobody can know.
    """
    with ExitStack() as held:
        try:
            claim = _claim(threads, held)
            others = claim.others()
        except OSError as error:
            claim, others = Claim(tuple(usable()[-threads:])), {}
            reason = error.strerror or error
            say(f"{FOLDER}: no core can be claimed there ({reason}); others may use it too")
        if others:
            numbers = ", ".join(map(str, sorted(others)))
            say(
                f"core{'s' if len(others) > 1 else ''} {numbers} "
                f"{'are' if len(others) > 1 else 'is'} in use by "
                f"{' and '.join(sorted(set(others.values())))}; "
                "seconds of these runs are no measure"
            )
        yield claim


def pin(threads: int) -> None:
    """Leave this process so many cores, where the system can; nobody is asked for them."""
    pin_to(usable()[-threads:])


def pin_to(cores: tuple[int, ...] | list[int]) -> None:
    """Leave this process these cores, where the system can.

    To be called before anything of a framework is imported: JAX's thread pool has as many
    threads as the process may use cores.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def pinned_to(cores: tuple[int, ...]) -> Iterator[None]:
    """Leave this thread, and the processes that it starts meanwhile, these cores."""
    before = usable()
    pin_to(cores)
    try:
        yield
    finally:
        pin_to(before)


def thread_environment(threads: int) -> dict[str, str]:
    """Give the variables of a process whose native pools have so many threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def _claim(threads: int, held: ExitStack) -> Claim:
    """Take the cores with the fewest processes on them, the last ones first."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # another user's
        FOLDER.chmod(0o777)
    if not file_locks.has_locks(FOLDER):  # a mark would outlive a process that is killed
        raise OSError(errno.ENOLCK, "the file system has no locks")
    with _choosing():
        taken = {
            core: list(filter(file_locks.is_held, _places(core)))
            for core in reversed(usable())
        }
        chosen = sorted(taken, key=lambda core: len(taken[core]))[:threads]
        places = []
        for core in chosen:
            names = (FOLDER / f"core-{core}.{number}.lock" for number in count())
            place = next(name for name in names if name not in taken[core])
            held.enter_context(file_locks.of(place).acquire(timeout=PATIENCE))
            file_locks.sign(place)
            places.append(place)
    return Claim(tuple(chosen), tuple(places))


@contextmanager
def _choosing() -> Iterator[None]:
    """Keep others from choosing cores meanwhile."""
    with file_locks.of(FOLDER / "choosing.lock").acquire(timeout=PATIENCE):
        yield


def _places(core: int) -> list[Path]:
    """List the locks on a core that were ever held."""
    return sorted(FOLDER.glob(f"core-{core}.*.lock"))


def _core(place: Path) -> int:
    return int(place.name.split(".")[0].removeprefix("core-"))
