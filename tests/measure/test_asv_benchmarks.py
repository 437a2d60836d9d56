"""asv's benchmarks are found, run, skip and fail as they say; they see what is planted."""

import json
import re
import subprocess
import sys
import timeit
import tomllib
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import asv_process
from fakes import STEP, Fake
from small import OPTIMIZERS, frameworks, needs_both

from benchmarks import accuracy, calibration, common, compile, memory, step, width, work
from optbench import implementations, problems
from optbench.implementations.protocol import Losses
from optbench.measure import parity, timed

ROOT = Path(__file__).parents[2]
NAMES = {
    "accuracy.Baseline.track_gradients",
    "accuracy.Parity.track_parity",
    "accuracy.RelativeL2.track_relative_l2",
    "calibration.Calibration.time_matmul",
    "compile.Compile.track_compile_seconds",
    "memory.Memory.track_peak_memory",
    "step.Step.time_step",
    "width.Parameters.track_parameters",
    "width.Width.time_step",
    "work.Compilations.track_compilations",
    "work.Evaluations.track_line_search_evaluations",
    "work.Flops.track_flops",
    "work.HostReads.track_host_reads",
    "work.Launches.track_launches",
}
CLASSES = [
    step.Step,
    width.Width,
    memory.Memory,
    compile.Compile,
    work.Flops,
    accuracy.RelativeL2,
]
SINE = "poisson_sine_2d"
FEW = {"interior": 6, "boundary": 4}
needs_torch = pytest.mark.skipif(
    "torch" not in implementations.installed(), reason="torch is missing"
)


DISCOVER = """
from asv_runner.discovery import list_benchmarks
list_benchmarks(sys.argv[1], sys.stdout)
"""
# every framework is away
ABSENT = """
from importlib.machinery import PathFinder
class Absent(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name in ("torch", "jax") else super().find_spec(name, *rest)
sys.meta_path[sys.meta_path.index(PathFinder)] = Absent
"""


@pytest.fixture(scope="module")
def discovered():
    return {entry["name"]: entry for entry in json.loads(asv_process(ABSENT + DISCOVER))}


def test_discovery_finds_these_names_and_needs_no_framework(discovered):
    assert set(discovered) == NAMES


def test_every_benchmark_has_a_version_by_hand_and_asks_for_every_optimizer(discovered):
    for entry in discovered.values():
        assert re.fullmatch(r"\d+", entry["version"]), entry["name"]
        if "optimizer" in entry["param_names"]:
            names = entry["params"][entry["param_names"].index("optimizer")]
            assert [eval(name) for name in names] == common.OPTIMIZERS
    assert set(common.OPTIMIZERS) == set(common.SETTINGS) - set(common.GRID.full_alone)
    assert set(common.SETTINGS) == set(OPTIMIZERS)


def test_the_bigger_grid_has_every_optimizer_problem_and_width(discovered):
    full = {
        entry["name"]: entry
        for entry in json.loads(asv_process(DISCOVER, OPTBENCH_ASV="full"))
    }
    _, optimizers, places = full["step.Step.time_step"]["params"]
    assert [eval(name) for name in optimizers] == list(common.SETTINGS)
    assert [eval(name) for name in places] == problems.names()
    assert full["width.Width.time_step"]["params"][2][-1] == "4096"
    for name, entry in discovered.items():  # a cell that is measured is in both
        for few, many in zip(entry["params"], full[name]["params"], strict=True):
            assert set(few) <= set(many)


def test_cells_of_the_published_history_keep_their_parameters(discovered):
    """asv drops the history of a benchmark whose parameters or version are others."""
    published = json.loads((ROOT / "results" / "asv" / "benchmarks.json").read_text())
    for name in discovered.keys() & published:  # others have no history yet
        entry, known = discovered[name], published[name]
        assert (entry["version"], entry["param_names"]) == (
            known["version"],
            known["param_names"],
        )
        for ours, theirs in zip(entry["params"], known["params"], strict=True):
            assert set(theirs) <= set(ours)


