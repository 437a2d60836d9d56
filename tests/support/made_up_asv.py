"""A folder of asv's results with made-up numbers, written by asv itself."""

import itertools

import numpy as np
from asv import util
from asv.benchmarks import Benchmarks
from asv.machine import Machine
from asv.results import Results
from asv.runner import BenchmarkResult

NAN = float("nan")
DAY = 86_400_000  # milliseconds


def result(cells, number=None):
    """What asv's runner hands on.

    A cell is a list of samples, one number, NaN (skipped) or None (failed).
    """
    timed = [isinstance(cell, list) for cell in cells]
    return BenchmarkResult(
        result=[cell[0] if many else cell for cell, many in zip(cells, timed, strict=True)],
        samples=[cell if many else None for cell, many in zip(cells, timed, strict=True)],
        number=[1 if many else None for many in timed],
        errcode=0,
        stderr="",
        profile=None,
    )


def benchmark(name, params, unit="seconds", version="1"):
    """An entry of benchmarks.json; `params` are lists by name."""
    values = [[repr(value) for value in each] for each in params.values()]
    return {
        "name": name,
        "params": values,
        "param_names": list(params),
        "unit": unit,
        "version": version,
    }


def cells(params, of):
    """`of(**parameters)` for the product of the parameters, in asv's order."""
    return [
        of(**dict(zip(params, each, strict=True)))
        for each in itertools.product(*params.values())
    ]


def write(
    root, machine, commits, samples=True, ram="8000000000", environment="made-up", first=0
):
    """Write results of commits that are one day apart.

    Each commit is a list of pairs: what `benchmark` gave, and its cells. `first` is the day
    of the first one.
    """
    (root / machine).mkdir(parents=True, exist_ok=True)
    util.write_json(
        str(root / machine / "machine.json"),
        {"machine": machine, "ram": ram},
        Machine.api_version,
    )
    known = {}
    for day, found in enumerate(commits, first):
        commit = f"{day + 1:040x}"[::-1]
        kept = Results(
            {"machine": machine, "python": "3.11"},
            {},
            commit,
            (day + 1) * DAY,
            "3.11",
            environment,
            {},
        )
        for described, values in found:
            known[described["name"]] = described
            timed = described["unit"] == "seconds"
            kept.add_result(
                described, result(values), record_samples=samples and timed, duration=1.0
            )
        kept.save(str(root))
    util.write_json(str(root / "benchmarks.json"), known, Benchmarks.api_version)
    return root


def noisy(seconds, seed, count=8, spread=0.05):
    """Samples around a number of seconds."""
    return list(seconds * np.exp(spread * np.random.default_rng(seed).normal(size=count)))
