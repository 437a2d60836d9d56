"""asv's benchmarks are found, run, skip and fail as they say; they see what is planted."""

import json
import os
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
from commands import cli
from fakes import STEP, Fake
from small import OPTIMIZERS, frameworks, needs_both

from benchmarks import accuracy, calibration, common, compile, memory, step, width, work
from optbench import implementations, problems
from optbench.measure import accuracy as accuracies
from optbench.measure import asv_check, asv_site, parity
from optbench.measure import work as works

ROOT = Path(__file__).parents[2]
NAMES = {
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
needs_torch = pytest.mark.skipif(
    "torch" not in implementations.installed(), reason="torch is missing"
)


def asv_process(code, *arguments, **environment):
    """Code in a process that has asv's runner first, from elsewhere, as asv starts it."""
    begin = "import asv_runner, sys; from asv_runner._aux import update_sys_path\nupdate_sys_path(sys.argv[1])\n"
    command = [
        sys.executable,
        "-c",
        begin + code,
        str(ROOT / "benchmarks"),
        *map(str, arguments),
    ]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


DISCOVER = "from asv_runner.discovery import list_benchmarks\nlist_benchmarks(sys.argv[1], sys.stdout)"
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
    return {found["name"]: found for found in json.loads(asv_process(ABSENT + DISCOVER))}


def test_discovery_finds_these_names_and_needs_no_framework(discovered):
    assert set(discovered) == NAMES


def test_every_benchmark_has_a_version_by_hand_and_asks_for_every_optimizer(discovered):
    for found in discovered.values():
        assert re.fullmatch(r"\d+", found["version"]), found["name"]
        if "optimizer" in found["param_names"]:
            asked = found["params"][found["param_names"].index("optimizer")]
            assert [eval(name) for name in asked] == common.OPTIMIZERS
    assert set(common.OPTIMIZERS) == set(OPTIMIZERS)


def test_the_bigger_grid_has_every_problem_and_width():
    full = {
        found["name"]: found
        for found in json.loads(asv_process(DISCOVER, OPTBENCH_ASV="full"))
    }
    assert [
        eval(name) for name in full["step.Step.time_step"]["params"][2]
    ] == problems.names()
    assert full["width.Width.time_step"]["params"][2][-1] == "4096"


def test_a_process_of_asvs_has_one_core_and_this_optbench(tmp_path):
    old = tmp_path / "optbench"  # the commit that is measured has none of the instruments
    old.mkdir()
    (old / "__init__.py").touch()
    code = (
        "sys.path.insert(0, sys.argv[2])\nimport os, benchmarks.step, optbench.measure.timed\n"
        "print(optbench.measure.timed.__file__, os.environ['OMP_NUM_THREADS'], os.environ['JAX_ENABLE_X64'], "
        "len(getattr(os, 'sched_getaffinity', lambda process: [0])(0)), 'torch' in sys.modules, 'jax' in sys.modules)"
    )
    said = asv_process(code, tmp_path, OMP_NUM_THREADS="7").split()
    assert said == [
        str(ROOT / "optbench" / "measure" / "timed.py"),
        "1",
        "1",
        "1",
        "False",
        "False",
    ]


@pytest.fixture
def tiny(monkeypatch):
    """Networks and batches as small as can be."""
    made = common.Work

    def shrunk(framework, optimizer, problem, network, settings):
        return made(
            framework, optimizer, problem, "tanh_3", settings, interior=6, boundary=4
        )

    monkeypatch.setattr(common, "Work", shrunk)
    monkeypatch.setattr(works, "POINTS", {"interior": 6, "boundary": 4})
    monkeypatch.setattr(calibration, "SIZE", 8)
    common.warm.cache_clear()
    yield
    common.warm.cache_clear()


def run(cls, method, cell, cache=()):
    """A benchmark's value as asv gets it: setup, then the call, which may run again."""
    benchmark = cls()
    benchmark.setup(*cache, *cell)
    return getattr(benchmark, method)(*cache, *cell)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@frameworks
def test_every_benchmark_of_a_step_runs(framework, optimizer, tiny, monkeypatch):
    timed = {
        name: common.Timed(common.work(framework, optimizer, name, "tanh_3"))
        for name in common.PROBLEMS
    }
    for module in (common, works):  # compiled once for all
        monkeypatch.setattr(module, "Timed", lambda asked, *rest: timed[asked.problem])
    for problem in common.PROBLEMS:
        assert run(step.Step, "time_step", (framework, optimizer, problem)) is None
    for wide in common.WIDTHS:
        assert run(width.Width, "time_step", (framework, optimizer, wide)) is None
    for wide in memory.Memory.params[2]:
        assert isinstance(
            run(memory.Memory, "track_peak_memory", (framework, optimizer, wide)), int
        )
    assert (
        run(compile.Compile, "track_compile_seconds", (framework, optimizer))
        == timed[SINE].compile_seconds
        > 0
    )
    cell = (framework, optimizer, SINE)
    counts = ({cell: works.counts(common.work(*cell, ""))},)
    assert run(work.Flops, "track_flops", cell, counts) > 0
    assert run(work.HostReads, "track_host_reads", cell, counts) >= 0
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
    monkeypatch.setattr(accuracies, "relative_l2", lambda framework, case, path: path)
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
def test_the_calibration_kernel_runs(framework, tiny):
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
        accuracies.case(problems.get(problem), optimizer),
        network="tanh_3",
        interior=6,
        boundary=4,
    )


