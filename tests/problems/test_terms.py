"""A problem's terms: which it may be made of, and how they change."""

from dataclasses import replace

import posed
import pytest
from made_up import coupled_2d


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"loss": posed.kdv().terms["initial"]}, "kdv_1d has a term 'loss': must be"),
        ({"a b": posed.kdv().terms["initial"]}, "kdv_1d has a term 'a b': must be"),
        (
            {"initial": replace(posed.kdv().terms["initial"], weight=0.0)},
            "kdv_1d: the weight of initial is 0.0: must be a positive number",
        ),
    ],
)
def test_a_problem_is_not_made_of_such_terms(terms, message):
    with pytest.raises(ValueError, match=message):
        replace(posed.kdv(), terms={**posed.kdv().terms, **terms})


def test_weights_outlive_other_changes():
    problem = posed.kdv().with_weights({"interior": 3.0, "boundary": 0.5})
    again = replace(problem, resample_every=7)
    expected = {"interior": 3.0, "initial": 10.0, "boundary": 0.5, "slope": 1.0}
    assert (problem.weights, again.weights) == (expected, expected)


def test_a_short_form_has_weights_as_well():
    problem = coupled_2d.with_weights({"interior": 3.0})
    assert problem.weights == {"interior": 3.0, "boundary": 1.0}
    assert problem.points == coupled_2d.points


def test_the_short_names_change_a_problem_that_has_them():
    term = replace(coupled_2d.terms["boundary"], weight=7.0)
    problem = replace(coupled_2d, boundary=term, interior_points=5)
    assert problem.weights == {"interior": 1.0, "boundary": 7.0}
    assert problem.points == {"interior": 5, "boundary": 16}


def test_a_problem_without_a_boundary_can_be_changed():
    problem = replace(posed.convection(), march=10)
    assert problem.points == posed.convection().points
    assert problem.boundary is None