@pytest.fixture(autouse=True)
def nothing_warm():
    """No step of another test, which may be a fake's, is taken for one's own."""
    common.warm.cache_clear()
    yield
    common.warm.cache_clear()


@pytest.fixture
def tiny(monkeypatch):
    """Networks and batches as small as can be."""

    def shrunk(framework, optimizer, problem, network, settings):
        return timed.Work(framework, optimizer, problem, "tanh_3", settings, FEW)

    monkeypatch.setattr(common, "Work", shrunk)
    monkeypatch.setattr(timed, "FEW_POINTS", FEW.values())
    monkeypatch.setattr(calibration, "SIZE", 8)


def run(cls, method, cell, cache=()):
    """A benchmark's value as asv gets it: setup, then the call, which may run again."""
    benchmark = cls()
    benchmark.setup(*cache, *cell)
    return getattr(benchmark, method)(*cache, *cell)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@frameworks
def test_every_benchmark_of_a_step_runs(framework, optimizer, tiny, monkeypatch):
    steps = {
        name: timed.Timed(common.work(framework, optimizer, name, "tanh_3"))
        for name in common.PROBLEMS
    }
    for module in (common, timed):  # compiled once for all
        monkeypatch.setattr(module, "Timed", lambda work: steps[work.problem])
    for problem in common.COUNTED:
        assert run(step.Step, "time_step", (framework, optimizer, problem)) is None
    widths = common.GRID.measured_widths(optimizer)
    for wide in widths:
        assert run(width.Width, "time_step", (framework, optimizer, wide)) is None
    assert isinstance(
        run(memory.Memory, "track_peak_memory", (framework, optimizer, widths[-1])), int
    )
    assert (
        run(compile.Compile, "track_compile_seconds", (framework, optimizer))
        == steps[SINE].compile_seconds
        > 0
    )
    cell = (framework, optimizer, SINE)
    counts = ({cell: timed.counts(common.work(*cell, ""))},)
    assert run(work.Flops, "track_flops", cell, counts) > 0
    assert run(work.HostReads, "track_host_reads", cell, counts) >= 0
    assert run(work.Launches, "track_launches", cell, counts) > 0
    assert run(work.Evaluations, "track_line_search_evaluations", cell, counts) >= 0
    assert run(work.Compilations, "track_compilations", cell, counts) == (
        framework == "jax"
    )


@pytest.mark.parametrize("cls", [work.Counted, accuracy.Walked])
def test_a_cache_has_every_cell_and_a_failure_is_the_cells_alone(cls, monkeypatch):
    def measure(*cell):
        if "kfac" in cell:
            raise ZeroDivisionError("planted")
        if "adam" in cell:
            raise implementations.FrameworkMissing("torch")
        return 0.5

    monkeypatch.setattr(work, "_counts", measure)
    monkeypatch.setattr(accuracy, "_walk", measure)
    monkeypatch.setattr(parity, "relative_l2", lambda framework, case, path: path)
    monkeypatch.setattr(parity, "difference", lambda one, other: one)
    monkeypatch.setattr(implementations, "load", lambda framework: framework)
    cache = cls().setup_cache()
    for benchmark in cls.__subclasses__():
        assert set(product(*benchmark.params)) <= set(cache)
    for cell, outcome in cache.items():
        kind = (
            RuntimeError
            if "kfac" in cell
            else NotImplementedError
            if "adam" in cell
            else float
        )
        assert isinstance(outcome, kind), cell
    with pytest.raises(RuntimeError, match="planted"):
        cls.__subclasses__()[0]().setup(
            cache, *next(cell for cell in cache if "kfac" in cell)
        )


def test_a_width_has_its_parameters():
    assert {wide: width.Parameters().track_parameters(wide) for wide in (64, 4096)} == {
        64: 9_873,
        4096: 38_822_913,
    }


@frameworks
def test_the_calibration_runs(framework, tiny):
    calibration._product.cache_clear()
    run(calibration.Calibration, "time_matmul", (framework,))
    calibration._product.cache_clear()


