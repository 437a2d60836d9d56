"""An Adam step and an L-BFGS iteration of ours beside DeepXDE's and jinns's: `make peers`.

`python -m benchmarks.peers [--small]` measures on one core, each framework in a process of
its own, all sides in turn. Before that, all take the same steps from the same parameters,
and their losses are compared: everybody solves the same problem. It writes
results/peers/<machine>/peers.json and peers.md.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.peers.cases import CASES, Side
from benchmarks.peers.ours import Ours
from benchmarks.peers.with_deepxde import DeepXDE
from benchmarks.peers.with_jinns import Jinns
from optbench.implementations.product_rates import in_words, product_rates
from optbench.measure import bootstrap
from optbench.records import cores, files, provenance

CLONE = Path(__file__).parents[2]
PEERS: dict[tuple[str, str], dict[str, Callable[..., Side]]] = {
    ("torch", "adam"): {"DeepXDE": DeepXDE},
    ("torch", "lbfgs_wolfe"): {"DeepXDE": DeepXDE},
    ("jax", "adam"): {"DeepXDE": DeepXDE, "jinns": Jinns},
}
COMPARED = 100  # steps after which losses are compared
ROUNDS, SECONDS = 11, 0.5  # of each side: a walk of about so long


def measured(framework: str, small: bool) -> list[dict[str, Any]]:
    """Measure one framework's comparisons in this process."""
    rows = []
    for case in CASES[:1] if small else CASES:
        for (where, optimizer), peers in PEERS.items():
            if where != framework:
                continue
            made: dict[str, Callable[..., Side]] = {"ours": Ours, **peers}
            sides = {name: side(case, framework, optimizer) for name, side in made.items()}
            losses = compared(sides, 20 if small else COMPARED)
            seconds = timed(sides, 2 if small else ROUNDS, 0.01 if small else SECONDS)
            rows += [
                {
                    "problem": case.problem,
                    "parameters": case.parameters,
                    "optimizer": optimizer,
                    "framework": framework,
                    "peer": name,
                    "losses": [losses["ours"], losses[name]],
                    "seconds": [seconds["ours"], seconds[name]],
                }
                for name in peers
            ]
            print(f"{framework}: {case.problem}, {optimizer}", file=sys.stderr, flush=True)
    return rows


def compared(sides: dict[str, Side], steps: int) -> dict[str, list[float]]:
    """Give everybody's loss before and after as many steps."""
    before = {name: side.loss() for name, side in sides.items()}
    for side in sides.values():
        side.walk(steps)
    return {name: [before[name], side.loss()] for name, side in sides.items()}


def timed(sides: dict[str, Side], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Give the seconds per step of walks in turn."""
    steps = {}
    for name, side in sides.items():
        begin = time.perf_counter()
        side.walk(10)
        steps[name] = 10 * max(1, round(seconds / (time.perf_counter() - begin)))
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            begin = time.perf_counter()
            side.walk(steps[name])
            samples[name].append((time.perf_counter() - begin) / steps[name])
    return samples


def in_a_process(framework: str, small: bool) -> dict[str, Any]:
    """Measure a framework on one core, in a process that has it alone."""
    words = [sys.executable, "-m", "benchmarks.peers", "--only", framework]
    with cores.claimed(1, partial(print, file=sys.stderr)) as claim:
        done = subprocess.run(
            [*words, *(["--small"] if small else [])],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            preexec_fn=lambda: cores.pin_to(claim.cores),
            env={**os.environ, **cores.thread_environment(1)},
        )
    return json.loads(done.stdout.splitlines()[-1])  # theirs print, too


def table(rows: list[dict[str, Any]]) -> str:
    """Write a row for each comparison."""
    shown = []
    for row in rows:
        ours, theirs = (np.array(seconds) for seconds in row["seconds"])
        low, high = bootstrap.interval(np.median, theirs / ours)
        before, after = zip(*row["losses"], strict=True)
        shown.append(
            (
                f"`{row['problem']}`, D = {row['parameters']:,}",
                f"{row['optimizer']}, {row['framework']}",
                row["peer"],
                f"{1e3 * np.median(ours):.3g}",
                f"{1e3 * np.median(theirs):.3g}",
                f"{np.median(theirs / ours):.2f} [{low:.2f}, {high:.2f}]",
                f"{before[0]:.6g} → {after[0]:.6g}",
                f"{before[1]:.6g} → {after[1]:.6g}",
            )
        )
    names = ("case", "step", "beside", "ours, ms", "theirs, ms", "theirs / ours")
    return tabulate(
        shown, (*names, "our loss", "their loss"), tablefmt="pipe", disable_numparse=True
    )


def main(arguments: list[str]) -> None:
    """Measure all frameworks, or one of them for the process that asked."""
    small = "--small" in arguments
    if "--only" in arguments:
        framework = arguments[arguments.index("--only") + 1]
        from optbench import implementations

        rows = measured(framework, small)
        rates = product_rates(implementations.load(framework).backend)
        print(json.dumps({"rows": rows, "rates": rates}))
        return
    parts = {name: in_a_process(name, small) for name in ("torch", "jax")}
    rows = [row for part in parts.values() for row in part["rows"]]
    source = provenance.collect()
    versions = {name: metadata.version(name) for name in ("deepxde", "jinns")}
    told = {
        "commit": source.commit,
        "uncommitted_changes": source.dirty,
        "versions": source.packages | versions,
        "product_rates": {name: part["rates"] for name, part in parts.items()},
        "rows": rows,
    }
    place = CLONE / "results" / ("local/peers" if small else "peers") / source.machine
    place.mkdir(parents=True, exist_ok=True)
    files.replace(place / "peers.json", json.dumps(told, indent=1) + "\n")
    words = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    rates = ", ".join(
        f"{name} {in_words(of)}" for name, of in told["product_rates"].items()
    )
    caption = (
        f"`make peers` on {source.machine}, one core, float64, commit "
        f"{(source.commit or 'unknown')[:10]}{'+' * bool(source.dirty)}, with {words}. "
        f"Medians of {ROUNDS} walks in turn, ratios with 95 % intervals; losses before and "
        f"after {COMPARED} steps from the same parameters on the same points. The "
        f"frameworks' own products in Gflop/s: {rates}."
    )
    files.replace(place / "peers.md", f"{table(rows)}\n\n{caption}\n")
    print(table(rows))
    print(f"written: {place / 'peers.json'}, {place / 'peers.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