def fake(monkeypatch):
    """A framework whose device does its work late, for every cell."""
    made = Fake()
    monkeypatch.setattr(implementations, "load", lambda framework: made)
    monkeypatch.setattr(common, "SETTINGS", {"sgd": {}})
    monkeypatch.setattr(common, "repeat", partial(timeit.repeat, timer=made.ticks))
    common.warm.cache_clear()
    return made


def test_the_wait_for_the_device_is_inside_the_timed_call(monkeypatch):
    from asv_runner.benchmarks.time import TimeBenchmark

    made = fake(monkeypatch)
    benchmark = step.Step()
    benchmark.timer = made.ticks
    asked = TimeBenchmark("step.Step.time_step", benchmark.time_step, [benchmark])
    asked._current_params = ("torch", "sgd", SINE)
    assert not asked.do_setup()
    steps = made.calls
    taken = asked.do_run()
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
    cell, cache = (
        next(product(*cls.params)),
        [cls().setup_cache()] if hasattr(cls, "setup_cache") else [],
    )
    with pytest.raises(NotImplementedError, match=f"{cell[0]} is not installed"):
        cls().setup(*cache, *cell)


def test_an_optimizer_that_the_commit_lacks_is_skipped(monkeypatch):
    fake(monkeypatch)
    with pytest.raises(NotImplementedError, match="there is no spring"):
        common.work("torch", "spring", SINE, "tanh_3")


def test_what_the_memory_cannot_hold_is_skipped(monkeypatch):
    made = fake(monkeypatch)
    monkeypatch.setattr(made, "free_memory", lambda: 15, raising=False)
    with pytest.raises(NotImplementedError, match=r"needs 1\.6e-08 GB for a step"):
        common.warm("torch", "sgd", SINE, "tanh_4")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_that_diverged_fails(monkeypatch, bad):
    made = fake(monkeypatch)
    made._losses = lambda params, batch: (np.array(bad), np.array(1.0))
    with pytest.raises(ArithmeticError, match="sgd diverged"):
        step.Step().setup("torch", "sgd", SINE)
    with pytest.raises(ArithmeticError, match="not a finite number"):
        common.finite(bad)


# planted regressions


@pytest.fixture(scope="module")
def kfac_cell():
    return works.Work("torch", "kfac", SINE, "tanh_5_4", {"damping": 1e-3})


@needs_torch
def test_a_redundant_forward_pass_is_seen(monkeypatch, kfac_cell):
    from optbench.implementations.torch.optimizers import kfac

    before = works.counts(kfac_cell)
    assert works.counts(kfac_cell) == before  # to the last flop
    kept = kfac.KFAC.step

    def redundant(self, objective, params, state, batch):
        objective.losses(params, batch)
        return kept(self, objective, params, state, batch)

    monkeypatch.setattr(kfac.KFAC, "step", redundant)
    after = works.counts(kfac_cell)
    assert after["flops"] > 1.01 * before["flops"]
    assert {name: after[name] for name in after if name != "flops"} == {
        name: before[name] for name in before if name != "flops"
    }


@needs_torch
def test_a_read_of_the_device_is_seen(monkeypatch, kfac_cell):
    from optbench.implementations.torch import backend
    from optbench.implementations.torch.optimizers import kfac

    before, kept = works.counts(kfac_cell), kfac.KFAC.step

    def asking(self, objective, params, state, batch):
        backend.read(params[0][0, 0])
        return kept(self, objective, params, state, batch)

    monkeypatch.setattr(kfac.KFAC, "step", asking)
    assert works.counts(kfac_cell)["host_reads"] == before["host_reads"] + 1


