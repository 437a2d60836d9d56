"""The README's example runs as it stands."""

import re
from pathlib import Path

import pytest

import implementations

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize("framework", implementations.installed())
def test_the_example_runs(framework, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(example.strip().splitlines()) <= 13
    exec(compile(example.replace('load("jax")', f'load("{framework}")'), "README.md", "exec"), {})
    interior, boundary = map(float, re.findall(r"\d\.\de[+-]\d\d", capsys.readouterr().out))
    assert interior < 1
    assert boundary < 0.1
