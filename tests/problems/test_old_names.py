"""A user's file from before the move, with `problems` and `implementations` on top."""

import sys

import pytest
from own_files import OPTIMIZER, PDE

from optbench import implementations, problems
from optbench.implementations import lookup
from optbench.problems import old_names, own
from optbench.problems.equations import poisson
from optbench.problems.own import InvalidFile
from optbench.problems.problem import Problem

FRAMEWORK = implementations.installed()[-1]
OLD_PDE = PDE.replace("optbench.problems", "problems")
OLD_OPTIMIZER = f"""
from typing import ClassVar
from implementations.hyperparameters import optimizer
from implementations.{FRAMEWORK}.sgd import SGD
import implementations.{FRAMEWORK}.line_search as line_search
from implementations.{FRAMEWORK}.pieces import split
from implementations.{FRAMEWORK}.schedule import start
from implementations import load

@optimizer
class Mine(SGD):
    name: ClassVar[str] = "mine"
    framework: ClassVar[str] = "{FRAMEWORK}"
"""


@pytest.fixture(autouse=True)
def no_alias_stays():
    before = list(sys.meta_path)
    yield
    assert sys.meta_path == before
    tops = {name.partition(".")[0] for name in sys.modules}
    assert not tops & {"problems", "implementations"}


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """A folder of the user's that is on `sys.path`."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("problems", "implementations"):
        sys.modules.pop(name, None)


def written(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def test_an_old_pde_is_answered_and_told_the_new_names_once(tmp_path, capsys):
    file = written(tmp_path, "pde.py", OLD_PDE)
    problem = problems.get(f"{file}:helmholtz_2d")
    assert isinstance(problem, Problem)
    assert problems.get(f"{file}:helmholtz_2d") is problem
    assert capsys.readouterr().err == (
        f"optbench: {file}: problems.domains is now optbench.problems.domains, "
        "problems.problem is now optbench.problems.problem\n"
    )


def test_an_old_optimizer_is_answered(tmp_path, capsys):
    file = written(tmp_path, "old.py", OLD_OPTIMIZER)
    framework = implementations.load(FRAMEWORK)
    cls = lookup.optimizer(framework, f"{file}:mine")
    assert issubclass(cls, framework.OPTIMIZERS["sgd"])
    module = own.read(file).module
    assert module.line_search.follow.__module__.startswith("optbench.implementations")
    said = capsys.readouterr().err
    new = f"optbench.implementations.{FRAMEWORK}"
    assert f"implementations.{FRAMEWORK}.sgd is now {new}.optimizers.sgd" in said
    assert (
        f"implementations.{FRAMEWORK}.line_search is now {new}.solvers.line_search" in said
    )
    assert f"implementations.{FRAMEWORK}.pieces is now {new}.passes.chunks" in said
    assert (
        f"implementations.{FRAMEWORK}.schedule is now {new}.solvers.learning_rate" in said
    )
    assert said.count("\n") == 1


def test_modules_that_moved_within_their_package_are_found(tmp_path):
    file = written(
        tmp_path, "moved.py", "import problems.poisson\nfrom problems import get, poisson\n"
    )
    module = own.read(file).module
    assert module.poisson.poisson_sine is poisson.poisson_sine
    assert module.get is problems.get
    assert not hasattr(problems, "poisson")  # the package itself is as it was


def test_a_new_file_is_told_nothing(tmp_path, capsys):
    problems.get(f"{written(tmp_path, 'new.py', PDE)}:helmholtz_2d")
    lookup.from_file(
        f"{written(tmp_path, 'o.py', OPTIMIZER.replace('FRAMEWORK', FRAMEWORK))}:mine"
    )
    assert capsys.readouterr().err == ""


def test_the_new_names_are_said_by_the_command_and_not_by_each_of_its_runs(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(old_names, "parent_process", lambda: "a process")
    own.read(written(tmp_path, "old.py", OLD_PDE))
    assert capsys.readouterr().err == ""


def test_a_module_of_the_users_own_wins(beside, capsys):
    written(beside, "problems.py", "SIDE = 3")
    file = written(beside, "uses.py", f"from problems import SIDE\n{PDE}\nK = SIDE\n")
    assert problems.get(f"{file}:helmholtz_2d").dim == 2
    assert own.read(file).module.SIDE == 3
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_no_package_does_not_win(beside):
    (beside / "problems").mkdir()
    file = written(beside / "problems", "pde.py", OLD_PDE)
    assert problems.get(f"{file}:helmholtz_2d").dim == 2


def test_a_name_that_never_was_is_an_error_of_the_file(tmp_path):
    file = written(tmp_path, "wrong.py", "\nfrom problems.nothing import such\n")
    with pytest.raises(
        InvalidFile, match=r"line 2: ModuleNotFoundError: .*problems\.nothing"
    ):
        own.read(file)
