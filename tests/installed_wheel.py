"""The wheel of `make wheel`, installed without the repository: `make wheel-test`.

An environment holds the wheel and links to what the wheel requires, with some extras or
without: what pyproject.toml does not list is not found there.
"""

import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
(WHEEL,) = (ROOT / "dist").glob("*.whl")
NAME = "pinn-optbench"
FRAMEWORK = "torch"
FOLDERS = ("problems", "implementations", "benchmarks")
CAMPAIGN = f"""
version = "1.0"
description = "for a test"
steps = 3
frameworks = ["{FRAMEWORK}"]
points = {{ interior = 9, boundary = 6 }}
[optimizers]
sgd = {{}}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_64"
"""
IMPORTABLE = """
from importlib.util import find_spec
for name in ("optbench", "problems", "implementations", "benchmarks", "tests"):
    spec = find_spec(name)
    print(name, spec and spec.origin)
"""


def required(lines, extras):
    """Give the distributions that requirements ask for, here, and those that these need."""
    for requirement in map(Requirement, lines):
        marker, name = requirement.marker, requirement.name
        if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        if name == NAME:  # an extra of ours that names others
            yield from required(lines, requirement.extras)
        else:
            found = metadata.distribution(name)
            yield found
            yield from required(found.requires or (), requirement.extras)


def needed():
    """Read the wheel's own requirements."""
    with zipfile.ZipFile(WHEEL) as wheel:
        (file,) = (
            name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")
        )
        return re.findall(r"^Requires-Dist: (.*)$", wheel.read(file).decode(), re.MULTILINE)


class Environment:
    """A virtual environment with the wheel and what some of its extras require."""

    def __init__(self, folder, extras):
        venv.create(folder / "venv", with_pip=False)
        self.cwd, self.python = folder, folder / "venv" / "bin" / "python"
        (self.site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        for distribution in {
            found.name: found for found in required(needed(), extras)
        }.values():
            tops = {path.parts[0] for path in distribution.files}
            for top in tops - {"..", "__pycache__"}:
                if not (self.site / top).exists():
                    (self.site / top).symlink_to(distribution.locate_file(top).resolve())
        self.pip("install", "--quiet", "--no-deps", "--no-index", WHEEL)

    def run(self, *command):
        """Run a program without any variable of this process that Python reads."""
        return subprocess.run(
            [*map(str, command)],
            cwd=self.cwd,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.cwd)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    def pip(self, *arguments):
        """Run pip, which the environment itself has not."""
        pip = sys.executable, "-m", "pip", "--python", self.python
        said = self.run(*pip, *arguments)
        assert said.returncode == 0, said.stdout + said.stderr

    def optbench(self, *arguments):
        """Run the command that the wheel installs."""
        return self.run(self.python.with_name("optbench"), *arguments)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("bare"), ())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("whole"), (FRAMEWORK, "report"))


@pytest.fixture(scope="module")
def ran(whole):
    (whole.cwd / "tiny.toml").write_text(CAMPAIGN)
    return whole.optbench("run", "tiny.toml", "--results", "results")


def test_the_wheel_has_every_file_of_the_packages():
    tracked = subprocess.run(
        ["git", "ls-files", "optbench", *FOLDERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    left_out = re.compile(r"benchmarks/(README\.md|(bench|peers)/.*)")
    expected = {
        file if file.startswith("optbench/") else f"optbench/{file}"
        for file in tracked
        if not left_out.fullmatch(file) and (ROOT / file).exists()
    }
    with zipfile.ZipFile(WHEEL) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == expected


def test_one_package_is_importable_and_it_is_the_wheels(bare):
    said = bare.run(bare.python, "-c", IMPORTABLE)
    optbench, *others = said.stdout.splitlines()
    assert optbench == f"optbench {bare.site / 'optbench' / '__init__.py'}"
    assert others == [f"{name} None" for name in (*FOLDERS, "tests")]


def test_its_requirements_are_met(whole):
    whole.pip("check")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list", "problems"], "heat_sine_1d: 2 inputs"),
        (["list", "optimizers"], "kfac: "),
        (["list", "campaigns"], "quick 1.0: "),
        (["check", "heat_sine_1d"], r"frameworks +not checked"),
        (["verify", ROOT / "results" / "gpu_short"], r"checksums +ok"),
    ],
)
def test_without_extras(bare, arguments, expected):
    said = bare.optbench(*arguments)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.search(expected, said.stdout)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["report", ROOT / "results" / "gpu_short"], "report"),
        (["run", "quick"], "report"),
        (["tune", "quick"], "tune"),
        (["asv", ROOT / "results" / "asv"], "report"),
        (["parity"], "report"),
    ],
)
def test_what_is_missing_says_which_extra(bare, arguments, extra):
    said = bare.optbench(*arguments)
    expected = rf"optbench: \w+ is not installed: .*\[{extra}\]' brings it\n"
    assert said.returncode == 2
    assert re.fullmatch(expected, said.stderr)


def test_a_campaign_runs(ran):
    assert ran.returncode == 0, ran.stderr
    assert "finished" in ran.stdout


def test_what_it_leaves_is_reported_and_verified(whole, ran):
    assert ran.returncode == 0
    said = whole.optbench("report", "results")
    assert (said.returncode, said.stderr) == (0, "")
    assert "report.html" in said.stdout
    (table,) = (whole.cwd / "results").rglob("against_the_paper.csv")
    assert "exp09_reproduce_poisson2d" in table.read_text()  # of paper_results.csv
    said = whole.optbench("verify", "results")
    assert said.returncode == 0, said.stdout
    assert "not checked" not in said.stdout


def test_a_problem_is_checked_in_the_framework(whole):
    said = whole.optbench("check", "poisson_sine_2d")
    assert said.returncode == 0, said.stdout
    assert re.search(r"frameworks +ok", said.stdout)


def test_the_files_of_asvs_site_are_there(whole):
    page = whole.cwd / "html" / "index.html"
    page.parent.mkdir()
    page.write_text("<html><head></head></html>")
    page.with_name("index.json").write_text("{}")
    said = whole.optbench("asv-site", "html")
    assert "files carried along" in said.stdout
    assert "no asv results in results/asv" in said.stderr
    folders = page.parent / "vendor", ROOT / "benchmarks" / "site"
    carried, ours = ({file.name for file in folder.iterdir()} for folder in folders)
    assert carried == ours