@needs_both
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
            name: accuracies.relative_l2(loaded[name], case, path)
            for name, path in paths.items()
        }
        return errors, parity.difference(*paths.values())

    (errors, difference), kept = quantities(), kfac.average

    def average(options, factors, terms):
        interior, boundary = terms
        none = [(0 * A, 0 * B) for A, B in boundary.factors]
        return kept(options, factors, (interior, boundary._replace(factors=none)))

    monkeypatch.setattr(kfac, "average", average)
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
    u, *layers = x, *accuracies.matrices(case, path[-1])
    for number, matrix in enumerate(layers, 1):
        u = u @ matrix[:, :-1].T + matrix[:, -1]
        u = np.tanh(u) if number < len(layers) else u
    expected = np.linalg.norm(u - solution) / np.linalg.norm(solution)
    assert accuracies.relative_l2(loaded, case, path) == pytest.approx(expected, rel=1e-12)


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
        ("memory.Memory.track_peak_memory('torch', 'kfac', 256)", 0.1),
        (
            "accuracy.RelativeL2.track_relative_l2('torch', 'kfac', 'poisson_sine_2d')",
            0.001,
        ),
        ("accuracy.Parity.track_parity('kfac', 'poisson_sine_2d')", 1000),
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


# the check after a run, and the site


MACHINE = "a-machine"
PARAMS = [["'torch'", "'jax'"], ["1", "2"]]


def wrote(folder, results, name="abcdef12-env.json"):
    asked = {
        "step.Step.time_step": {
            "name": "step.Step.time_step",
            "params": PARAMS,
            "version": "1",
        }
    }
    (folder / MACHINE).mkdir(exist_ok=True)
    (folder / "benchmarks.json").write_text(json.dumps({**asked, "version": 2}))
    (folder / MACHINE / "machine.json").write_text(
        json.dumps({"machine": MACHINE, "version": 1})
    )
    text = {
        "commit_hash": "abcdef1234",
        "result_columns": ["result", "params", "version", "samples"],
        "results": results,
    }
    (folder / MACHINE / name).write_text(json.dumps({**text, "version": 2}))
    return folder


def calibrated(*samples):
    return {asv_check.CALIBRATION: [[0.01], [["'torch'"]], "1", [list(samples)]]}


WHOLE = {
    "step.Step.time_step": [[1.0, 2.0, 3.0, float("nan")], PARAMS, "1"],
    **calibrated(1.0, 1.1, 1.05, 1.0),
}


def test_a_whole_run_has_no_problems(tmp_path):
    done = asv_check.check(wrote(tmp_path, WHOLE), MACHINE, "abcdef1234")
    assert (done.ran, len(done.skipped), done.missing, done.problems) == (3, 1, [], [])
    assert asv_check.render(done).splitlines() == [
        "calibration, 'torch': 1000.00 ms, then 1000.00 ms",
        "skipped: step.Step.time_step ('jax', 2)",
        "3 measured, 1 skipped, 0 failed or not run",
    ]


@pytest.mark.parametrize(
    ("results", "missing"),
    [
        ({"step.Step.time_step": [[1.0, None, 3.0, 4.0], PARAMS, "1"]}, 1),  # one raised
        ({"step.Step.time_step": [None, PARAMS, "1"]}, 4),  # all raised
        ({}, 4),  # interrupted
        (
            {"step.Step.time_step": [[1.0, 2.0], [["'torch'"], ["1", "2"]], "1"]},
            2,
        ),  # of a smaller grid
        (
            {"step.Step.time_step": [[1.0, 2.0, 3.0, 4.0], PARAMS, "0"]},
            4,
        ),  # of another version
    ],
)
def test_fewer_than_were_asked_is_seen(tmp_path, results, missing):
    done = asv_check.check(
        wrote(tmp_path, {**results, **calibrated(1.0, 1.0)}), MACHINE, "abcdef1234"
    )
    assert len(done.missing) == missing
    assert not done.problems


def test_what_was_not_asked_is_not_missing(tmp_path):
    results = {
        "step.Step.time_step": [[1.0, float("nan"), None, None], PARAMS, "1"],
        **calibrated(1.0, 1.0),
    }
    done = asv_check.check(
        wrote(tmp_path, results), MACHINE, "abcdef1234", [r"time_step\('torch'"]
    )
    assert (done.ran, len(done.skipped), done.missing) == (1, 1, [])
    done = asv_check.check(tmp_path, MACHINE, "abcdef1234", ["tiem_step"])
    assert done.problems == ["no benchmark matches tiem_step"]


def test_another_commits_results_do_not_count(tmp_path):
    done = asv_check.check(wrote(tmp_path, WHOLE), MACHINE, "1234")
    assert (done.ran, len(done.missing)) == (0, 4)


def test_a_torn_file_is_seen(tmp_path):
    wrote(tmp_path, WHOLE)
    torn = wrote(tmp_path, WHOLE, name="1234-env.json") / MACHINE / "1234-env.json"
    torn.write_text(torn.read_text()[:100])
    done = asv_check.check(tmp_path, MACHINE, "abcdef1234")
    assert [str(torn) in problem and "torn" in problem for problem in done.problems] == [
        True
    ]


