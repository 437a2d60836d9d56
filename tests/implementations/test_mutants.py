"""Errors that are planted in the passes and in KFAC, and the checks that notice them."""

import math

import numpy as np
import oracle
import posed
import pytest
from small import drawn, frameworks, relative, small, vector
from test_taylor import posed_with

KDV, SHARED = posed.kdv(), posed_with("traces that share lines")
PLATE = posed.plate()


def gradient_is_right(case):
    """The check of `test_taylor`: ∇L against the oracle's."""
    problem, batch = case.objective.problem, drawn(case.objective.problem)
    J, r = oracle.weighted_rows(problem, case.start, batch)
    _, gradient = case.objective.gradient(case.params, case.batch)
    return relative(vector(case.numpy(gradient)), J.T @ r) <= 1e-11


def a_coefficient_of_faa_di_bruno(case, monkeypatch):
    """2 σ″ z₁z₂ in h₃ in place of 3."""
    taylor = case.part("passes.taylor")
    right = taylor.faa_di_bruno

    def wrong(outer, inner):
        h = right(outer, inner)
        if len(inner) > 2:
            h[3] = h[3] - outer[2] * inner[0] * inner[1]
        return h

    monkeypatch.setattr(taylor, "faa_di_bruno", wrong)


def a_binomial_of_the_way_back(case, monkeypatch):
    """C(3, 1) = 2 in place of 3."""
    taylor = case.part("passes.taylor")
    wrong = {(3, 1): 2}
    monkeypatch.setattr(taylor, "comb", lambda k, j: wrong.get((k, j), math.comb(k, j)))


def two_terms_points_swapped(case, monkeypatch):
    objective = case.part("passes.objective").Objective
    right = objective._whole
    names = case.objective.problem.conditions[:2]

    def wrong(self, passes, params, batch):
        swapped = dict(zip(names, reversed(names), strict=True))
        batch = {name: batch[swapped.get(name, name)] for name in batch}
        return right(self, passes, params, batch)

    monkeypatch.setattr(objective, "_whole", wrong)


def slopes_not_doubled(case, monkeypatch):
    """σ″ q_A A ∇z to a trace's slopes in place of twice that."""
    taylor = case.part("passes.taylor").Taylor
    right = taylor.activate_transposed

    def wrong(self, activation, kept, jet, cotangents):
        pulled = right(self, activation, kept, jet, cotangents)
        for trace in self.traces:
            q = cotangents[:, trace.channel]
            bent = (kept.derivatives[2] * q)[:, None] * trace.diffuse(jet[trace.slopes])
            for place, slope in enumerate(trace.slopes):
                if case.framework.name == "torch":
                    pulled[:, slope] -= bent[:, place]
                else:
                    pulled = pulled.at[:, slope].add(-bent[:, place])
        return pulled

    monkeypatch.setattr(taylor, "activate_transposed", wrong)


def weights_not_counted(case, monkeypatch):
    """∇L without the terms' weights."""
    objective = case.part("passes.objective")
    add = objective.add
    monkeypatch.setattr(objective, "scale", lambda matrices, weight: matrices)
    monkeypatch.setattr(objective, "add", lambda one, other, weight: add(one, other))


PLANTED = [
    (a_coefficient_of_faa_di_bruno, KDV),
    (a_coefficient_of_faa_di_bruno, PLATE),
    (a_binomial_of_the_way_back, KDV),
    (two_terms_points_swapped, KDV),
    (slopes_not_doubled, SHARED),
    (weights_not_counted, KDV),
]


@frameworks
@pytest.mark.parametrize(
    ("plant", "problem"), PLANTED, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_error_is_noticed(framework, monkeypatch, plant, problem):
    case = small(framework, problem)
    assert gradient_is_right(case)
    plant(case, monkeypatch)
    assert not gradient_is_right(case)


@frameworks
def test_wrongly_merged_conditions_are_noticed(framework, monkeypatch):
    """A_c as the plain mean over the conditions, though their weights differ."""
    case = small(framework, KDV)
    kfac = case.part("optimizers.kfac")
    right, names = kfac.merged, KDV.conditions

    def wrong(weights, terms):
        layers = right(weights, terms)
        return [
            layer._replace(A_c=sum(terms[n].factors[k][0] for n in names) / len(names))
            for k, layer in enumerate(layers)
        ]

    batch = drawn(KDV)
    factors = {
        name: oracle.kronecker_factors(oracle.linearized(term, case.start, batch[name]))
        for name, term in KDV.terms.items()
    }
    expected = [layer[2] for layer in oracle.merged_factors(KDV, factors)]
    for merged, same in ((right, True), (wrong, False)):
        monkeypatch.setattr(kfac, "merged", merged)
        _, state, step = case.prepare("kfac", decay=0.5)
        _, state, _ = step(case.params, state, case.batch)
        averages = [case.numpy(layer.A_c) for layer in state.preconditioner.factors]
        ours = [2 * A_c - np.eye(len(A_c)) for A_c in averages]
        assert (relative(ours, expected) <= 1e-11) == same
