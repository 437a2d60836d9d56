"""Passes over chunks of the points are the passes over all of them."""

import numpy as np
import pytest
from made_up import coupled_2d
from small import frameworks, relative, small, where

from optbench.implementations import chunks
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
def test_chunks_are_equal_where_that_costs_little(points, most, size):
    assert chunks.chunk_size(points, most) == size


@frameworks
@pytest.mark.parametrize("points", [1, 5, 6, 7])
def test_means_and_joins_over_chunks(framework, points):
    case = small(framework, coupled_2d)
    part, put = case.part("passes.chunks"), case.framework.backend.from_numpy
    x, y = np.arange(2.0 * points).reshape(points, 2), np.arange(1.0 * points)
    split = part.split((put(x), put(y)), 3)
    assert case.numpy(part.mean(lambda chunk: {"x": chunk[0].mean(0)}, split))[
        "x"
    ] == pytest.approx(x.mean(0))
    doubled, kept = case.numpy(
        part.join(part.apply(lambda chunk: (2 * chunk[0], chunk[1]), split))
    )
    assert doubled.tolist() == (2 * x).tolist()
    assert kept.tolist() == y.tolist()
    again = part.apply(lambda chunk: chunk[1], split)
    assert float(case.numpy(part.mean(lambda chunk: chunk.mean(), again))) == pytest.approx(
        y.mean()
    )


@pytest.mark.parametrize(
    ("framework", "optimizer"),
    # the factors of KFAC* are those of KFAC
    where(
        [("adam",), ("engd",), ("kfac",), ("kfac_star",)],
        lambda optimizer: optimizer != "kfac_star",
    ),
)
def test_a_step_in_chunks_is_the_step(monkeypatch, framework, optimizer):
    case = small(framework, coupled_2d, interior=11, boundary=7)
    ends = []
    # at ten channels, two interior points are a chunk, and one is left over
    for most in (10**6, 10):
        monkeypatch.setattr(
            case.part("passes.objective"), "most_channels", lambda *_, most=most: most
        )
        made, state, step = case.prepare(optimizer, **CONDITIONED[optimizer])
        params, state, losses = step(case.params, state, case.batch)
        made.check(state)
        ends.append(case.numpy([*params, *losses.terms.values()]))
    assert relative(*ends) <= 1e-10
