"""A problem or an optimizer in a user's file: named, hashed, kept, never a traceback."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from fakes import Fake, request
from own_files import OPTIMIZER, PDE, REFERENCE
from published import computed_by_the_fake

from optbench import implementations, problems
from optbench.campaign import campaign, expansion, results_folder, single_run, source_files
from optbench.campaign.errors import CampaignError
from optbench.cli.app import main
from optbench.implementations import lookup
from optbench.problems import own
from optbench.problems.own import InvalidFile
from optbench.records import checksums, store
from optbench.records.frames import from_records
from optbench.report import summary as tables
from optbench.schedule import local_workers
from optbench.training.limits import Limits
from optbench.training.run import perform
from optbench.verify import rerun
from optbench.verify import verify as check

FRAMEWORK = implementations.installed()[-1]
ONE = """
version = "1.0"
steps = 10
frameworks = ["torch"]
[optimizers]
sgd = {}
[[case]]
problem = "pdes/my_pde.py:helmholtz_2d"
network = "tanh_4"
"""


@pytest.fixture
def folder(tmp_path):
    """A user's folder, with a campaign and the files that it names."""
    (tmp_path / "pdes").mkdir()
    (tmp_path / "pdes" / "my_pde.py").write_text(PDE)
    (tmp_path / "pdes" / "my_optimizer.py").write_text(
        OPTIMIZER.replace("FRAMEWORK", FRAMEWORK)
    )
    (tmp_path / "one.toml").write_text(ONE)
    return tmp_path


def asked(file):
    return expansion.requests(campaign.read(file), file.stem, file.name)


def alone(problem="poisson_sine_2d", optimizer="sgd", framework=FRAMEWORK, steps=3):
    """The request of one run from the command line."""
    plan = single_run.campaign(
        optimizer=optimizer,
        framework=framework,
        settings=[],
        interior=9,
        boundary=6,
        problem=str(problem),
        network="tanh_4",
        steps=steps,
    )
    (run,) = expansion.requests(plan, "single", single_run.SOURCE)
    return run


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


# -- names --


def test_a_name_of_a_file_gives_its_problem_the_same_object_every_time(folder, monkeypatch):
    monkeypatch.chdir(folder)
    problem = problems.get("pdes/my_pde.py:helmholtz_2d")
    assert problem.name == "helmholtz_2d"
    assert problem is problems.get(
        f"{folder}/pdes/../pdes/my_pde.py:helmholtz_2d".replace("pdes/../", "")
    )


