"""The gallery says of every problem what the registry does."""

import re

import gallery_page as gallery
import pandas as pd
import pytest

from optbench import problems
from optbench.problems import networks

PAGE = gallery.PAGE.read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- facts (\w+) -->\n(.*?)<!-- /facts -->", re.DOTALL)
FACTS = dict(BLOCK.findall(PAGE))
OPERATORS = (gallery.ROOT / "docs" / "methods" / "operators.md").read_text()
BEST = pd.DataFrame(
    {
        "problem": ["kdv_1d", "kdv_1d", "wave_1d", "nls_1d"],
        "case": "a case",
        "label": ["adam", "engd", "engd", "engd"],
        "framework": "jax",
        "relative_l2": [0.5, 2e-6, 0.3, float("nan")],
        "runs": 3,
        "campaign": "standard",
        "machine": "some",
    }
)


def cells(line):
    return [cell.strip() for cell in line.strip("| \n").split(" | ")]


def test_the_page_is_what_the_command_writes():
    assert gallery.written(PAGE, gallery.results()) == PAGE


def test_results_of_several_campaigns_are_told_apart():
    assert gallery.results().index.is_unique


@pytest.mark.parametrize("name", problems.names())
def test_a_problem_has_a_section_with_its_facts(name):
    problem = problems.get(name)
    assert f"{{ #{name} }}" in PAGE
    assert f"<!-- picture {name} -->" in PAGE
    rows = {
        term.strip("`"): numbers
        for term, _, *numbers in map(
            cells, re.findall(r"^\| `.*$", FACTS[name], re.MULTILINE)
        )
    }
    assert rows == {
        label: [
            f"{term.default_points:,}",
            f"{term.weight:g}",
            f"{term.operator.order}",
            f"{term.operator.channels}",
        ]
        for label, term in problem.terms.items()
    }
    network = problem.networks[0]
    size = networks.parameter_count(network, problem.inputs, problem.outputs)
    assert f"`{network}` (D = {size:,})" in FACTS[name]
    assert problem.reference in FACTS[name]


def test_the_best_result_of_a_problem_is_shown_or_it_is_open():
    assert gallery.reached("kdv_1d", BEST).startswith(
        "solved: a relative L2 error of 2.0e-06 with `engd` in jax"
    )
    assert "open: a relative L2 error of 3.0e-01" in gallery.reached("wave_1d", BEST)
    assert gallery.reached("nls_1d", BEST).startswith("open (no")
    assert gallery.reached("burgers_1d", BEST) == gallery.reached("burgers_1d", None)
    assert gallery.reached("black_scholes_barenblatt_100d", None).startswith("hard")


@pytest.mark.parametrize("name", ["kdv_1d", "beltrami_3d"])
def test_a_picture_is_small_and_the_same_every_time(name):
    drawn = gallery.picture(name)
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) <= 60_000
    assert gallery.picture(name) == drawn


def test_a_slice_is_said_to_be_one():
    assert "a slice at t = 0, z = 0" in gallery.caption("beltrami_3d")
    assert "slice" not in gallery.caption("kdv_1d")


def test_the_channels_of_the_methods_page_are_those_of_the_registry():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\d+) \|$", OPERATORS, re.MULTILINE)
    assert len(rows) == 9
    for name, channels in rows:
        assert problems.get(name).terms["interior"].operator.channels == int(channels)
