"""The guides are what they say.

Their blocks are written and run, in an empty folder.
"""

import json
import re
import runpy
import shlex
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest
from small import needs_both

from optbench.campaign import problem_checks
from optbench.cli.app import main
from optbench.records import store
from optbench.schedule import local_workers as executors
from optbench.training.run import perform

pytestmark = pytest.mark.medium
GUIDES = Path(__file__).parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


class Here(executors.Workers):
    """Runs in this process, which has loaded the frameworks."""

    def run(self, request, progress):
        return perform(request)


@contextmanager
def here(limits, say=print):
    yield Here(limits, tuple)  # of no core


@pytest.fixture
def page(tmp_path, monkeypatch):
    """From a page to what its commands say, with budgets of three steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(executors, "workers", here)

    def follow(name, capfd):
        text = (GUIDES / name).read_text()
        for block in BLOCK.finditer(text):
            *_, before = text[: block.start()].strip().splitlines()
            follow_block(before, block["language"], block["body"], capfd)
        return tmp_path

    return follow


def follow_block(before, language, body, capfd):
    if language in ("python", "toml"):
        file = re.findall(r"`(\w+\.(?:py|toml))`", before)[-1]
        Path(file).write_text(
            re.sub(r"^seconds = [\d.]+", "steps = 3", body, flags=re.MULTILINE)
        )
    elif language == "sh":
        for line in body.splitlines():
            run(re.sub(r"--seconds \d+", "--steps 3", line))
    else:
        command, _, expected = body.removeprefix("$ ").partition("\n")
        capfd.readouterr()
        run(command, code=2 if expected.startswith("optbench: ") else 0)
        assert "".join(capfd.readouterr()) == expected


def run(line, code=0):
    program, *arguments = shlex.split(line)
    if program == "python":
        runpy.run_path(arguments[0])
        return
    assert program == "optbench"
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code, line


@needs_both
def test_a_pde_from_its_equation_to_a_table_and_a_picture(page, capfd, monkeypatch):
    folder = page("own_pde.md", capfd)
    said = capfd.readouterr().out
    assert re.search(r"^engd +torch ", said, re.MULTILINE)
    assert "The reference is accurate to 9.66e-04 in relative L2" in said
    assert (folder / "figures" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert {file.name for file in folder.rglob("sources/*")} == {
        "helmholtz.py",
        "membrane.py",
        "membrane.npz",
    }


@needs_both
def test_the_pages_fault_is_explained_as_it_says(page, tmp_path, capfd, monkeypatch):
    (text,) = re.findall(
        r"```python\n(.*?)```", (GUIDES / "own_pde.md").read_text(), re.DOTALL
    )[:1]
    (tmp_path / "helmholtz.py").write_text(
        text.replace("* solution(x)\n", "* solution(x) / 2\n")
    )
    (problem,) = problem_checks.named(str(tmp_path / "helmholtz.py"))
    (said,) = problem_checks.solution(problem)
    page_says = " ".join(
        re.findall(r"^> (.*)$", (GUIDES / "own_pde.md").read_text(), re.MULTILINE)
    )
    assert page_says == f"solution: {said}"


@needs_both
def test_a_pde_of_third_order_with_weighted_terms(page, capfd):
    folder = page("own_pde_terms.md", capfd)
    assert "soliton_1d" in capfd.readouterr().out
    (table,) = folder.rglob("table.txt")
    done = re.findall(r"^(\w+) +(\w+) .* 1/1 +finished", table.read_text(), re.MULTILINE)
    assert set(done) == set(product(("engd", "kfac_star"), ("torch", "jax")))
    (record, *_) = folder.rglob("runs/*.json.gz")
    request = json.loads(store.content(record))["request"]
    assert request["weights"]["initial"] == 100
    assert (request["march"], request["sampling"]) == (10, "sobol")


@needs_both
def test_a_system_with_periodic_inputs(page, capfd):
    page("own_pde_systems.md", capfd)
    said = capfd.readouterr().out
    done = re.findall(r"^engd +(\w+) .* 1/1 +finished", said, re.MULTILINE)
    assert done == ["jax", "torch"]


@pytest.mark.parametrize("name", ["own_pde_terms.md", "own_pde_systems.md"])
def test_the_problems_of_the_guides_stand_their_checks(name, tmp_path):
    text = (GUIDES / name).read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "theirs.py").write_text(source)
    (problem,) = problem_checks.named(str(tmp_path / "theirs.py"))
    assert not list(problem_checks.solution(problem))
    spoiled = source.replace("6 * jet.value", "5 * jet.value").replace(
        "- VISCOSITY *", "+ VISCOSITY *"
    )
    assert spoiled != source
    (tmp_path / "spoiled.py").write_text(spoiled)
    (problem,) = problem_checks.named(str(tmp_path / "spoiled.py"))
    assert list(problem_checks.solution(problem))


@needs_both
def test_an_optimizer_beside_ours(page, capfd):
    folder = page("own_optimizer.md", capfd)
    (table,) = folder.rglob("table.txt")
    assert re.search(
        r"^lion.py:lion +torch .* 1/1 +finished +ours$", table.read_text(), re.MULTILINE
    )
    assert (folder / "figures" / "curves.svg").exists()


@needs_both
def test_campaigns_their_stages_and_precisions(page, capfd):
    folder = page("campaigns.md", capfd)
    said = {file.parent.parent.name: file.read_text() for file in folder.rglob("table.txt")}
    assert said["mine"].count(" 2/2 ") == 6  # two cases, three optimizers, two seeds
    assert "a cube" in said["mine"]
    for label in ("adam_lbfgs", "patient", "three"):
        assert re.search(rf"^{label} +torch .* 1/1 +finished", said["staged"], re.MULTILINE)
    assert re.findall(r"3 steps, (\w+)$", said["fast"], re.MULTILINE) == [
        "float64",
        "float32",
    ]
    assert said["fast"].count(" 1/1 ") == 4
