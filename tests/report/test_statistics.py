"""Scores against a slow independent version on made-up logs, and their properties."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.records.frames import Frames
from optbench.report import curves, figures, statistics, tables

CASES, SOLVERS, SEEDS = (
    ("one", "two"),
    (("kfac", "torch"), ("kfac", "jax"), ("sgd", "jax")),
    range(3),
)


def logs(random, cases=CASES, solvers=SOLVERS, seeds=SEEDS):
    """Runs whose errors do as they like; some have no row, some are not a number."""
    runs, history = [], []
    for number, (case, (label, framework), seed) in enumerate(
        product(cases, solvers, seeds)
    ):
        runs.append(
            {
                "run": str(number),
                "campaign": "c",
                "machine": "m",
                "case": case,
                "label": label,
                "framework": framework,
                "seed": seed,
                "floor": float(random.choice([0, 0, 3e-3])),
                "setup_seconds": 1.0,
                "compile_seconds": random.uniform(),
                "warm_up_seconds": np.nan,
            }
        )
        for step in range(random.integers(0, 7)):
            error = float(random.choice([np.nan, *10.0 ** random.uniform(-7, 0, 5)]))
            history.append(
                {
                    "run": str(number),
                    "step": step,
                    "seconds": 0.1 * step,
                    "relative_l2": error,
                }
            )
    columns = ["run", "step", "seconds", "relative_l2"]
    return Frames(
        pd.DataFrame(runs),
        pd.DataFrame(history, columns=columns).astype({"step": int, "seconds": float}),
    )


def slow_reached(frames, target):
    """(steps, seconds, total) of each run, by loops."""
    found = {}
    for run in frames.runs.to_dict("records"):
        found[run["run"]] = (math.nan,) * 3
        for row in frames.history.to_dict("records"):
            if row["run"] == run["run"] and max(row["relative_l2"], run["floor"]) <= target:
                found[run["run"]] = (
                    row["step"],
                    row["seconds"],
                    row["seconds"] + 1.0 + run["compile_seconds"],
                )
                break
    return found


random_logs = st.integers(0, 10**6).map(lambda seed: logs(np.random.default_rng(seed)))


@settings(max_examples=15, deadline=None)
@given(random_logs)
def test_reached_is_what_loops_find(frames):
    rows = statistics.reached(frames)
    assert len(rows) == len(frames.runs) * len(statistics.TARGETS)
    for target, group in rows.groupby("target"):
        slow = slow_reached(frames, target)
        for row in group.to_dict("records"):
            found = [row[column] for column in ("steps", "seconds", "total_seconds")]
            np.testing.assert_allclose(found, slow[row["run"]], rtol=1e-12)


@settings(max_examples=10, deadline=None)
@given(random_logs, st.randoms())
def test_the_order_of_rows_does_not_matter(frames, random):
    shuffled = Frames(
        *(frame.sample(frac=1, random_state=random.randrange(10**6)) for frame in frames)
    )
    pd.testing.assert_frame_equal(statistics.reached(shuffled), statistics.reached(frames))
    table, other = (
        statistics.by_task(statistics.reached(each), "seconds")
        for each in (frames, shuffled)
    )
    if table.size:
        pd.testing.assert_frame_equal(
            statistics.ranking(table, statistics.medians),
            statistics.ranking(other, statistics.medians),
        )


@settings(max_examples=10, deadline=None)
@given(random_logs, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_all_times_scales_the_result(frames, scale):
    slower = Frames(
        frames.runs, frames.history.assign(seconds=scale * frames.history["seconds"])
    )
    one, other = (statistics.times(statistics.reached(each)) for each in (frames, slower))
    for column in ("seconds_q25", "seconds", "seconds_q75"):
        np.testing.assert_array_equal(other[column], scale * one[column])
    np.testing.assert_array_equal(other["steps"], one["steps"])


def test_not_a_number_reaches_nothing():
    frames = logs(np.random.default_rng(0))
    nothing = Frames(frames.runs, frames.history.assign(relative_l2=np.nan))
    rows = statistics.reached(nothing)
    assert rows[["steps", "seconds", "total_seconds"]].isna().all(axis=None)
    assert (statistics.times(rows)["reached"] == 0).all()


@given(
    st.lists(st.one_of(st.floats(0.1, 100), st.just(math.nan)), min_size=1, max_size=9),
    st.floats(100, 1000),
)
@settings(max_examples=50, deadline=None)
def test_quartiles_are_values_and_a_slower_run_never_improves_them(values, slower):
    never = any(map(math.isnan, values))  # slower than one that never arrives is none
    before, after = (
        as_times(statistics.quartiles(np.array(each)))
        for each in (values, [*values, math.nan if never else slower])
    )
    last = sorted(as_times(values))
    quarters = (last[math.ceil(share * len(last)) - 1] for share in (0.25, 0.75))
    assert sorted(before) == before
    assert before[1] == last[len(last) // 2]  # of two seeds not the lucky one
    assert before[::2] == [*quarters]
    assert all(one <= other for one, other in zip(before, after, strict=True))


def as_times(values):
    return [math.inf if math.isnan(value) else value for value in values]


def test_who_never_reached_a_target_stays_in_the_table():
    frames = logs(np.random.default_rng(1))
    never = frames.history["run"].isin(frames.runs.query("label == 'sgd'")["run"])
    rows = statistics.reached(Frames(frames.runs, frames.history[~never]))
    table = statistics.by_task(rows[rows["target"] == 0.1], "seconds")
    assert list(table.columns) == sorted(SOLVERS)
    assert len(table) == len(CASES) * len(SEEDS)
    assert (table["sgd", "jax"] == INF).all()


def test_what_is_reached_at_once_is_fastest():
    assert statistics.ratios(np.array([[0.0, 0.0, 1.0]])).tolist() == [[1, 1, INF]]


def tasks(values, solvers=("a", "b", "c"), seeds=2):
    index = [
        ("c", "m", f"case {number // seeds}", number % seeds)
        for number in range(len(values))
    ]
    columns = pd.MultiIndex.from_tuples(
        [(name, "jax") for name in solvers], names=statistics.SOLVER
    )
    return pd.DataFrame(
        values,
        pd.MultiIndex.from_tuples(index, names=[*statistics.CASE, "seed"]),
        columns,
        dtype=float,
    )


INF = math.inf
MADE_UP = tasks([[1, 2, INF], [4, 2, INF], [1, 5, INF], [INF, INF, INF]])


def test_a_profile_counts_every_task():
    found = (
        statistics.profile(MADE_UP)
        .groupby("label")[["ratio", "share"]]
        .apply(lambda rows: rows.to_numpy().tolist())
    )
    assert found.to_dict() == {
        "a": [[1, 0.5], [2, 0.75]],
        "b": [[1, 0.25], [2, 0.5], [5, 0.75]],
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_an_area_is_that_under_the_profile(seed):
    random = np.random.default_rng(seed)
    table = tasks(
        np.where(
            random.uniform(size=(6, 3)) < 0.2, INF, 10 ** random.uniform(-1, 1.5, (6, 3))
        )
    )
    grid = np.linspace(0, np.log(statistics.FAR), 20001)
    fastest = table.min(axis=1).to_numpy()[:, None]
    shares = [
        ((table.to_numpy()[:, [i]] <= fastest * np.exp(grid)) & (fastest < INF)).mean(0)
        for i in range(3)
    ]
    slow = [np.trapezoid(share, grid) / np.log(statistics.FAR) for share in shares]
    np.testing.assert_allclose(statistics.areas(table.to_numpy()), slow, atol=1e-4)


def test_a_faster_solver_alone_changes_others_order():
    table = tasks([[1, 4, INF], [1, 4, INF], [30, 4, 1], [30, 4, 1]])
    assert [name for name, _ in statistics.order(table)] == ["a", "c", "b"]
    found = statistics.left_out(table)
    assert dict(zip(found["label"], found["swapped"], strict=True)) == {
        "a": 1,
        "b": 0,
        "c": 1,
    }


def test_an_optimizer_is_left_out_with_its_twin():
    # else the twin of the fastest would be the fastest, and no order would depend on it
    table = tasks(
        [[1, 1, 4, INF], [1, 1, 4, INF], [30, 30, 4, 1], [30, 30, 4, 1]],
        solvers=("a", "a", "b", "c"),
    )
    table.columns = pd.MultiIndex.from_tuples(
        [("a", "torch"), ("a", "jax"), ("b", "jax"), ("c", "jax")], names=statistics.SOLVER
    )
    assert statistics.left_out(table).set_index("label")["swapped"].to_dict() == {
        "a": 1,
        "b": 0,
        "c": 2,
    }


def test_being_first_has_a_probability():
    # in the only case, a has the smaller median unless seed 2 is drawn twice or more of
    # three: (1/3)³ + 3 (1/3)² (2/3)
    table = tasks([[1, 2], [1, 2], [3, 2]], solvers=("a", "b"), seeds=3)
    found = statistics.ranking(table, statistics.medians)
    assert list(found["label"]) == ["a", "b"]
    assert found["first"].sum() == pytest.approx(1)
    assert found.loc[0, "first"] == pytest.approx(20 / 27, abs=0.04)
    assert found.loc[0, ["value", "low", "high"]].tolist() == [1, 1, 3]
    pd.testing.assert_frame_equal(
        found, statistics.ranking(table, statistics.medians)
    )  # the same draws


@pytest.mark.parametrize("seeds", [4, 5])
def test_fewer_than_five_seeds_have_no_interval_and_nobody_a_probability(seeds):
    table = tasks([[1, 2], [1, 3], [3, 2], [2, 2], [1, 1]], ("a", "b"), seeds=5)
    rows = table.stack(level=[0, 1], future_stack=True).rename("value").reset_index()
    rows = rows[(rows["label"] == "a") | (rows["seed"] < seeds)]
    ranking = statistics.ranking(statistics.by_task(rows, "value"), statistics.medians)
    found = statistics.with_enough(ranking, rows).set_index("label")
    assert found.loc["a", ["low", "high"]].notna().all()
    assert found.loc["b", ["low", "high"]].notna().all() == (seeds == 5)
    assert found["first"].notna().tolist() == [seeds == 5] * 2
    assert found["value"].notna().all()


def timed(values):
    """Rows of times [case][solver] of lists over seeds."""
    return pd.DataFrame(
        [
            ("c", "m", case, solver, "jax", seed, time)
            for case, solvers in values.items()
            for solver, times in solvers.items()
            for seed, time in enumerate(times)
        ],
        columns=[*statistics.CASE, *statistics.SOLVER, "seed", "seconds"],
    )


def test_a_solver_with_fewer_seeds_is_no_worse_for_it():
    rows = timed({"one": {"a": [3, 1, 2], "b": [2.5]}, "two": {"a": [np.nan, 4], "b": [5]}})
    found = statistics.by_case(rows, "seconds")
    assert found.loc[("c", "m", "one")].tolist() == [2, 2.5]
    assert found.loc[("c", "m", "two")].tolist() == [INF, 5]


def test_a_claim_about_other_problems_is_drawn_over_cases_and_seeds():
    """Of five cases a is first in four for certain, and in one with four seeds of five."""
    quick = {"a": [1.0], "b": [2.0]}
    values = dict.fromkeys("1234", quick) | {"5": {"a": [1.0] * 4 + [9.0], "b": [2.0]}}
    share = lambda table: -(table == table.min(axis=1, keepdims=True)).mean(axis=0)  # noqa: E731
    found = statistics.over_cases(timed(values), "seconds", share).set_index("label")
    assert found.loc["a", "value"] == -1
    # how often b is first: each of five draws hits case 5 with 1/5, where three or more of
    # a's five are 9 with 0.058; the 97.5 % quantile of that binomial over five is one case
    drawn = statistics.redrawn(
        timed(values), "seconds", statistics.by_case(timed(values), "seconds"), 0
    )
    assert (drawn[:, :, 0] == 9).mean() == pytest.approx(0.058 / 5, abs=0.003)
    assert found.loc["a", ["low", "high"]].tolist() == [-1, -0.8]
    assert found.loc["b", ["low", "high"]].tolist() == [-0.2, 0]
    assert found.loc["a", "first"] > 0.95
    few = {case: values[case] for case in "1235"}
    found = statistics.over_cases(timed(few), "seconds", share)
    assert found[["low", "high", "first"]].isna().all(axis=None)
    assert found["value"].notna().all()


def test_solvers_with_as_many_seeds_are_compared_in_a_case():
    rows = timed({"one": {"a": [1, 2, 3, 4, 5], "b": [9, 8, 7, 6, 5], "c": [2.0]}})
    rows = rows.assign(final=rows["seconds"], steps=1, moved_until=np.nan)
    found = tables._ranked(rows).set_index("label")
    assert found["median"].to_dict() == {"a": 3, "b": 7, "c": 2}
    assert found["runs"].to_dict() == {"a": 5, "b": 5, "c": 1}
    assert found.loc["a", "first"] > 0.95
    assert found.loc["b", "first"] < 0.05
    assert found.loc["c", ["low", "high", "first"]].isna().all()


def test_cases_are_drawn_apart():
    # a case with two equal seeds stays as it is, whatever is drawn of it
    table = tasks([[1, 2], [1, 2], [8, 4], [8, 4]], solvers=("a", "b"))
    assert (
        len(
            np.unique(
                statistics.bootstrap(table, lambda values: values.mean(axis=0)), axis=0
            )
        )
        == 1
    )


def test_nobody_is_first_where_nothing_was_reached():
    assert statistics.ranking(
        tasks([[INF, INF]] * 2, solvers=("a", "b")), statistics.medians
    )["first"].tolist() == [
        0,
        0,
    ]


def test_frameworks_are_compared_on_equal_seeds():
    values = {
        ("torch", 0): 2.0,
        ("jax", 0): 1.0,
        ("torch", 1): 8.0,
        ("jax", 1): 2.0,
        ("torch", 2): np.nan,
        ("jax", 2): 5.0,
        ("torch", 3): 9.0,
    }
    case = {"campaign": "c", "machine": "m", "case": "one", "label": "kfac"}
    rows = pd.DataFrame(
        [
            case | {"framework": name, "seed": seed, "value": value}
            for (name, seed), value in values.items()
        ]
    )
    (found,) = statistics.paired(rows, "value").to_dict("records")
    assert found["pairs"] == 2
    assert found["ratio"] == pytest.approx(8**0.5)
    assert math.isnan(found["low"])  # two pairs have no interval
    assert math.isnan(found["high"])
    assert statistics.paired(rows[rows["framework"] == "torch"], "value").empty


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 8))
def test_pairs_are_what_loops_find(seed, seeds):
    random = np.random.default_rng(seed)
    values = {
        key: float(random.choice([np.nan, random.uniform(0.1, 9)], p=[0.1, 0.9]))
        for key in product(("kfac", "sgd"), ("torch", "jax"), range(seeds))
    }
    case = {"campaign": "c", "machine": "m", "case": "one"}
    keys = ("label", "framework", "seed")
    rows = pd.DataFrame(
        [
            case | dict(zip(keys, key, strict=True)) | {"value": value}
            for key, value in values.items()
        ]
    )
    found = {
        row["label"]: row for row in statistics.paired(rows, "value").to_dict("records")
    }
    for label in ("kfac", "sgd"):
        pairs = [
            (values[label, "torch", each], values[label, "jax", each])
            for each in range(seeds)
        ]
        ratios = sorted(one / other for one, other in pairs if not math.isnan(one + other))
        assert found[label]["pairs"] == len(ratios)
        middle = ratios[(len(ratios) - 1) // 2] * ratios[len(ratios) // 2]
        assert found[label]["ratio"] == pytest.approx(middle**0.5)
        if len(ratios) >= statistics.LEAST:
            assert (
                ratios[0] * (1 - 1e-9)
                <= found[label]["low"]
                <= found[label]["ratio"] * (1 + 1e-9)
            )
            assert (
                found[label]["ratio"] * (1 - 1e-9)
                <= found[label]["high"]
                <= ratios[-1] * (1 + 1e-9)
            )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_medians_and_who_is_first_are_what_loops_find(seed):
    random = np.random.default_rng(seed)
    values = np.where(
        random.uniform(size=(7, 3)) < 0.3,
        INF,
        random.integers(1, 4, size=(7, 3)).astype(float),
    )
    expected = [
        sorted(column)[math.ceil(len(column) / 2) - 1] for column in values.T.tolist()
    ]
    assert statistics.medians(values).tolist() == expected
    shares = [0.0] * 3
    for row in values.tolist():
        among = [number for number, value in enumerate(row) if value == min(row) < INF]
        for number in among:
            shares[number] += 1 / len(among) / len(values)
    assert statistics.first(values).tolist() == pytest.approx(shares)


def test_a_band_counts_a_run_that_ended_early_as_worse_than_any_number():
    # two of three runs at their budget: no upper quartile after the third one's end
    seconds = np.array([1.0, 2, 4, 8])
    same = {
        "case": "one",
        "parameters": 9,
        "label": "kfac",
        "framework": "jax",
        "floor": 0.0,
    }
    runs = [
        same
        | {
            "campaign": "c",
            "machine": "m",
            "run": str(seed),
            "seed": seed,
            "status": status,
        }
        for seed, status in enumerate(("finished", "finished", "diverged"))
    ]
    rows = [
        {"run": str(seed), "step": step, "seconds": x, "relative_l2": 10.0**-seed / x}
        for seed in range(3)
        for step, x in enumerate(seconds)
        if seed < 2 or x <= 2
    ]
    found = curves.bands(Frames(pd.DataFrame(runs), pd.DataFrame(rows)), "seconds")
    assert (found["seconds"].iloc[0], found["seconds"].iloc[-1]) == (1, 8)
    before, after = found[found["seconds"] <= 2], found[found["seconds"] > 2]
    assert before["q75"].notna().all()
    assert after["q75"].isna().all()
    assert found.iloc[-1][["q25", "relative_l2"]].tolist() == [10.0**-1 / 8, 1 / 8]


def test_who_never_reaches_a_target_is_in_the_figure_of_profiles():
    frames = logs(np.random.default_rng(1))
    never = frames.history["run"].isin(frames.runs.query("label == 'sgd'")["run"])
    found = figures.profile(statistics.reached(Frames(frames.runs, frames.history[~never])))
    assert found.loc[found["optimizer"] == "sgd", "share"].tolist() == [0, 0]


def test_no_profile_is_over_cases_that_a_solver_did_not_run():
    frames = logs(np.random.default_rng(1), cases=("one", "two", "three"))
    runs = frames.runs
    absent = (runs["case"] == "two") & (runs["label"] == "sgd")
    groups = statistics.comparable(statistics.reached(frames._replace(runs=runs[~absent])))
    assert sorted(sorted(set(group["case"])) for group in groups) == [
        ["one", "three"],
        ["two"],
    ]
    assert sum(map(len, groups)) == len(runs[~absent]) * len(statistics.TARGETS)
    table = tables.rankings(statistics.reached(frames._replace(runs=runs[~absent]))).data
    assert set(table["cases"]) <= {"one; three", "two"}
    assert set(table.loc[table["cases"] == "two", "label"]) == {"kfac"}


def test_a_case_run_in_more_frameworks_counts_among_those_of_fewer_too():
    cases = ("one", "two", "three")
    solvers = [("kfac", "jax"), ("sgd", "jax"), ("kfac", "torch"), ("sgd", "torch")]
    frames = logs(np.random.default_rng(0), cases, solvers)
    runs = frames.runs
    left = runs[(runs["framework"] == "jax") | (runs["case"] == "two")]
    groups = statistics.comparable(statistics.reached(frames._replace(runs=left)))
    assert [sorted(set(group["case"])) for group in groups] == [
        ["one", "three", "two"],
        ["two"],
    ]
    assert [sorted(set(group["framework"])) for group in groups] == [
        ["jax"],
        ["jax", "torch"],
    ]