@needs_both
def test_accuracy_runs(monkeypatch):
    monkeypatch.setattr(
        accuracy, "_case", lambda *cell: replace(small_case(*cell), steps=2)
    )
    monkeypatch.setattr(common, "OPTIMIZERS", ["sgd"])
    monkeypatch.setattr(accuracy, "CELLS", (["sgd"], [SINE]))
    cache = accuracy.Walked().setup_cache()
    assert len(cache) == 3
    assert (
        0
        < run(accuracy.RelativeL2, "track_relative_l2", ("torch", "sgd", SINE), (cache,))
        < 10
    )
    assert 0 <= run(accuracy.Parity, "track_parity", ("sgd", SINE), (cache,)) < 1e-12


def small_case(optimizer, problem):
    return replace(
        parity.conditioned(problems.get(problem), optimizer),
        network="tanh_3",
        points=FEW,
    )


def fake(monkeypatch):
    """A framework whose device does its work late, for every cell."""
    made = Fake()
    monkeypatch.setattr(implementations, "load", lambda framework: made)
    monkeypatch.setattr(common, "SETTINGS", {"sgd": {}})
    monkeypatch.setattr(common, "repeat", partial(timeit.repeat, timer=made.ticks))
    return made


def test_the_wait_for_the_device_is_inside_the_timed_call(monkeypatch):
    from asv_runner.benchmarks.time import TimeBenchmark

    made = fake(monkeypatch)
    benchmark = step.Step()
    benchmark.timer = made.ticks
    sampler = TimeBenchmark("step.Step.time_step", benchmark.time_step, [benchmark])
    sampler._current_params = ("torch", "sgd", SINE)
    assert not sampler.do_setup()
    steps = made.calls
    taken = sampler.do_run()
    assert taken["number"] == 1
    assert set(taken["samples"]) == {STEP}
    assert (
        made.calls == steps + len(taken["samples"]) >= steps + 3
    )  # `setup`, which asv repeats, makes no step
    assert made.pending == 0


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.0, 1), (0.02, 1), (0.001, 20), (1e-5, 2000)]
)
def test_a_sample_takes_twenty_milliseconds(monkeypatch, seconds, expected):
    made = fake(monkeypatch)
    assert common.calls(lambda: made.ticks.pass_by(seconds)) == expected


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_missing_is_skipped_and_says_why(cls, monkeypatch):
    def missing(framework):
        raise implementations.FrameworkMissing(framework)

    monkeypatch.setattr(implementations, "load", missing)
    *others, last = cls.params  # the widest, and the first problem
    cell, cache = (
        (*(values[0] for values in others), last[0 if cls is step.Step else -1]),
        [cls().setup_cache()] if hasattr(cls, "setup_cache") else [],
    )
    with pytest.raises(NotImplementedError, match=f"{cell[0]} is not installed"):
        cls().setup(*cache, *cell)


def test_an_optimizer_that_the_commit_lacks_is_skipped(monkeypatch):
    fake(monkeypatch)
    with pytest.raises(NotImplementedError, match="there is no spring"):
        common.work("torch", "spring", SINE, "tanh_3")


def test_a_width_that_an_optimizer_does_not_have_by_default_is_skipped(monkeypatch):
    for benchmark, wide in ((width.Width, 64), (width.Width, 256), (memory.Memory, 256)):
        assert wide in benchmark.params[2]
        with pytest.raises(NotImplementedError, match=f"engd has width {wide} .* alone"):
            benchmark().setup("torch", "engd", wide)
    monkeypatch.setattr(common, "FULL", True)
    common.asked("engd", 64, [16, 32])


def test_a_step_is_timed_on_the_first_problem_by_default():
    first, other = common.GRID.problems
    assert [*common.COUNTED] == [first]
    with pytest.raises(NotImplementedError, match=f"{other} .* OPTBENCH_ASV=full alone"):
        step.Step().setup("torch", "sgd", other)


