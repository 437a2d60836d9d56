"""Commits from before a change of how they are driven are timed as others are.

Each is measured in a process of its own, as asv and `optbench regressions` do; what is
planted in one is seen.
"""

import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from commands import ROOT, asv_process
from small import frameworks

from optbench import implementations
from optbench.measure import commits, regressions, timed
from optbench.measure.commit_process import Job
from optbench.measure.verdicts import TREES, counted

MOVE = "9f4bf7e"  # the last commit with `problems` and `implementations` as top-level names
# the first one that asv timed: its backends tell no memory and no reads, its optimizers
# foresee and count nothing
FIRST = "52bb5091"
FORESEEN = "8a55740"  # its backends tell what is free, its optimizers not what they need
# the last one whose problems have an interior and a boundary alone: its batches and losses
# are pairs, its objectives know an activation
TWO_TERMS = "01ec154"
SINE = "poisson_sine_2d"
needs_torch = pytest.mark.skipif(
    "torch" not in implementations.installed(), reason="torch is missing"
)


@contextmanager
def trees(base, head):
    """Both commits beside this clone's optbench; skips where it does not have them."""
    for commit in (base, head):
        git = ["git", "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"]
        if subprocess.run(git, capture_output=True, check=False).returncode:
            pytest.skip(f"no commit {commit} in this clone: it has little or no history")
    with regressions.trees(base, head) as folders:
        yield folders


def job(framework, **fields):
    return Job(framework, ("sgd",), SINE, "tanh_3", {}, 0.0, **{"counted": True} | fields)


@pytest.mark.parametrize("base", ["HEAD", MOVE])
def test_a_tree_has_the_commits_code_and_this_clones_optbench(base):
    with trees(base, "HEAD") as folders:
        assert set(folders) == set(TREES)
        assert folders["again"] == folders["base"] != folders["head"]
        for name, folder in folders.items():
            file = "optbench/measure/commits.py"
            assert (folder / file).read_bytes() == (ROOT / file).read_bytes()
            packaged = name == "head" or base == "HEAD"
            packages = regressions.packages(folder, packaged)
            assert (packages / "implementations" / "torch" / "__init__.py").is_file()
            assert not (packages.parent / "implementations").exists()
    assert not folders["head"].exists()


@frameworks
@pytest.mark.parametrize("commit", [pytest.param(MOVE, marks=pytest.mark.slow), TWO_TERMS])
@pytest.mark.medium
def test_a_commit_from_before_a_change_is_timed_as_the_head_is(commit, framework):
    with trees(commit, "HEAD") as folders:
        base, head = (
            regressions.measure(folders[name], job(framework)) for name in ("base", "head")
        )
    assert (base.failed, head.failed) == ({}, {})
    for commit in (base, head):  # what the later one has made of fewer calls
        assert commit.work["sgd"].pop("launches") > 0
    assert base.work["sgd"].keys() == head.work["sgd"].keys()
    assert base.work["sgd"] == pytest.approx(head.work["sgd"], rel=0.01)
    assert base.work["sgd"]["flops"] > 0
    # passes that are written in another way round in another
    np.testing.assert_allclose(base.path["sgd"], head.path["sgd"], rtol=1e-12, atol=1e-14)
    assert min(base.samples["sgd"]) > 0


@needs_torch
@pytest.mark.parametrize(("commit", "reads"), [(FIRST, {}), (FORESEEN, {"host_reads": 0})])
@pytest.mark.medium
def test_a_commit_that_lacks_methods_is_timed(commit, reads):
    with trees(commit, commit) as folders:
        measurements = regressions.measure(folders["base"], job("torch"))
    assert measurements.failed == {}
    counts = measurements.work["sgd"]
    assert counts.pop("flops") > 0
    assert counts.pop("launches") > 0
    assert counts == {"line_search_evaluations": 0, "compilations": 0, **reads}
    assert len(measurements.path["sgd"]) == 21
    assert min(measurements.samples["sgd"]) > 0


@pytest.mark.parametrize("asked", [True, False])
def test_what_an_optimizer_foresees_without_an_objective_is_asked(asked):
    class Old:
        def counters(self, state):
            return {}

    class Foreseeing(Old):
        def working(self, params, batch):
            return params + batch

    framework = SimpleNamespace(OPTIMIZERS={"old": Foreseeing if asked else Old})
    optimizer = commits.optimizer(framework, "old", {})
    assert optimizer.working("an objective", 3, 4) == (7 if asked else 0)


