"""Passes over pieces of the points are the passes over all of them."""

import numpy as np
import pytest
from made_up import coupled_2d
from optbench.implementations import chunks
from small import frameworks, relative, small

from optbench.measure.parity import CONDITIONED


@pytest.mark.parametrize(
    ("points", "most", "size"),
    [
        (5, 8, 5),
        (8, 8, 8),
        (900, 256, 225),
        (9, 4, 3),
        (7, 3, 3),
        (7, 0, 1),
        (3000, 36, 30),
    ],
)
def test_pieces_are_equal_where_that_costs_little(points, most, size):
    assert chunks.size(points, most) == size


@frameworks
@pytest.mark.parametrize("points", [1, 5, 6, 7])
def test_means_and_joins_over_pieces(framework, points):
    case = small(framework, coupled_2d)
    part, put = case.part("passes.chunks"), case.framework.backend.from_numpy
    x, y = np.arange(2.0 * points).reshape(points, 2), np.arange(1.0 * points)
    split = part.split((put(x), put(y)), 3)
    assert case.numpy(part.mean(lambda piece: {"x": piece[0].mean(0)}, split))[
        "x"
    ] == pytest.approx(x.mean(0))
    doubled, kept = case.numpy(
        part.join(part.each(lambda piece: (2 * piece[0], piece[1]), split))
    )
    assert doubled.tolist() == (2 * x).tolist()
    assert kept.tolist() == y.tolist()
    again = part.each(lambda piece: piece[1], split)
    assert float(case.numpy(part.mean(lambda piece: piece.mean(), again))) == pytest.approx(
        y.mean()
    )


@frameworks
@pytest.mark.parametrize("optimizer", ["adam", "engd", "kfac", "kfac_star"])
def test_a_step_in_pieces_is_the_step(monkeypatch, framework, optimizer):
    case = small(framework, coupled_2d, interior=11, boundary=7)
    ends = []
    for rows in (
        10**6,
        10,
    ):  # at ten rows of the jet, two interior points are a piece, and one is left over
        monkeypatch.setattr(
            case.part("passes.objective"), "most_rows", lambda *_, rows=rows: rows
        )
        made, state, step = case.prepare(optimizer, **CONDITIONED[optimizer])
        params, state, losses = step(case.params, state, case.batch)
        made.check(state)
        ends.append(case.numpy([*params, *losses]))
    assert relative(*ends) <= 1e-10
