"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

from optbench import implementations

ROOT = Path(__file__).parents[2]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("framework", implementations.installed())
def test_the_example_runs(framework, capsys):
    example, _ = EXAMPLES
    exec(
        compile(
            example.replace('load("jax")', f'load("{framework}")'), "README.md", "exec"
        ),
        {},
    )
    interior, boundary = map(float, re.findall(r"\d\.\de[+-]\d\d", capsys.readouterr().out))
    assert interior < 1
    assert boundary < 0.1


@pytest.mark.skipif(
    not list((ROOT / "results").glob("cpu/*/runs")), reason="results/cpu is not published"
)
def test_results_are_plotted(tmp_path, monkeypatch):
    _, example = EXAMPLES
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
