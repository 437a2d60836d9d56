"""The loop: what is on the clock, what the history says, how a run ends."""

import numpy as np
import pytest
from fakes import COMPILE, EVALUATE, STEP, Fake, request
from small import frameworks

from optbench import problems
from optbench.implementations.failures import FactorisationFailed
from optbench.training import run
from optbench.training.loop import next_row
from optbench.training.status import classify


def test_the_clock_counts_steps_alone_also_when_the_device_defers_them():
    record = Fake().perform(request())
    assert record.clock["train"] == pytest.approx(10 * STEP)
    assert record.clock["evaluate"] == pytest.approx(
        12 * EVALUATE
    )  # eleven rows, and the picture
    assert record.clock["compile"] == pytest.approx(4 * COMPILE + STEP + EVALUATE)
    assert record.clock["warm_up"] == pytest.approx(STEP + EVALUATE)
    assert [row.seconds for row in record.history] == pytest.approx(
        [STEP * k for k in range(11)]
    )


@frameworks
def test_a_record_says_how_fast_its_framework_multiplies(framework):
    mode = {"torch": "eager", "jax": "jit"}[framework]
    record = run.perform(request(framework=framework, mode=mode, steps=1))
    rates = record.provenance.product_rates
    assert set(rates) == {"512³", "3600×64×64"}
    assert min(rates.values()) > 1e6


def test_the_parts_add_up():
    record = Fake().perform(request())
    assert sum(record.clock.values()) == pytest.approx(record.wall_seconds, rel=1e-12)


@pytest.mark.parametrize(("seconds", "steps"), [(0.5, 1), (6.0, 6), (6.5, 7)])
def test_a_budget_of_seconds_is_overrun_by_one_step_at_most(seconds, steps):
    record = Fake().perform(request(seconds=seconds))
    assert (record.steps, record.history[-1].step, record.status) == (
        steps,
        steps,
        "finished",
    )


def test_rows_are_dense_at_first_then_spaced_by_a_tenth_and_the_last_is_there():
    record = Fake().perform(
        request(steps=67, hyperparameters={"learning_rate": 0.9, "momentum": 0.9})
    )
    assert [row.step for row in record.history] == [*range(41), 44, 49, 54, 60, 66, 67]
    assert [next_row(step) for step in (0, 39, 40, 100)] == [1, 40, 44, 110]


def test_a_row_has_losses_and_errors_of_the_same_parameters():
    fake = Fake()
    record = fake.perform(request(steps=3))
    sizes = [row.interior for row in record.history]
    assert np.divide(sizes[1:], sizes[:-1]) == pytest.approx([0.5] * 3)
    _, solution = problems.seeds.evaluation_points(
        problems.get("poisson_sine_2d"), "report"
    )
    for row in record.history:
        error = np.sqrt(np.mean((row.interior - solution) ** 2))
        assert row.rms == pytest.approx(error)
        assert row.relative_l2 == pytest.approx(error / np.sqrt(np.mean(solution**2)))


def test_points_are_drawn_when_they_are_due():
    fake = Fake()
    fake.perform(request(steps=7, resample_every=3))
    problem = problems.get("poisson_sine_2d")
    used = [batch["interior"][0] for batch in fake.batches[2:]]
    expected = [
        problems.seeds.batch(problem, 3, k, {"interior": 9, "boundary": 6})["interior"][0]
        for k in (0, 0, 0, 1, 1, 1, 2)
    ]
    assert all(
        np.array_equal(one, other) for one, other in zip(used, expected, strict=True)
    )


def raising(error, at=4):
    def on_step(count):
        if count == at:
            raise error

    return Fake(on_step)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError("no room"), "out-of-memory", "MemoryError: no room"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            "out-of-memory",
            "can't allocate",
        ),
        (
            RuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
            "out-of-memory",
            "RESOURCE_EXHAUSTED",
        ),
        (
            FactorisationFailed({"layer 1 B": np.eye(2)}, 1e-3),
            "failed",
            "no inverse with damping 0.001: layer 1 B",
        ),
        (KeyError("x"), "failed", "KeyError: 'x' (test_run.py:"),
    ],
)
def test_an_error_is_a_status_and_keeps_the_history(error, status, words):
    record = raising(error).perform(request())
    assert record.status == status
    assert words in record.error
    assert "\n" not in record.error
    assert (record.steps, record.history[-1].step) == (3, 3)


def test_divergence_is_a_status():
    record = Fake().perform(
        request(hyperparameters={"learning_rate": float("1e200"), "momentum": 0.9})
    )
    assert record.status == "diverged"
    assert record.history[-1].step == record.steps == 1
    assert not np.isfinite(record.history[-1].rms)
    assert "not finite" in record.error


def test_a_limit_of_wall_clock_seconds_is_a_status():
    record = Fake().perform(request(), seconds=4 * COMPILE + 5 * EVALUATE)
    assert record.status == "timed-out"
    assert 0 < record.steps < 10


def test_counters_of_the_state_are_kept():
    assert Fake().perform(request()).counters == {"stalls": 0, "evaluations": 10}


def test_a_missing_framework_is_a_failed_run():
    from optbench.implementations import FrameworkMissing

    def load(name):
        raise FrameworkMissing(name)

    record = run.perform(request(), load=load)
    assert record.status == "failed"
    assert "torch is not installed: pip install" in record.error


def test_unforeseen_errors_say_where():
    def fail():
        raise ZeroDivisionError("zero")

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert classify(caught.value)[1].startswith("ZeroDivisionError: zero (test_run.py:")