@needs_torch
@pytest.mark.slow
def test_more_work_that_is_planted_in_an_old_commit_is_named():
    once = "        losses, gradient = objective.gradient(params, batch)\n"
    with trees(MOVE, MOVE) as folders:
        packages = regressions.packages(folders["head"], packaged=False)
        file = packages / "implementations" / "torch" / "sgd.py"
        text = file.read_text()
        assert text.count(once) == 1
        file.write_text(text.replace(once, 3 * once))
        base, head = (
            regressions.measure(folders[name], job("torch")) for name in ("base", "head")
        )
    verdicts = {verdict.what: verdict for verdict in counted("torch", base, head)}
    assert verdicts["flops"].worse
    assert verdicts["flops"].ratio == pytest.approx(3)
    named = {what for what, verdict in verdicts.items() if verdict.worse}
    assert named == {"flops", "launches"}


WHERE = """
import benchmarks.step, optbench.measure.timed, os
import optbench.problems.seeds, optbench.implementations
print(optbench.measure.timed.__file__, optbench.problems.seeds.__file__,
      optbench.implementations.__file__, optbench.problems.__name__)
print(os.environ["OMP_NUM_THREADS"], os.environ["JAX_ENABLE_X64"],
      len(getattr(os, "sched_getaffinity", lambda process: [0])(0)),
      "torch" in sys.modules, "jax" in sys.modules)
"""


@pytest.mark.parametrize("commit", ["HEAD", MOVE, "this clone"])
@pytest.mark.medium
def test_a_process_of_asvs_has_one_core_this_optbench_and_the_commit(commit):
    """The commit is in a wheel, with today's names or the old ones, or a clone."""
    with trees("HEAD", "HEAD" if commit == "this clone" else commit) as folders:
        installed = packages = ROOT
        if commit != "this clone":
            packages = regressions.packages(folders["head"], packaged=commit == "HEAD")
            installed = packages.parent if commit == "HEAD" else packages
        said = asv_process(WHERE, installed=installed, OMP_NUM_THREADS="7")
    files, process = said.splitlines()
    assert files.split() == [
        str(ROOT / "optbench" / "measure" / "timed.py"),
        str(packages / "problems" / "seeds.py"),
        str(packages / "implementations" / "__init__.py"),
        "problems" if commit == MOVE else "optbench.problems",
    ]
    assert process.split() == ["1", "1", "1", "False", "False"]


@needs_torch
@pytest.mark.parametrize(
    "commit", ["HEAD", pytest.param(MOVE, marks=pytest.mark.slow), TWO_TERMS]
)
@pytest.mark.medium
def test_asv_counts_the_work_of_a_commit(commit):
    code = f"from benchmarks import work\nprint(work._counts('torch', 'sgd', '{SINE}'))"
    with trees("HEAD", commit) as folders:
        packaged = commit != MOVE
        packages = regressions.packages(folders["head"], packaged)
        said = asv_process(code, installed=packages.parent if packaged else packages)
    work = timed.Work("torch", "sgd", SINE, "tanh_16_16", {"learning_rate": 1e-2})
    counted, here = eval(said), timed.counts(work)
    assert counted.pop("launches") >= here.pop("launches")
    assert counted == here


def test_a_module_with_two_names_is_one_object():
    code = """
from optbench.measure import commits
commits.find()
import optbench.problems.seeds, problems.seeds, sys
from optbench.problems import networks
from optbench import implementations
assert optbench.problems is sys.modules["problems"]
assert optbench.problems.seeds is problems.seeds
assert networks is sys.modules["problems.networks"]
assert implementations is sys.modules["implementations"]
assert problems.seeds.__spec__.name == problems.seeds.__name__ == "problems.seeds"
"""
    with trees(MOVE, MOVE) as folders:
        tree = folders["base"]
        packages = regressions.packages(tree, packaged=False)
        process = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={"PYTHONPATH": f"{tree}:{packages}"},
            capture_output=True,
            text=True,
        )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("search", "learning_rate", "counts"),
    [
        (None, 0.1, True),  # no line search: none is what it evaluates
        (SimpleNamespace(evaluations=3), None, True),
        (SimpleNamespace(), None, False),
        (None, None, False),  # a search, by an old commit that keeps nothing of it
    ],
)
def test_a_search_that_a_commit_does_not_count_is_no_zero(search, learning_rate, counts):
    class Old:
        def __init__(self, learning_rate):
            self.learning_rate = learning_rate

    framework = SimpleNamespace(OPTIMIZERS={"old": Old})
    optimizer = commits.optimizer(framework, "old", {"learning_rate": learning_rate})
    backend, state = SimpleNamespace(reads=0), SimpleNamespace(search=search)
    unknown = set() if counts else {"line_search_evaluations"}
    assert commits.uncounted(backend, optimizer, state) == unknown
    assert commits.uncounted(None, optimizer, state) == {"host_reads", *unknown}
