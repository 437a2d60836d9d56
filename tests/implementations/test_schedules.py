"""Schedules of the learning rate against optax and torch.optim; a run's budget."""

from importlib import import_module

import numpy as np
import pytest
from fakes import Descent, Fake, request
from small import frameworks, needs, relative, small
from stopping import StopAfter, bits

from optbench import implementations, problems
from optbench.training import run as train
from optbench.training.limits import Limits
from optbench.training.loop import Stopped

HEAT = problems.get("heat_sine_1d")
END, STEPS, RISE = 0.05, 10, 4  # a schedule of ten steps, the warm-up's four included
SHAPES = ["constant", "cosine", "exponential"]


def rates(framework, shape, warm_up=0.0, steps=STEPS):
    """The learning rate of every step, three beyond the end, as optimizers take it."""
    loaded = implementations.load(framework)
    schedule = import_module(f"{loaded.backend.__package__}.solvers.learning_rate")
    made = loaded.OPTIMIZERS["sgd"](
        learning_rate=0.3,
        schedule=shape,
        schedule_steps=STEPS,
        schedule_end=END,
        warm_up=warm_up,
    )
    state = made.init(None, loaded.backend.from_numpy_tree([np.ones((1, 2))]))
    etas, progress = [], state.progress
    for _ in range(steps + 3):
        etas.append(float(schedule.learning_rate(made, progress)))
        progress = schedule.after(progress)
    return etas


def of_optax(shape, warm_up):
    import optax

    rise = int(warm_up * STEPS)
    if shape == "constant":
        return (
            optax.warmup_constant_schedule(0.0, 0.3, rise)
            if rise
            else optax.constant_schedule(0.3)
        )
    if shape == "cosine" and rise:
        return optax.warmup_cosine_decay_schedule(0.0, 0.3, rise, STEPS, 0.3 * END)
    if shape == "cosine":
        return optax.cosine_decay_schedule(0.3, STEPS, END)
    if rise:
        return optax.warmup_exponential_decay_schedule(
            0.0, 0.3, rise, STEPS - rise, END, end_value=0.3 * END
        )
    return optax.exponential_decay(0.3, STEPS, END, end_value=0.3 * END)


@frameworks
@pytest.mark.parametrize("warm_up", [0.0, RISE / STEPS])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_optax(framework, shape, warm_up):
    pytest.importorskip("optax")
    import jax

    jax.config.update("jax_enable_x64", True)
    theirs = of_optax(shape, warm_up)
    assert rates(framework, shape, warm_up) == pytest.approx(
        [float(theirs(k)) for k in range(STEPS + 3)], rel=1e-12
    )


def of_torch(shape, warm_up):
    """To the last step: beyond it PyTorch's cosine rises again."""
    import torch
    from torch.optim import lr_scheduler

    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    rise = int(warm_up * STEPS)
    fall = {
        "constant": lambda: lr_scheduler.ConstantLR(sgd, 1.0),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(sgd, STEPS - rise, 0.3 * END),
        "exponential": lambda: lr_scheduler.ExponentialLR(sgd, END ** (1 / (STEPS - rise))),
    }[shape]()
    if rise:  # it cannot start at zero
        start = lr_scheduler.LinearLR(sgd, 1e-13, total_iters=rise)
        fall = lr_scheduler.SequentialLR(sgd, [start, fall], [rise])
    for _ in range(STEPS + 1):
        yield sgd.param_groups[0]["lr"]
        sgd.step()
        fall.step()


@frameworks
@pytest.mark.parametrize("warm_up", [0.0, RISE / STEPS])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torch(framework, shape, warm_up):
    pytest.importorskip("torch")
    assert rates(framework, shape, warm_up, STEPS - 2) == pytest.approx(
        list(of_torch(shape, warm_up)), abs=1e-12
    )


@frameworks
@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [
        ("sgd", np.float64),
        ("adam", np.float32),
        ("soap", np.float32),
        ("muon", np.float64),
    ],
)
def test_a_step_is_that_of_the_learning_rate(framework, optimizer, dtype):
    """Also where the length is the budget; nothing is compiled twice, float32 stays."""
    case = small(framework, HEAT, "tanh_4_4", dtype=dtype)
    made, state, step = case.prepare(
        optimizer, learning_rate=0.1, schedule="cosine", warm_up=0.25
    )
    plain, start, constant = case.prepare(optimizer, learning_rate=0.1)
    # SOAP's first step does not move
    _, state, _ = step(case.params, state, case.batch)
    _, start, _ = constant(case.params, start, case.batch)
    for share in (0.125, 1.0):
        state = made.progress(state, share)
        moved, state, _ = step(case.params, state, case.batch)
        expected, start, _ = constant(case.params, plain.progress(start, share), case.batch)
        changes = [
            [new - old for new, old in zip(matrices, case.params, strict=True)]
            for matrices in (moved, expected)
        ]
        ratio = {0.125: 0.5, 1.0: made.schedule_end}[share]
        tolerance = 1e-12 if dtype is np.float64 else 1e-3
        assert (
            relative(
                case.numpy(changes[0]),
                [ratio * change for change in case.numpy(changes[1])],
            )
            <= tolerance
        )
        share_told = getattr(state, "adam", state).progress.share
        assert {matrix.dtype for matrix in case.numpy([*moved, share_told])} == {
            np.dtype(dtype)
        }
    assert getattr(step, "_cache_size", lambda: 1)() == 1
    assert getattr(start, "adam", start).progress == ()


class Told(Descent):
    """Remembers what it was told."""

    shares: list

    def progress(self, state, share):
        self.shares.append(share)
        return state


@pytest.mark.parametrize("budget", [{"steps": 4}, {"seconds": 4.0}], ids=str)
def test_a_run_tells_its_share_before_every_step_also_when_it_goes_on(tmp_path, budget):
    """The fake's steps take a second; evaluations, draws and copies count for nothing."""
    shares = []
    mine = type("Mine", (Told,), {"shares": shares})
    for steps in (3, 99):
        fake = Fake()
        fake.OPTIMIZERS = {"sgd": mine}
        try:
            fake.perform(
                request(resample_every=1, **budget),
                checkpoints=tmp_path,
                stop=StopAfter(steps),
            )
        except Stopped:
            assert shares == pytest.approx([0, 0.25, 0.5])
    assert shares == pytest.approx([0, 0.25, 0.5, 0.75])


@needs["torch"]
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "soap", "muon"])
def test_a_run_goes_on_inside_its_schedule(optimizer, tmp_path):
    """A budget is the schedule's length; a stopped run ends with the same bits."""
    fields = {"schedule": "cosine", "warm_up": 0.25}
    runs = [
        request(
            optimizer=optimizer,
            steps=8,
            hyperparameters=fields | {"schedule_steps": length},
        )
        for length in (None, 8, 5)
    ]
    whole, same, other = (train.perform(run) for run in runs)
    assert bits(whole) == bits(same) != bits(other)
    for run, expected in ((runs[0], whole), (runs[2], other)):
        with pytest.raises(Stopped):
            train.perform(run, Limits(checkpoints=tmp_path), stop=StopAfter(3))
        resumed = train.perform(run, Limits(checkpoints=tmp_path))
        assert resumed.resumed == 1
        assert bits(resumed) == bits(expected)
