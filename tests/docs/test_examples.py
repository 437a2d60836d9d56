"""The examples that need no empty folder run as they stand."""

import re
from pathlib import Path

import pytest

from optbench import implementations

pytestmark = pytest.mark.medium
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TRAINED, DRAWN = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "get_started.md").read_text(), re.DOTALL
)
(ASV,) = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs" / "guides" / "asv.md").read_text(), re.DOTALL
)


@pytest.mark.parametrize("framework", implementations.installed())
@pytest.mark.parametrize("example", [EXAMPLE, TRAINED], ids=["README", "get_started"])
def test_a_network_is_trained(example, framework, capsys):
    source = re.sub(r'load\("\w+"\)', f'load("{framework}")', example)
    exec(compile(source, "example.py", "exec"), {})
    interior, boundary = map(float, re.findall(r"\d\.\de[+-]\d\d", capsys.readouterr().out))
    assert interior < 1
    assert boundary < 0.1


@pytest.mark.skipif(
    not list((ROOT / "results").glob("cpu/*/runs")), reason="results/cpu is not published"
)
def test_results_are_drawn(tmp_path, monkeypatch):
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    exec(compile(DRAWN, "example.py", "exec"), {})
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(
    not list((ROOT / "results" / "asv").glob("*/*.json")),
    reason="results/asv is not published",
)
def test_asv_s_results_are_a_frame(monkeypatch):
    monkeypatch.chdir(ROOT)
    ran = {}
    exec(compile(ASV, "example.py", "exec"), ran)
    assert set(ran["steps"]["status"]) == {"measured"}
    assert not ran["steps"].empty