WRONG = {
    "no such file": (None, "absent.py:x", "absent.py: No such file"),
    "a folder": (None, "pdes.py:x", "pdes.py: Is a directory"),
    "no such name": (
        PDE,
        "f.py:helmholz_2d",
        r"unknown problem 'helmholz_2d': did you mean helmholtz_2d\?",
    ),
    "no name": (PDE, "f.py", r"f.py names a file and no problem: write f.py:helmholtz_2d"),
    "the variable's name": (
        PDE,
        "f.py:helmholtz",
        r"in the variable helmholtz is named helmholtz_2d: write f.py:",
    ),
    "another thing": (
        PDE,
        "f.py:source",
        r"source is no problem but a function; there is helmholtz_2d",
    ),
    "no problem at all": ("x = 1", "f.py:x", "f.py has no problem"),
    "two of one name": (
        PDE + "twin = Problem(**vars(helmholtz))",
        "f.py:helmholtz_2d",
        "has two problems named 'helm",
    ),
    "a missing import": (
        "\n\nimport nothing_such",
        "f.py:x",
        "f.py, line 3: ModuleNotFoundError: No module named",
    ),
    "a wrong line": (PDE + "\nwrong(\n", "f.py:x", r"f.py, line \d+: SyntaxError: "),
    "an error of two lines": (
        "def f():\n    raise ValueError('a\\nb')\nf()",
        "f.py:x",
        "f.py, line 2: ValueError: a b$",
    ),
    "an exit": ("raise SystemExit(3)", "f.py:x", "f.py, line 1: SystemExit: 3"),
    "a missing field": (
        PDE.replace("outputs=1,", ""),
        "f.py:x",
        "TypeError: .* missing 1 required .*'outputs'",
    ),
    "no text": ("\0", "f.py:x", "f.py: (SyntaxError|ValueError): "),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_line(what, tmp_path, monkeypatch):
    text, name, message = WRONG[what]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pdes.py").mkdir()
    if text:
        (tmp_path / "f.py").write_text(text)
    with pytest.raises(InvalidFile, match=message) as error:
        problems.get(name)
    assert "\n" not in str(error.value)


def test_the_command_line_says_it_in_one_line_and_writes_nothing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "run",
                "--problem",
                "absent.py:x",
                "--optimizer",
                "sgd",
                "--framework",
                FRAMEWORK,
                "--steps",
                "3",
            ]
        )
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert (
        said == 'optbench: command line: case[0].problem = "absent.py:x": '
        f"{tmp_path}/absent.py: No such file or directory\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_prints_is_said_once_and_it_closes_nothing(tmp_path, capsys):
    (tmp_path / "f.py").write_text(
        PDE + "import sys, warnings\nprint('a  b')\nsys.stdout.close()\n"
        "print('c', file=sys.stderr)\nsys.stderr.close()\nwarnings.simplefilter('error')\n"
    )
    before = list(warnings.filters)
    for _ in range(2):
        problems.get(f"{tmp_path}/f.py:helmholtz_2d")
    assert capsys.readouterr() == (
        "",
        f"optbench: {tmp_path}/f.py prints: a b (and 1 more)\n",
    )
    assert warnings.filters == before


def test_a_long_error_is_shortened(tmp_path):
    (tmp_path / "f.py").write_text("raise ValueError('x' * 10_000_000)")
    with pytest.raises(InvalidFile, match=r"f.py, line 1: ValueError: x+…$") as error:
        problems.get(f"{tmp_path}/f.py:helmholtz_2d")
    assert len(str(error.value)) < 500


GOOD = OPTIMIZER.replace("FRAMEWORK", FRAMEWORK)
WRONG_OPTIMIZERS = {
    "no such name": (GOOD, "f.py:sgd", "unknown optimizer 'sgd': there are mine"),
    "an imported class": (
        GOOD,
        "f.py:SGD",
        "SGD is no optimizer but a class; there is mine",
    ),
    "no framework": (
        GOOD.rpartition("framework:")[0],
        "f.py:mine",
        "f.py:mine is no optimizer: Mine has no framework",
    ),
    "an unknown one": (
        GOOD.replace(f'"{FRAMEWORK}"', '"jacks"'),
        "f.py:mine",
        "'jacks': there are torch, jax",
    ),
    "no dataclass": (
        f"class A:\n    name, framework, version = 'a', '{FRAMEWORK}', 1\n"
        "    init = step = check = print\n",
        "f.py:a",
        "f.py:a is no optimizer: A is not under @optimizer",
    ),
    "the base without the decorator": (
        "from optbench.implementations.protocol import Optimizer\n"
        f"class A(Optimizer):\n    name, framework, version = 'a', '{FRAMEWORK}', 1\n"
        "    init = step = print\n",
        "f.py:a",
        "f.py:a is no optimizer: A is not under @optimizer",
    ),
    "a missing import": ("import nothing_such", "f.py:mine", "line 1: ModuleNotFoundError"),
}


@pytest.mark.parametrize("what", WRONG_OPTIMIZERS)
def test_a_mistake_in_an_optimizer_is_one_line(what, tmp_path):
    text, name, message = WRONG_OPTIMIZERS[what]
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(CampaignError, match=message) as error:
        alone(optimizer=f"{tmp_path}/{name}")
    assert "\n" not in str(error.value)


def test_a_plain_dataclass_is_an_optimizer_and_has_the_defaults(tmp_path):
    (tmp_path / "f.py").write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass A:\n"
        "    init = step = print\n    rate: float = 0.5\n"
        f"A.name, A.framework, A.version = 'a', '{FRAMEWORK}', 1\n"
    )
    run = alone(optimizer=f"{tmp_path}/f.py:a")
    assert run.hyperparameters == {"rate": 0.5}
    made = lookup.from_file(f"{tmp_path}/f.py:a")()
    assert (made.progress("state", 0.5), made.counters("state")) == ("state", {})


def test_an_optimizer_of_one_framework_is_refused_in_the_other(folder):
    (other,) = {"torch", "jax"} - {FRAMEWORK}
    name = f"{folder}/pdes/my_optimizer.py:mine"
    with pytest.raises(
        CampaignError,
        match=rf"is written in {FRAMEWORK}, not in {other}: "
        rf'.* frameworks = \["{FRAMEWORK}"\]',
    ):
        alone(optimizer=name, framework=other)
    with pytest.raises(
        InvalidFile,
        match=f"my_optimizer.py:mine is written in {FRAMEWORK}: there is none in {other}",
    ):
        lookup.optimizer(implementations.Framework(other, {}, object, pytest, object), name)


