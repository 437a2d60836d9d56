"""The kernel JJᵀ against dense Jacobians, and its direction against the Gramian's."""

import numpy as np
import pytest
from made_up import coupled_2d
from small import frameworks, relative, small, vector
from test_derivatives import exact_jacobians

import problems

PROBLEMS = [problems.get("heat_sum_2d"), coupled_2d]
every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


@frameworks
@every_problem
def test_the_kernel_equals_the_product_of_dense_jacobians(framework, problem):
    case = small(framework, problem)
    rows = [np.concatenate(blocks, axis=1) for blocks in exact_jacobians(case)]
    dense = np.concatenate([J / len(x) ** 0.5 for J, (x, _) in zip(rows, case.batch, strict=True)])
    terms = case.objective.linearize(case.params, case.batch)
    assert relative(case.numpy(case.part("kernel").scaled_kernel(terms)), dense @ dense.T) <= 1e-12
    weights = np.random.default_rng(0).normal(size=len(dense))
    pulled = case.part("kernel").transposed(terms, case.framework.backend.from_numpy(weights))
    assert relative(vector(case.numpy(pulled)), weights @ dense) <= 1e-12


@frameworks
@every_problem
@pytest.mark.parametrize("largest", [1, 10**6], ids=["a neuron at a time", "all together"])
def test_both_ways_to_a_layer_s_kernel_agree(monkeypatch, framework, problem, largest):
    case = small(framework, problem)
    kernel = case.part("kernel")
    monkeypatch.setattr(kernel, "LARGEST", largest)
    interior, boundary = case.objective.linearize(case.params, case.batch)
    for q, a, q2, a2 in zip(interior.cotangents, interior.inputs, boundary.cotangents, boundary.inputs, strict=True):
        full = case.part("linearization").full_rows
        layer = q, full(a, q.shape[1]), q2, full(a2, q2.shape[1])
        by_rows, by_neurons = case.numpy((kernel.rows_pairwise(*layer), kernel.neurons_together(*layer)))
        assert by_rows.shape == (7, q.shape[0], 5, q2.shape[0])
        assert relative(by_rows, by_neurons) <= 1e-12


@frameworks
@every_problem
def test_the_kernel_s_direction_is_the_gramian_s(monkeypatch, framework, problem):
    case = small(framework, problem)
    engd = case.part("engd")
    ends = []
    for optimizer, by_kernel in (("engd_woodbury", True), ("engd", True), ("engd", False)):
        monkeypatch.setattr(engd.ENGD, "_has_smaller_kernel", lambda *_, by_kernel=by_kernel: by_kernel)
        made, state, step = case.prepare(optimizer, damping=1e-2)
        params, state, losses = step(case.params, state, case.batch)
        made.check(state)
        ends.append(case.numpy([*params, *losses]))
    assert relative(ends[0], ends[1]) == 0
    assert relative(ends[1], ends[2]) <= 1e-10


@frameworks
@pytest.mark.parametrize(
    ("interior", "fields", "smaller"),
    [(7, {}, True), (60, {}, False), (7, {"decay": 0.5}, False), (7, {"damping": 0.0}, False)],
)
def test_engd_takes_the_smaller_matrix(framework, interior, fields, smaller):
    case = small(framework, coupled_2d, interior=interior)
    made, state, step = case.prepare("engd", **{"damping": 1e-2} | fields)
    assert made._has_smaller_kernel(case.params, case.batch) is smaller
    _, state, _ = step(case.params, state, case.batch)
    assert len(state.gramian) == (fields.get("decay", 0) > 0)
