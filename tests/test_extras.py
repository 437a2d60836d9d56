"""What is missing says which extra brings it, and what needs no extra works without."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from commands import WITHOUT

from optbench.extras import EXTRAS, Missing, explained, extra_of

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = {
    line.partition("==")[0].lower()
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if "==" in line
}
ALL = (*(module for modules in EXTRAS.values() for module in modules), "pynvml")


def without(cwd, packages, *arguments):
    """Run a command in a process that does not find these packages."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(packages), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def names(requirements):
    """The names of requirements as in the lock, without the package itself."""
    found = {re.match(r"[\w-]+", line)[0].lower() for line in requirements}
    return {name.replace("-", "_") for name in found - {"pinn-optbench"}}


def test_the_extra_that_is_named_has_the_package():
    """Dask comes with distributed; the others are listed."""
    extras = PROJECT["optional-dependencies"]
    for extra, modules in EXTRAS.items():
        assert set(modules) - {"dask"} <= names(extras[extra])


def test_the_lock_has_every_dependency():
    extras = PROJECT["optional-dependencies"].items()
    listed = [
        line
        for name, lines in extras
        if name not in ("docs", "bench", "peers")  # which have locks of their own
        for line in lines
    ]
    locked = {name.replace("-", "_") for name in PINNED}
    assert names([*PROJECT["dependencies"], *listed]) <= locked


@pytest.mark.medium
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list", "problems"], "heat_sine_1d: 2 inputs"),
        (["list", "optimizers"], "kfac: its hyperparameters are listed where"),
        (["list", "networks"], "tanh_64: D = 257"),
        (["list", "campaigns"], "quick 1.0: "),
        (["check", "heat_sine_1d"], r"frameworks +not checked \(torch is not installed: "),
        (["verify", ROOT / "results" / "gpu_short"], r"checksums +ok"),
    ],
)
def test_without_any_extra_these_commands_work(arguments, expected, tmp_path):
    said = without(tmp_path, ALL, *arguments)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.search(expected, said.stdout)


@pytest.mark.medium
def test_without_frameworks_the_same_optimizers_are_listed(tmp_path):
    with_, without_ = (
        without(tmp_path, packages, "list", "optimizers").stdout
        for packages in ((), ("torch", "jax"))
    )
    lists = [re.findall(r"^(\w+):", text, re.MULTILINE) for text in (with_, without_)]
    assert sorted(lists[0]) == sorted(lists[1])
    assert "damping=" not in without_


@pytest.mark.medium
def test_verify_says_what_it_cannot_check(tmp_path):
    """One framework reads the campaign; tables are compared where pandas is installed."""
    folder = ROOT / "results" / "gpu_short"
    said = without(tmp_path, ("pandas",), "verify", folder).stdout
    assert re.search(r"campaign +ok", said)
    extra = r"pip install 'pinn-optbench\[report\]'"
    assert re.search(rf"tables +not checked \(pandas is not installed: {extra}", said)


@pytest.mark.medium
@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        pytest.param(
            "pandas", ["report", ROOT / "results" / "gpu_short"], marks=pytest.mark.slow
        ),
        ("jinja2", ["report", ROOT / "results" / "gpu_short"]),
        ("tabulate", ["table", ROOT / "results" / "gpu_short"]),
        pytest.param("seaborn", ["run", "quick"], marks=pytest.mark.slow),
        ("distributed", ["run", "quick", "--workers", "1"]),
        pytest.param("optuna", ["tune", "quick"], marks=pytest.mark.slow),
        ("tomli_w", ["tune", "quick"]),
        pytest.param("tomli_w", ["scale"], marks=pytest.mark.slow),
        ("pytorch_optimizer", ["baselines", "--optimizer", "adam"]),
    ],
)
def test_what_is_missing_is_one_line_and_exit_code_2(missing, arguments, tmp_path):
    """It is said before anything is run: nothing is left behind."""
    said = without(tmp_path, [missing], *arguments)
    extra = f"pip install 'pinn-optbench[{extra_of(missing)}]' brings it"
    assert said.stderr == f"optbench: {missing} is not installed: {extra}\n"
    assert said.returncode == 2
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.medium
def test_loading_results_says_it_too(tmp_path):
    program = WITHOUT.partition("from optbench.cli")[0]
    program += "import optbench; optbench.load('nowhere')"
    command = [sys.executable, "-c", program, "pandas"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert said.stderr.splitlines()[-1].endswith(
        "pip install 'pinn-optbench[report]' brings it"
    )


def test_other_modules_that_are_not_found_are_not_ours_to_explain():
    with pytest.raises(ModuleNotFoundError, match="nonsense") as caught, explained():
        import nonsense  # noqa: F401
    assert not isinstance(caught.value, Missing)
