"""A name is a family and a dimension; a wrong one is answered in one clear line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import PUBLISHED
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench import problems
from optbench.problems.names import UnknownName
from optbench.problems.problem import Operator


def test_the_papers_names_are_first_in_the_tables_order():
    assert problems.names()[: len(PUBLISHED)] == PUBLISHED


ANY = sorted(name for name, family in problems.families().items() if not family.only)


@given(st.sampled_from(ANY), st.integers(1, 60))
@settings(derandomize=True, database=None, deadline=None, max_examples=40)
def test_any_dimension_is_had_by_the_same_rule(family, half):
    name = f"{family}_{2 * half}d"
    problem = problems.get(name)
    assert problem.name == name
    assert problem is problems.get(name) is problems.families()[family](2 * half)
    assert problem.dim - 2 * half == (0 if family.startswith("poisson") else 1)


def test_problems_are_hashable_by_identity():
    problem = problems.get("heat_sum_2d")
    assert (
        len(
            {
                problem,
                problem.interior,
                problem.interior.operator,
                problems.get("heat_sum_3d"),
            }
        )
        == 4
    )
    assert hash(problem.interior.operator) == hash(
        problems.get("heat_sum_2d").interior.operator
    )


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("poison_sine_2d", "poisson_sine_2d"), ("heat_sine_sum_7d", "heat_sum_7d")],
)
def test_unknown_family_is_answered_with_the_nearest(wrong, right):
    with pytest.raises(UnknownName, match=right) as error:
        problems.get(wrong)
    assert repr(wrong) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "poisson_sine",
            "'poisson_sine': write <family>_<dimension of space>d, such as poisson_sine_2d",
        ),
        ("heat_sum4d", "'heat_sum4d': .* such as heat_sum_4d"),
        ("poisson_sine_02d", "'poisson_sine_02d'"),
        ("poisson_sine_-1d", "'poisson_sine_-1d'"),
        ("poisson_sine_٣d", "malformed"),
        ("", "''"),
        ("poisson_sine_0d", "poisson_sine: the dimension must be 1 to 9999, not 0"),
        ("poisson_sine_10000d", "the dimension must be 1 to 9999, not 10000"),
        ("poisson_harmonic_3d", "poisson_harmonic: the dimension must be even .*, not 3"),
    ],
)
def test_malformed_names_and_dimensions_are_one_line(name, what):
    with pytest.raises(ValueError, match=what) as error:
        problems.get(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("matrix", "what"),
    [
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric"),
        (np.full((2, 2), np.nan), "finite"),
        (np.ones((2, 3)), r"square .* \[2, 3\]"),
        (np.ones(2), r"square .* \[2\]"),
    ],
)
def test_operator_wants_a_symmetric_matrix(matrix, what):
    with pytest.raises(ValueError, match=what):
        Operator(lambda jet, x, y: jet.value, matrix)


def test_problems_are_numpy_only():
    script = (
        "import sys; from optbench import problems; problems.get('heat_sum_2d'); "
        "print({'torch', 'jax', 'scipy'} & set(sys.modules))"
    )
    root = Path(problems.__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "set()"
