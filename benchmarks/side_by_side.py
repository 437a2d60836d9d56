"""What a step costs beside another run on the next core, over alone: `python -m benchmarks.side_by_side [rounds]`.

In turn a process alone and two at once, each on a core of its own, as `optbench run
--workers 2` places runs.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict

from rich.progress import track
from tabulate import tabulate

from optbench import implementations
from optbench.measure.commit_process import Asked
from optbench.measure.regressions import ONE_THREAD, settings

OPTIMIZERS = ("adam", "hessian_free", "engd", "kfac")
PROBLEM, NETWORKS, SECONDS = "poisson_sine_2d", ("tanh_64", "tanh_64_64_48_48"), 2.0


def at_once(asked: Asked, cores: list[int]) -> list[dict[str, float]]:
    """A process on each core; their median seconds a step by optimizer."""
    mine, command = (
        os.sched_getaffinity(0),
        [
            sys.executable,
            "-m",
            "optbench.measure.commit_process",
            json.dumps(asdict(asked)),
        ],
    )
    processes = []
    for core in cores:
        os.sched_setaffinity(0, {core})  # which a child inherits
        processes.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}
            )
        )
    os.sched_setaffinity(0, mine)
    found = [json.loads(process.communicate()[0])["samples"] for process in processes]
    return [
        {name: statistics.median(samples) for name, samples in each.items()}
        for each in found
    ]


def main(rounds: int) -> None:
    """Print a row a framework, network and optimizer."""
    cores, rows = sorted(os.sched_getaffinity(0))[:2], []
    asked = [
        Asked(name, OPTIMIZERS, PROBLEM, network, settings(), SECONDS, counted=False)
        for name in implementations.installed()
        for network in NETWORKS
    ]
    for one in track(asked, "frameworks and networks"):
        pairs = [(at_once(one, cores[:1])[0], at_once(one, cores)) for _ in range(rounds)]
        for name in OPTIMIZERS:
            alone = statistics.median(seconds[name] for seconds, _ in pairs)
            ratios = sorted(
                each[name] / seconds[name] for seconds, both in pairs for each in both
            )
            told = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
            rows.append((one.framework, one.network, name, f"{1e3 * alone:.3g}", told))
    print(
        tabulate(
            rows,
            ("framework", "network", "optimizer", "ms alone", "beside another / alone"),
            "pipe",
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