def test_what_the_memory_cannot_hold_is_skipped(monkeypatch):
    made = fake(monkeypatch)
    monkeypatch.setattr(made, "free_memory", lambda: 15, raising=False)
    with pytest.raises(NotImplementedError, match=r"needs 1\.6e-08 GB for a step"):
        common.warm("torch", "sgd", SINE, "tanh_4")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_diverged_fails(monkeypatch, bad):
    made = fake(monkeypatch)
    made._losses = lambda params, batch: Losses({"interior": np.array(bad)})
    with pytest.raises(ArithmeticError, match="sgd diverged"):
        step.Step().setup("torch", "sgd", SINE)
    with pytest.raises(ArithmeticError, match="not a finite number"):
        common.finite(bad)


@needs_torch
def test_a_baseline_beside_scipy_is_a_ratio_of_gradients(monkeypatch):
    posed = replace(accuracy.POSED, network="tanh_4", points=FEW)
    name = "lbfgs_wolfe beside SciPy L-BFGS-B"
    eager = replace(accuracy.BESIDE_SCIPY[name], framework="torch")
    monkeypatch.setattr(accuracy, "POSED", posed)
    monkeypatch.setattr(accuracy, "GRADIENTS", 60)
    monkeypatch.setitem(accuracy.BESIDE_SCIPY, name, eager)
    assert 0.3 < run(accuracy.Baseline, "track_gradients", (name,)) < 3
    unknown = replace(eager, optimizer="unheard_of")
    monkeypatch.setitem(accuracy.BESIDE_SCIPY, name, unknown)
    with pytest.raises(NotImplementedError, match="there is no unheard_of"):
        accuracy.Baseline().setup(name)


# planted regressions


@pytest.fixture(scope="module")
def kfac_cell():
    return timed.Work("torch", "kfac", SINE, "tanh_5_4", {"damping": 1e-3})


@needs_torch
def test_a_redundant_forward_pass_is_seen(monkeypatch, kfac_cell):
    from optbench.implementations.torch.optimizers import kfac

    before = timed.counts(kfac_cell)
    assert timed.counts(kfac_cell) == before  # to the last flop
    kept = kfac.KFAC.step

    def redundant(self, objective, params, state, batch):
        objective.losses(params, batch)
        return kept(self, objective, params, state, batch)

    monkeypatch.setattr(kfac.KFAC, "step", redundant)
    after = timed.counts(kfac_cell)
    assert after["flops"] > 1.01 * before["flops"]
    assert after["launches"] > before["launches"]
    assert {name: after[name] for name in after.keys() - {"flops", "launches"}} == {
        name: before[name] for name in before.keys() - {"flops", "launches"}
    }


@needs_torch
def test_a_read_of_the_device_is_seen(monkeypatch, kfac_cell):
    from optbench.implementations.torch import backend
    from optbench.implementations.torch.optimizers import kfac

    before, kept = timed.counts(kfac_cell), kfac.KFAC.step

    def asking(self, objective, params, state, batch):
        backend.read(params[0][0, 0])
        return kept(self, objective, params, state, batch)

    monkeypatch.setattr(kfac.KFAC, "step", asking)
    assert timed.counts(kfac_cell)["host_reads"] == before["host_reads"] + 1


@needs_both
@pytest.mark.medium
def test_factors_that_are_skipped_are_seen(monkeypatch):
    """Faster and wrong: KFAC without the boundary's factors, in one framework."""
    from optbench.implementations.torch.optimizers import kfac

    case = replace(small_case("kfac", SINE), steps=5)
    loaded = {name: implementations.load(name) for name in implementations.FRAMEWORKS}

    def quantities():
        paths = {
            name: parity.trajectory(framework, case) for name, framework in loaded.items()
        }
        errors = {
            name: parity.relative_l2(loaded[name], case, path)
            for name, path in paths.items()
        }
        return errors, parity.difference(*paths.values())

    (errors, difference), kept = quantities(), kfac.merged

    def merged(weights, terms):
        none = [(0 * A, 0 * B) for A, B in terms["boundary"].factors]
        return kept(weights, terms | {"boundary": terms["boundary"]._replace(factors=none)})

    monkeypatch.setattr(kfac, "merged", merged)
    wrong, apart = quantities()
    assert difference < 1e-10 < 1e-3 < apart
    assert wrong["jax"] == errors["jax"] == pytest.approx(errors["torch"], rel=1e-9)
    assert abs(wrong["torch"] / errors["torch"] - 1) > 1e-3