@pytest.mark.parametrize("samples", [(1.0, 1.3, 1.2, 1.3), (1.3, 1.2, 1.0, 1.3), ()])
def test_a_machine_that_changed_its_speed_is_seen(tmp_path, samples):
    results = {**WHOLE, **calibrated(*samples)}
    (problem,) = asv_check.check(wrote(tmp_path, results), MACHINE, "abcdef1234").problems
    assert ("moved by more than 15%" if samples else "no samples") in problem
    assert (
        not samples
        or not asv_check.check(tmp_path, MACHINE, "abcdef1234", moved=0.25).problems
    )


def test_the_check_has_an_exit_code(tmp_path):
    wrote(tmp_path, WHOLE)
    asked = ["asv-check", tmp_path, "--machine", MACHINE, "--commit", "abcdef1234"]
    whole = cli(*asked, cwd=tmp_path)
    assert (whole.returncode, whole.stdout.splitlines()[-1]) == (
        0,
        "3 measured, 1 skipped, 0 failed or not run",
    )
    (tmp_path / MACHINE / "abcdef12-env.json").write_text("{")
    assert cli(*asked, cwd=tmp_path).returncode == 1
    nothing = cli("asv-check", tmp_path / "nowhere", cwd=tmp_path)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


@pytest.fixture
def page():
    import asv

    return Path(asv.__file__).parent / "www" / "index.html"


def test_the_site_needs_no_network(tmp_path, page):
    (tmp_path / "index.html").write_text(page.read_text())
    assert len(asv_site.carry(tmp_path)) == 10
    text = (tmp_path / "index.html").read_text()
    fetched = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', text)
    assert not [address for address in fetched if "//" in address]
    assert sum((tmp_path / address).is_file() for address in fetched) == 10
    asv_site.carry(tmp_path)  # again
    assert (tmp_path / "index.html").read_text() == text


def test_a_new_file_of_asvs_page_is_named(tmp_path):
    (tmp_path / "index.html").write_text(
        '<script src="https://elsewhere/new-1.0.min.js" crossorigin></script>'
    )
    with pytest.raises(FileNotFoundError, match=r"asks for new-1\.0\.min\.js"):
        asv_site.carry(tmp_path)


def test_carried_files_are_those_that_asv_names(page):
    import base64
    import hashlib

    tags = re.findall(
        r'https://[^"]*/([^"/]+)" integrity="(sha\d+)-([^"]+)"', page.read_text()
    )
    same = [
        name
        for name, algorithm, checksum in tags
        if (file := asv_site.FILES / name).is_file()
        and base64.b64encode(hashlib.new(algorithm, file.read_bytes()).digest()).decode()
        == checksum
    ]
    assert len(tags) == 10
    # flot is not minified here, stupidtable is a newer version
    assert len(same) == 5


# what times another commit must import nothing that this clone's records need: old commits'
# `problems` do not have it
NEEDED_BY_A_TIMED_STEP = {
    *(
        "optbench",
        "optbench.campaign",
        "optbench.campaign.presets",
        "optbench.measure",
        "optbench.measure.accuracy",
    ),
    *(
        "optbench.measure.commit_process",
        "optbench.measure.parity",
        "optbench.measure.timed",
    ),
    *(
        "optbench.measure.widths",
        "optbench.measure.work",
        "optbench.records",
        "optbench.records.cores",
    ),
    *("optbench.training", "optbench.training.memory"),
}


def test_what_times_a_commit_imports_little_of_optbench():
    modules = "accuracy, calibration, compile, memory, step, width, work"
    code = f"import sys; from benchmarks import {modules}; from optbench.measure import commit_process\n"
    code += "print(*(name for name in sys.modules if name.startswith('optbench')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found = {
        name
        for name in done.stdout.split()
        if name.split(".")[1:2] not in (["problems"], ["implementations"])
    }
    assert found == NEEDED_BY_A_TIMED_STEP


@pytest.mark.parametrize(
    ("search", "learning_rate", "told"),
    [
        (None, 0.1, True),  # no line search: none is what it evaluates
        (SimpleNamespace(evaluations=3), None, True),
        (SimpleNamespace(), None, False),
        (None, None, False),  # a search, by an old commit that keeps nothing of it
    ],
)
def test_a_search_that_a_commit_does_not_count_is_no_zero(
    monkeypatch, search, learning_rate, told
):
    timed = SimpleNamespace(
        state=SimpleNamespace(search=search),
        optimizer=SimpleNamespace(learning_rate=learning_rate),
        framework=SimpleNamespace(backend=SimpleNamespace()),
    )
    monkeypatch.setattr(works, "small", lambda work: work)
    monkeypatch.setattr(works, "Timed", lambda *_: timed)
    monkeypatch.setattr(works, "QUANTITIES", {"line_search_evaluations": lambda timed: 0})
    assert ("line_search_evaluations" in works.counts(None)) is told