def test_an_optimizers_table_says_its_framework(folder):
    both = ONE.replace('"torch"', '"torch", "jax"').replace(
        "sgd = {}", 'sgd = {}\n"pdes/my_optimizer.py:mine" = {}'
    )
    (folder / "both.toml").write_text(both)
    with pytest.raises(
        CampaignError,
        match=r"^both.toml: optimizers.pdes/my_optimizer.py:mine: is written in",
    ):
        asked(folder / "both.toml")
    (folder / "both.toml").write_text(
        both.replace('mine" = {}', f'mine" = {{ frameworks = ["{FRAMEWORK}"] }}')
    )
    runs = [(own.bare(run.optimizer), run.framework) for run in asked(folder / "both.toml")]
    assert runs == [("sgd", "torch"), ("sgd", "jax"), ("my_optimizer.py:mine", FRAMEWORK)]


# -- requests and records --


def test_a_path_counts_from_the_campaigns_file(folder, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (run,) = asked(folder / "one.toml")
    assert run.problem == f"{folder}/pdes/my_pde.py:helmholtz_2d"
    assert run.points == {"interior": 9, "boundary": 6}


def test_what_is_written_names_the_file_and_its_hash_and_no_folder(folder):
    (run,) = asked(folder / "one.toml")
    written = json.loads(run.model_dump_json())
    assert written["problem"] == "my_pde.py:helmholtz_2d"
    assert written["files"] == {"my_pde.py": digest(folder / "pdes" / "my_pde.py")}
    assert str(folder) not in run.model_dump_json() + run.title
    assert store.path(Path(), run).name.startswith(
        "my_pde.helmholtz_2d-tanh_4-sgd-torch-seed0-"
    )


def test_the_identity_is_the_files_content_and_not_its_place(folder, tmp_path_factory):
    run, elsewhere = (
        alone(f"{folder}/pdes/my_pde.py:helmholtz_2d"),
        tmp_path_factory.mktemp("elsewhere") / "my_pde.py",
    )
    elsewhere.write_text(PDE)
    assert alone(f"{elsewhere}:helmholtz_2d").identity == run.identity
    (elsewhere.parent / "b").mkdir()
    changed = elsewhere.parent / "b" / "my_pde.py"
    changed.write_text(PDE + "# a word\n")
    assert alone(f"{changed}:helmholtz_2d").identity != run.identity


def test_a_run_without_files_of_the_users_own_has_the_identity_that_it_always_had():
    fields = request().model_dump(
        mode="json", exclude={"labels", "files", "stages", "tf32", "device", "blocks"}
    )
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    assert request().identity == hashlib.sha256(canonical.encode()).hexdigest()


def test_two_files_of_one_name_are_refused(folder):
    (folder / "my_pde.py").write_text(PDE + "# another\n")
    case = ONE.partition("[[case]]")[2].replace("pdes/", "")
    (folder / "one.toml").write_text(f'{ONE}[[case]]{case}name = "other"\n')
    with pytest.raises(CampaignError, match=r"one.toml: two files are called my_pde.py"):
        asked(folder / "one.toml")


def test_a_file_runs_as_what_it_copies(tmp_path):
    """A child process with a user's problem and optimizer walks our path, bit for bit."""
    text = "from dataclasses import replace\nimport problems\n"
    (tmp_path / "p.py").write_text(
        text + 'copy = replace(problems.get("poisson_sine_2d"), name="copy")'
    )
    (tmp_path / "o.py").write_text(OPTIMIZER.replace("FRAMEWORK", FRAMEWORK))
    with local_workers.workers(Limits()) as crew:
        run = alone(f"{tmp_path}/p.py:copy", f"{tmp_path}/o.py:mine")
        record = crew.run(run, lambda share, row: None)
    assert record.status == "finished", record.error
    ours = perform(alone())
    assert [(row.interior, row.boundary) for row in record.history] == [
        (row.interior, row.boundary) for row in ours.history
    ]
    assert set(record.request.files) == {"p.py", "o.py"}


@pytest.mark.parametrize("what", ["changed", "gone"])
def test_a_file_that_changes_before_its_run_is_a_failed_run(what, folder):
    (run,) = asked(folder / "one.toml")
    file = folder / "pdes" / "my_pde.py"
    file.write_text(PDE + "# later\n") if what == "changed" else file.unlink()
    record = Fake().perform(run)
    assert record.status == "failed"
    expected = (
        f"{file} has the SHA-256 {digest(file)[:16]}…, the run was"
        if what == "changed"
        else f"{file} is missing"
    )
    assert expected in record.error


# -- results --


@pytest.fixture
def results(folder, monkeypatch):
    """Published results of the campaign."""
    computed_by_the_fake(monkeypatch)
    place = folder / "results" / "one" / "a-machine"
    records = [Fake().perform(run) for run in asked(folder / "one.toml")]
    for record in records:
        store.write(store.path(place, record.request), record)
    assert source_files.keep([record.request for record in records], place) == [
        place / "sources" / "my_pde.py"
    ]
    (place / "campaign.toml").write_text(ONE)
    summary = tables.summarise(from_records(records))
    for style, suffix in tables.FORMATS.items():
        (place / f"table.{suffix}").write_text(tables.render(summary, style))
    checksums.write(place)
    return place


def complaints(place):
    complained = {
        finding.rule: finding.issues
        for finding in check.findings(results_folder.find(place))
    }
    return {
        rule: complained[rule]
        for rule in complained
        if complained[rule] and rule != "speed"
    }


def test_results_are_whole_without_the_users_folder(results, folder):
    (folder / "pdes" / "my_pde.py").unlink()
    assert complaints(results) == {}
    (results_of_runs,) = results_folder.find(results)
    (record,) = results_of_runs.records.values()
    assert source_files.changed(record.request) is None
    assert problems.get(record.request.problem).name == "helmholtz_2d"
    assert (
        "Files of the user's own (SHA-256): "
        f"my_pde.py {record.request.files['my_pde.py'][:16]}."
        in (results / "table.txt").read_text()
    )


def test_a_copy_that_is_not_the_records_is_found_and_not_run(results):
    copy = results / "sources" / "my_pde.py"
    copy.write_text("raise SystemExit('run')")
    checksums.write(results)
    complained = complaints(results)
    assert any("my_pde.py has the SHA-256" in line for line in complained["schema"])
    copy.unlink()
    assert any("my_pde.py is missing" in line for line in complaints(results)["schema"])


def test_a_record_that_leaves_the_hash_out_is_found(results):
    (file,) = (results / "runs").iterdir()
    record = store.read(file)
    bare = record.request.model_copy(update={"files": {}})
    store.write(
        file, record.model_copy(update={"request": bare, "identity": bare.identity})
    )
    assert any(
        "the SHA-256 of my_pde.py is not in it" in line
        for line in complaints(results)["schema"]
    )


def test_a_changed_file_cannot_be_repeated(results):
    (results_of_runs,) = results_folder.find(results)
    (results / "sources" / "my_pde.py").write_text(PDE + "# later")
    (compared,) = rerun.repeat(results_of_runs.records, 1e-6)
    assert "cannot be repeated: " in compared.issue
    assert "has the SHA-256" in compared.issue


def test_records_of_two_versions_of_a_file_are_found(results):
    (results_of_runs,) = results_folder.find(results)
    (record,) = results_of_runs.records.values()
    files = {"my_pde.py": 64 * "0"}
    other = record.model_copy(
        update={"request": record.request.model_copy(update={"files": files, "seed": 9})}
    )
    both = results_folder.Results(results, {Path("a"): record, Path("b"): other}, ())
    (issue,) = check.RULES["versions"].issues(both)
    assert (
        "my_pde.py is there in 2 versions: version SHA-256 0000000000000000…: b; version"
        in issue
    )


def test_a_problem_with_data_is_kept_with_it(folder):
    nodes = np.linspace(0, 1, 9)
    (folder / "pdes" / "data").mkdir()
    np.savez(
        folder / "pdes" / "data" / "known.npz",
        axis_0=nodes,
        axis_1=nodes,
        u=np.ones((9, 9)),
        accuracy=1e-3,
    )
    (folder / "pdes" / "my_pde.py").write_text(PDE + REFERENCE)
    (folder / "one.toml").write_text(ONE.replace("helmholtz_2d", "gridded_2d"))
    (run,) = asked(folder / "one.toml")
    assert set(run.files) == {"my_pde.py", "data/known.npz"}
    source_files.keep([run], folder / "results")
    record = source_files.relocated(Fake().perform(run), folder / "results")
    assert record.floor == 1e-3
    assert problems.get(record.request.problem).floor == 1e-3
    assert record.identity == record.request.identity
    (folder / "results" / "sources" / "data" / "known.npz").write_bytes(b"")
    assert "known.npz has the SHA-256" in source_files.changed(record.request)


def test_data_that_lie_elsewhere_are_refused(folder):
    (folder / "data").mkdir()
    np.savez(
        folder / "data" / "known.npz", axis_0=np.arange(9.0), u=np.ones(9), accuracy=1e-3
    )
    (folder / "pdes" / "my_pde.py").write_text(
        PDE + REFERENCE.replace(".parent /", ".parents[1] /")
    )
    (folder / "one.toml").write_text(ONE.replace("helmholtz_2d", "gridded_2d"))
    with pytest.raises(
        CampaignError, match=r"its data must lie beside it or below, not at .*known.npz"
    ):
        asked(folder / "one.toml")