@frameworks
def test_the_error_is_that_of_a_run(framework):
    case = replace(small_case("sgd", SINE), steps=1)
    loaded = implementations.load(framework)
    path = parity.trajectory(loaded, case)
    x, solution = problems.seeds.evaluation_points(case.problem, "report")
    u, *layers = x, *parity.matrices(case, path[-1])
    for number, matrix in enumerate(layers, 1):
        u = u @ matrix[:, :-1].T + matrix[:, -1]
        u = np.tanh(u) if number < len(layers) else u
    expected = np.linalg.norm(u - solution) / np.linalg.norm(solution)
    assert parity.relative_l2(loaded, case, path) == pytest.approx(expected, rel=1e-12)


# configuration


@pytest.fixture(scope="module")
def configuration():
    json5 = pytest.importorskip("json5")
    return json5.loads((ROOT / "asv.conf.json").read_text())


def test_asv_knows_every_key_of_the_configuration(configuration):
    from asv.config import Config

    unknown = set(configuration) - set(vars(Config())) - {"version"}
    assert not unknown
    assert configuration["launch_method"] == "spawn"
    assert configuration["install_timeout"] >= 1800
    assert configuration["default_benchmark_timeout"] >= 600
    assert configuration["results_dir"] == "results/asv"


def test_asv_installs_what_the_lock_says(configuration):
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    lock = dict(line.split("==") for line in lines if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]} | {
        "torch",
        "jax",
        "pip+asv_runner",
    }
    pinned = configuration["matrix"]["req"]
    assert needed <= set(pinned)
    assert pinned == {name: [lock[name.removeprefix("pip+")]] for name in pinned}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("step.Step.time_step('torch', 'kfac', 'poisson_sine_2d')", 0.3),
        ("work.Flops.track_flops('torch', 'kfac', 'poisson_sine_2d')", 0.01),
        ("work.Launches.track_launches('torch', 'kfac', 'poisson_sine_2d')", 0),
        ("memory.Memory.track_peak_memory('torch', 'kfac', 256)", 0.1),
        (
            "accuracy.RelativeL2.track_relative_l2('torch', 'kfac', 'poisson_sine_2d')",
            0.001,
        ),
        ("accuracy.Parity.track_parity('kfac', 'poisson_sine_2d')", 1000),
        ("accuracy.Baseline.track_gradients('bfgs beside SciPy BFGS')", 0.1),
    ],
)
def test_asv_reads_our_thresholds(configuration, entry, expected):
    from asv.config import Config
    from asv.plugins.regressions import _GraphDataFilter

    reader = _GraphDataFilter(Config.from_json(configuration), None, {})
    assert (
        reader._get_threshold(SimpleNamespace(params={"branch": "main"}), None, entry)
        == expected
    )


# what times another commit must import nothing that this clone's records need: old commits'
# `problems` do not have it
NEEDED_BY_A_TIMED_STEP = {
    "optbench",
    "optbench.extras",
    "optbench.measure",
    "optbench.measure.baselines",
    "optbench.measure.bootstrap",
    "optbench.measure.commit_process",
    "optbench.measure.commits",
    "optbench.measure.grid",
    "optbench.measure.launches",
    "optbench.measure.parity",
    "optbench.measure.rivals",
    "optbench.measure.timed",
    "optbench.records",
    "optbench.records.cores",
    "optbench.records.file_locks",
    "optbench.training",
    "optbench.training.memory",
}


def test_what_times_a_commit_imports_little_of_optbench():
    modules = "accuracy, calibration, compile, memory, step, width, work"
    code = f"import sys; from benchmarks import {modules}\n"
    code += "from optbench.measure import commit_process\n"
    code += "print(*(name for name in sys.modules if name.startswith('optbench')))"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    imported = {
        name
        for name in process.stdout.split()
        if name.split(".")[1:2] not in (["problems"], ["implementations"])
    }
    assert imported == NEEDED_BY_A_TIMED_STEP
