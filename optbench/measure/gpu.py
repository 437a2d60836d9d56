"""What is measured first on a GPU that is had for minutes; it goes on where it was.

Each entry is a command of ours. What it prints is kept in a file of its own; an entry whose
file is whole is done, and is not done again.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CHECKED = ("adam", "lbfgs_wolfe", "ssbroyden", "kfac", "engd_woodbury", "trust_region")
PROFILED = ("adam", "kfac", "trust_region")
WIDTHS = (256, 1024, 4096)  # of the networks that are profiled
LEAST = 10.0  # seconds: an entry is not begun for less
TO_END = 20.0  # seconds that an interrupted command has to end in good order
PARTIAL = ".partial"  # of the output of an entry that was broken off


# in place of a campaign where all is tiny
SINGLE = (
    *("run", "--problem", "burgers_1d", "--network", "box_3_tanh_4", "--steps", "5"),
    *("--optimizer", "adam", "--framework", "torch", "--interior", "20"),
)


@dataclass(frozen=True)
class Entry:
    """A command with the most seconds that it may have."""

    name: str  # of its file
    most: float
    words: tuple[str, ...]  # after `optbench`


def entries(folder: Path, small: bool = False) -> list[Entry]:
    """List what is measured, the most valuable first.

    Its records go to a folder. `small` asks for tiny sizes, which a CPU has in seconds.
    """
    options = [word for name in CHECKED for word in ("--optimizer", name)]
    checks = Entry(
        "checks", 60, ("parity", "--problem", "poisson_sine_2d", "--steps", "5", *options)
    )
    ladder, standard = (
        Entry(name, 480, ("run", campaign, "--results", str(folder)))
        for name, campaign in (("ladder", "gpu_ladder"), ("standard", "gpu_standard"))
    )
    if small:
        words = ("scale", "--width", "4", "--width", "6", "--steps", "1")
        ladder = Entry("ladder", 480, (*words, *ladder.words[2:], "--optimizer", "adam"))
        standard = Entry("standard", 480, (*SINGLE, *standard.words[2:]))
    profiles = []
    for width in (3,) if small else WIDTHS:
        narrow = 3 * width // 4 or 1
        network = f"tanh_{width}_{width}_{narrow}_{narrow}"
        for name in PROFILED:
            sketch = ("--set", "sketch=5" if small else "sketch=500")
            words = ("profile", "poisson_sine_2d", name, "--network", network)
            more = sketch if name == "trust_region" else ()
            profiles.append(
                Entry(f"profile_{name}_{width}", 60, (*words, *more, "--seconds", "2"))
            )
    return [checks, ladder, *profiles, standard]


def carry_out(
    todo: Iterable[Entry],
    folder: Path,
    seconds: float,
    say: Callable[[str], None],
    call: Callable[[Entry, Path, float], bool],
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Do what is not done yet, one after the other, for so many seconds in all.

    `call` does an entry within a limit, writes what it prints, and says whether it came to
    its end; `say` is told what is done and where it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = now() + seconds
    for entry in todo:
        file = folder / f"{entry.name}.txt"
        if file.exists():
            say(f"{entry.name}: done before, in {file}")
            continue
        left = end - now()
        if left < LEAST:
            say(f"{entry.name}: not begun, {max(0.0, left):.0f} s are left; next time")
            continue
        limit = min(entry.most, left)
        say(f"{entry.name}: optbench {' '.join(entry.words)}, for at most {limit:.0f} s")
        partial = file.with_suffix(PARTIAL)
        begun = now()
        if call(entry, partial, limit):
            partial.replace(file)
            say(f"{entry.name}: ended after {now() - begun:.0f} s, written: {file}")
        else:
            say(f"{entry.name}: broken off after {now() - begun:.0f} s, see {partial}")


def optbench(entry: Entry, output: Path, limit: float) -> bool:
    """Run an entry's command; say whether it came to its end within the limit.

    One that takes longer is interrupted, as by Ctrl-C: a campaign goes on next time.
    """
    command = [sys.executable, "-m", "optbench", *entry.words]
    with output.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            # 1: it came to its end, and what it found is not as it should be
            return process.wait(limit) in (0, 1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        try:
            process.wait(TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return False
