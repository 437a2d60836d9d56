"""The README's example runs as it stands, and the page is short enough to be read."""

import re
from pathlib import Path

import pytest

from optbench import implementations

README = (Path(__file__).parents[2] / "README.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("framework", implementations.installed())
def test_the_example_runs(framework, capsys):
    source = EXAMPLE.replace('load("jax")', f'load("{framework}")')
    exec(compile(source, "README.md", "exec"), {})
    interior, boundary = map(float, re.findall(r"\d\.\de[+-]\d\d", capsys.readouterr().out))
    assert interior < 1
    assert boundary < 0.1


def test_a_reader_has_the_page_in_three_minutes():
    assert len(README.split()) <= 900
