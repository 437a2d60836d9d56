"""What a step costs beside another run on the next core, over what it costs alone.

`python -m benchmarks.side_by_side [rounds]`: in turn a process alone and two at once, each
on a core of its own, as `optbench run --workers 2` places runs.
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
from optbench.measure import grid
from optbench.measure.commit_process import Job
from optbench.records import cores

OPTIMIZERS = ("adam", "hessian_free", "engd", "kfac")
PROBLEM, NETWORKS, SECONDS = "poisson_sine_2d", ("tanh_64", "tanh_64_64_48_48"), 2.0


def at_once(job: Job, places: list[int]) -> list[dict[str, float]]:
    """Do a job on each of these cores at once; give median seconds by optimizer."""
    usable = cores.usable()
    words = ["-m", "optbench.measure.commit_process", json.dumps(asdict(job))]
    environment = {**os.environ, **cores.thread_environment(1)}
    processes = []
    for core in places:
        os.sched_setaffinity(0, {core})  # which a child inherits
        processes.append(
            subprocess.Popen(
                [sys.executable, *words],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )
    os.sched_setaffinity(0, usable)
    return [
        {
            name: statistics.median(samples)
            for name, samples in json.loads(process.communicate()[0])["samples"].items()
        }
        for process in processes
    ]


def main(rounds: int) -> None:
    """Print one row per framework, network and optimizer."""
    places, rows, settings = cores.usable()[:2], [], grid.shipped().optimizers
    jobs = [
        Job(name, OPTIMIZERS, PROBLEM, network, settings, SECONDS, counted=False)
        for name in implementations.installed()
        for network in NETWORKS
    ]
    for job in track(jobs, "frameworks and networks"):
        pairs = [(at_once(job, places[:1])[0], at_once(job, places)) for _ in range(rounds)]
        for name in OPTIMIZERS:
            alone = statistics.median(seconds[name] for seconds, _ in pairs)
            ratios = sorted(
                beside[name] / seconds[name] for seconds, both in pairs for beside in both
            )
            ratio = f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
            rows.append((job.framework, job.network, name, f"{1e3 * alone:.3g}", ratio))
    headers = ("framework", "network", "optimizer", "ms alone", "beside another / alone")
    print(tabulate(rows, headers, "pipe"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
