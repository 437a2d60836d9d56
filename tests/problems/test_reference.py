"""A reference on a grid: interpolated to its order; its accuracy is the report's floor."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fakes import Fake, request
from made_up import on_grid
from scipy.interpolate import RegularGridInterpolator

from optbench.problems.own import InvalidFile, digest
from optbench.problems.reference import Reference
from optbench.records.frames import from_records
from optbench.report import curves as plots
from optbench.report import summary
from optbench.schedule import progress
from optbench.tuning import output


def uneven(n):
    """Nodes in [0, 1] that lie closer at one end."""
    return np.linspace(0, 1, n) ** 1.3


def waves(x):
    return np.stack([np.sin(3 * x).prod(1), np.cos(2 * x).sum(1)], 1)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_cubics_are_met_exactly(dim):
    def cubic(x):
        return (x**3 - 2 * x**2 + x + 0.5).prod(1, keepdims=True)

    x = np.random.default_rng(0).random((50, dim))
    np.testing.assert_allclose(
        on_grid(cubic, *[uneven(9 + k) for k in range(dim)])(x), cubic(x), rtol=1e-12
    )


def test_nodes_are_met_and_scipy_agrees_between_them():
    axes = uneven(30), np.linspace(0, 1, 40)
    reference, x = on_grid(waves, *axes), np.random.default_rng(0).random((200, 2))
    corners = np.array([[0.0, 0.0], [1.0, 1.0], [axes[0][7], axes[1][11]]])
    np.testing.assert_allclose(reference(corners), waves(corners), atol=1e-14)
    np.testing.assert_allclose(
        reference(x),
        RegularGridInterpolator(axes, reference.values, method="cubic")(x),
        atol=1e-4,
    )


def test_the_four_nodes_lie_around_the_point():
    # one at node 4, else zero
    reference = on_grid(lambda x: (x == 4).astype(float), np.arange(9.0))
    np.testing.assert_allclose(
        reference(np.array([[2.5], [3.5], [4.5], [5.5]]))[:, 0],
        np.array([-1, 9, 9, -1]) / 16,
    )


def test_the_error_falls_with_the_fourth_power_and_is_foreseen():
    x = np.random.default_rng(0).random((2000, 2))
    errors, foreseen = [], []
    for n in (20, 40, 80):
        reference = on_grid(waves, np.linspace(0, 1, n), np.linspace(0, 1, n))
        errors.append(np.linalg.norm(reference(x) - waves(x)) / np.linalg.norm(waves(x)))
        foreseen.append(reference.interpolation_error())
    assert errors[0] / errors[1] > 12
    assert errors[1] / errors[2] > 12
    assert all(1 < guess / error < 6 for guess, error in zip(foreseen, errors, strict=True))


def test_the_norm_is_the_quadratic_mean():
    reference = on_grid(
        lambda x: np.sin(np.pi * x).prod(1, keepdims=True), uneven(81), uneven(91)
    )
    assert reference.norm == pytest.approx(0.5, rel=1e-3)


def test_a_point_beside_the_grid_is_an_error():
    with pytest.raises(ValueError, match="a point lies outside of axis_1, 0 to 1"):
        on_grid(waves, uneven(9), uneven(9))(np.array([[0.5, 1.1]]))


WHOLE = {
    "axis_0": np.arange(9.0),
    "axis_1": np.arange(8.0),
    "u": np.ones((9, 8)),
    "accuracy": 1e-3,
}
FAULTS = {
    "no accuracy": ({"accuracy": None}, "has no accuracy"),
    "no axes": ({"axis_0": None, "axis_1": None}, "has no axis_0"),
    "no first axis": ({"axis_0": None}, "has no axis_0|u has shape"),
    "axes that fall": (
        {"axis_1": -np.arange(8.0)},
        "axis_1 must have at least 8 nodes that increase",
    ),
    "few nodes": ({"axis_1": np.arange(7.0)}, "axis_1 must have at least 8 nodes"),
    "another shape": (
        {"u": np.ones((8, 9))},
        r"u has shape \[8, 9\]: must be \[9, 8\] or \[9, 8, m\]",
    ),
    "not finite": ({"u": np.full((9, 8), np.nan)}, "u must be finite"),
    "a perfect one": ({"accuracy": 0.0}, "accuracy must be one number > 0"),
    "many accuracies": ({"accuracy": np.ones(3)}, "accuracy must be one number > 0"),
    "objects": ({"u": np.array([object()])}, "is no .npz of numbers"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_file_that_is_no_reference_is_named(what, tmp_path):
    change, message = FAULTS[what]
    file = tmp_path / "r.npz"
    np.savez(
        file,
        **{name: value for name, value in (WHOLE | change).items() if value is not None},
    )
    with pytest.raises(InvalidFile, match=message) as error:
        Reference.read(file)
    assert "\n" not in str(error.value)


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "array.npz.npy", np.ones(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    for name in ("text", "array", "torn"):
        with pytest.raises(InvalidFile, match=f"{name}.npz is no .npz of numbers"):
            Reference.read(tmp_path / f"{name}.npz")
    with pytest.raises(InvalidFile, match=r"absent.npz: No such file"):
        Reference.read(tmp_path / "absent.npz")


def test_a_file_is_read_with_its_hash(tmp_path):
    np.savez(tmp_path / "r.npz", **WHOLE)
    reference = Reference.read(tmp_path / "r.npz")
    assert reference.source == (
        tmp_path / "r.npz",
        digest((tmp_path / "r.npz").read_bytes()),
    )
    assert (reference.accuracy, reference.values.shape) == (1e-3, (9, 8, 1))


# -- the floor --


@pytest.fixture
def runs():
    """A run that ends below the floor, one above."""
    low, high = (Fake().perform(request(seed=seed)) for seed in (0, 1))
    floor = (low.history[-1].relative_l2 + high.history[-1].relative_l2) / 2
    if low.relative_l2 > high.relative_l2:
        low, high = high, low
    return (
        low.model_copy(update={"floor": floor}),
        high.model_copy(update={"floor": floor}),
        floor,
    )


def test_no_table_says_less_than_the_floor(runs):
    low, high, floor = runs
    frames = from_records([low])
    assert frames.runs["relative_l2"][0] < floor  # what was measured is kept
    row = summary.summarise(frames).iloc[0]
    assert (row["relative_l2"], row["best_relative_l2"]) == (floor, floor)
    text = summary.render(summary.summarise(frames), "text")
    assert f" ≤{floor:.2e}  ≤{floor:.2e} " in text
    assert f"The reference is accurate to {floor:.2e} in relative L2" in text
    both = summary.summarise(from_records([low, high])).iloc[0]
    assert both["relative_l2_q75"] == high.history[-1].relative_l2
    assert f"{both['relative_l2_q75']:.1e}]" in summary.render(
        summary.summarise(from_records([low, high])), "text"
    )


def test_no_curve_goes_below_the_floor(runs, tmp_path, monkeypatch):
    low, _, floor = runs
    drawn = []
    monkeypatch.setattr(plots, "save", lambda grid, *_, **__: drawn.append(grid) or [])
    plots.draw(from_records([low]), tmp_path)
    curve, line = (
        drawn[0].axes.flat[0].get_lines()[0],
        drawn[0].axes.flat[0].get_lines()[-1],
    )
    plt.close(drawn[0].figure)
    assert min(curve.get_ydata()) == floor
    assert set(line.get_ydata()) == {floor}
    assert line.get_linestyle() == ":"


def test_without_a_reference_there_is_no_floor(runs, tmp_path, monkeypatch):
    low = runs[0].model_copy(update={"floor": 0.0})
    text = summary.render(summary.summarise(from_records([low])), "text")
    assert "≤" not in text
    assert "reference" not in text


def test_neither_tuning_nor_the_line_of_a_run_says_less(runs):
    low, high, floor = runs
    assert output.final_error(low) == floor
    assert output.final_error(high) == high.history[-1].relative_l2
    assert f"relative L2 {floor:.1e} after" in progress.summary(low)
