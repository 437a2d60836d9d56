"""What a run computes with: float64, float32, TF32; what of float32 is not in float32."""

import numpy as np
import oracle_steps
import pytest
from campaign_files import GOOD, read
from fakes import Descent, Fake, request
from small import frameworks, relative, small, vector

from optbench import implementations, problems
from optbench.campaign import campaign, expansion, single_run
from optbench.campaign.errors import CampaignError
from optbench.cli.app import main
from optbench.implementations import devices
from optbench.records import provenance
from optbench.records.frames import from_records
from optbench.records.record import Stage
from optbench.report import summary
from optbench.training import run as train

SINE = problems.get("poisson_sine_2d")


class Exact(Descent):
    """One that makes no sense in lower precision."""

    name, version = "exact", 1
    float64_only = True


STEPS = {
    "engd": (oracle_steps.engd_steps, {}, {"kind": "engd"}),
    "engd_woodbury": (oracle_steps.engd_steps, {}, {"kind": "engd"}),
    "engd_per_layer": (oracle_steps.engd_steps, {}, {"kind": "engd_per_layer"}),
    "kfac": (oracle_steps.kfac_steps, {"decay": 0.0}, {}),
}


@frameworks
@pytest.mark.parametrize("optimizer", STEPS)
def test_a_direction_in_float32_is_that_of_dense_float64(framework, optimizer):
    """The damping is far below what float32 resolves of the curvature.

    All in float32, ENGD's is off by all of it.
    """
    case = small(framework, SINE, "tanh_8", interior=60, boundary=20, dtype=np.float32)
    start = [matrix.astype(float) for matrix in case.start]
    batch = {
        name: tuple(array.astype(float) for array in points)
        for name, points in case.numpy(case.batch).items()
    }
    oracle, fields, kind = STEPS[optimizer]
    given = {"damping": 1e-7, "learning_rate": 1.0, **fields}
    (expected,) = oracle(SINE, start, batch, 1, **given, **kind)
    _, state, step = case.prepare(optimizer, **given)
    params, *_ = step(case.params, state, case.batch)
    assert (
        relative(
            vector(case.numpy(params)) - vector(start), vector(expected) - vector(start)
        )
        <= 3e-4
    )


def test_what_a_campaign_asks_for(tmp_path):
    for asked, dtype, tf32 in (
        ("float64", "float64", False),
        ("float32", "float32", False),
        ("tf32", "float32", True),
    ):
        case = GOOD.replace('"tanh_64"', f'"tanh_64"\nprecision = "{asked}"')
        whole = f'precision = "{asked}"\n' + GOOD
        for text in (case, whole):
            (run,) = read(text, tmp_path)
            assert (run.dtype, run.tf32, run.precision) == (dtype, tf32, asked)
    with pytest.raises(
        CampaignError,
        match=r"mine\.toml: precision = \"half\": must be 'float64', 'float32' or 'tf32'",
    ):
        read('precision = "half"\n' + GOOD, tmp_path)


def test_a_new_precision_makes_a_new_identity_and_the_old_ones_are_what_they_were():
    runs = [request(), request(dtype="float32"), request(dtype="float32", tf32=True)]
    # the first two computed before there was TF32
    assert [run.identity[:8] for run in runs[:2]] == ["dd280706", "eecdb772"]
    assert len({run.identity for run in runs}) == 3


def test_no_table_and_no_case_has_two_precisions():
    runs = [request(), request(dtype="float32"), request(dtype="float32", tf32=True)]
    frames = from_records([Fake().perform(run) for run in runs])
    text = summary.render(summary.summarise(frames), "text")
    headers = [line for line in text.splitlines() if line.startswith("poisson_sine_2d")]
    assert [header.rpartition(", ")[2] for header in headers] == [
        "float64",
        "float32",
        "tf32",
    ]
    assert [header.partition(" (")[0] for header in headers] == 3 * [
        "poisson_sine_2d, tanh_4"
    ]
    assert list(summary.summarise(frames)["precision"]) == ["float64", "float32", "tf32"]


def test_a_run_sets_the_flag_and_the_next_one_sets_it_back():
    fake = Fake()
    for tf32 in (True, False):
        fake.perform(request(dtype="float32", tf32=tf32))
        assert fake.tf32 is tf32


FLAGS = {
    "torch": ("torch_matmul_tf32", True, False),
    "jax": ("jax_default_matmul_precision", "tensorfloat32", "highest"),
}


@frameworks
def test_the_flag_is_the_frameworks_and_in_the_provenance(framework):
    backend, (name, on, off) = implementations.load(framework).backend, FLAGS[framework]
    try:
        assert provenance.collect().precision[name] == off
        backend.allow_tf32(True)
        assert provenance.collect().precision[name] == on
    finally:
        backend.allow_tf32(False)
    assert provenance.collect().precision[name] == off


@frameworks
def test_tf32_on_a_cpu_is_a_failed_run_that_says_so(framework):
    if implementations.load(framework).backend.device_name() != "cpu":
        pytest.skip("there is a GPU")
    mode = {"torch": "eager", "jax": "jit"}[framework]
    record = train.perform(
        request(dtype="float32", tf32=True, framework=framework, mode=mode)
    )
    assert (record.status, record.error) == (
        "failed",
        "precision tf32 needs an NVIDIA GPU, and there is none",
    )


@frameworks
def test_tf32_rounds_the_factors_of_float32_products_on_a_gpu(framework):
    """To 10 bits."""
    backend = implementations.load(framework).backend
    if backend.device_name() == "cpu":
        pytest.skip("there is no GPU")
    factors = np.random.default_rng(0).normal(size=(2, 512, 512)).astype("float32")
    exact, errors = np.matmul(*factors.astype("float64")), {}
    for tf32 in (True, False):
        backend.allow_tf32(tf32)
        product = backend.compile(lambda left, right: left @ right)(
            *map(backend.from_numpy, factors)
        )
        product = backend.to_numpy(product)
        errors[tf32] = np.linalg.norm(product - exact) / np.linalg.norm(exact)
    assert errors[False] < 1e-6
    assert 1e-4 < errors[True] < 1e-3


def test_a_campaign_that_asks_this_machine_for_tf32_is_refused_before_its_first_run(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(devices, "ask", lambda framework: devices.Answer("cpu", None))
    file = tmp_path / "mine.toml"
    file.write_text(GOOD.replace('"tanh_64"', '"tanh_64"\nprecision = "tf32"'))
    monkeypatch.chdir(tmp_path)
    for command in (["run"], ["tune"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "mine.toml"])
        said = (
            'optbench: mine.toml: case[0].precision = "tf32": '
            "needs an NVIDIA GPU, and there is none\n"
        )
        assert (ended.value.code, capsys.readouterr().err) == (2, said)
    expansion.check_precision(campaign.read(file), "mine.toml", "NVIDIA H100")


def test_a_precision_from_the_command_line():
    plan = single_run.campaign(
        problem="heat_sine_1d",
        network="tanh_4",
        optimizer="adam",
        framework="jax",
        settings=[],
        steps=9,
        precision="float32",
    )
    assert plan.case[0].precision == "float32"


REFUSED = "must be 'float64': exact runs in float64 alone"
STAGES = '[{ name = "sgd", share = 0.5 }, { name = "exact" }]'


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("table", ["exact = {}", 'mine = { name = "exact" }', STAGES])
@pytest.mark.parametrize("where", ["precision", "case[0].precision"])
def test_an_optimizer_for_float64_alone_is_refused_in_one_line(
    precision, table, where, tmp_path, monkeypatch
):
    monkeypatch.setitem(implementations.load_any().OPTIMIZERS, "exact", Exact)
    table = f"mine = {table}" if table == STAGES else table
    text = GOOD.replace("kfac = { damping = 1e-3 }", f"sgd = {{}}\n{table}")
    asked = f'precision = "{precision}"\n'
    lower = (
        asked + text
        if where == "precision"
        else text.replace("[case.optimizers]", asked + "[case.optimizers]")
    )
    with pytest.raises(CampaignError) as caught:
        read(lower, tmp_path)
    assert str(caught.value) == f'mine.toml: {where} = "{precision}": {REFUSED}'
    assert [run.dtype for run in read(text, tmp_path)] == 2 * ["float64"]


@pytest.mark.parametrize("command", ["run", "tune"])
def test_a_command_refuses_it_before_anything_runs(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(implementations.load_any().OPTIMIZERS, "exact", Exact)
    monkeypatch.setattr(devices, "ask", lambda framework: devices.Answer("cpu", None))
    monkeypatch.chdir(tmp_path)
    lower = 'precision = "float32"\n' + GOOD.replace(
        "kfac = { damping = 1e-3 }", "exact = {}"
    )
    (tmp_path / "mine.toml").write_text(lower)
    with pytest.raises(SystemExit) as ended:
        main([command, "mine.toml"])
    said = f'optbench: mine.toml: precision = "float32": {REFUSED}\n'
    assert (ended.value.code, capsys.readouterr().err) == (2, said)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


def test_one_run_of_it_is_refused_as_well(monkeypatch):
    monkeypatch.setitem(implementations.load_any().OPTIMIZERS, "exact", Exact)
    plan = single_run.campaign(
        problem="heat_sine_1d",
        network="tanh_4",
        optimizer="exact",
        framework="jax",
        settings=[],
        steps=9,
        precision="float32",
    )
    with pytest.raises(CampaignError, match=f'precision = "float32": {REFUSED}'):
        expansion.requests(plan, "single", single_run.SOURCE)


def test_a_process_that_is_asked_for_it_fails_in_one_line():
    fake = Fake()
    fake.OPTIMIZERS["exact"] = Exact
    record = fake.perform(request(optimizer="exact", dtype="float32"))
    said = "precision float32: exact runs in float64 alone"
    assert (record.status, record.error, record.steps) == ("failed", said, 0)
    stage = {"optimizer_version": 1, "hyperparameters": {}}
    parts = (
        Stage(optimizer="sgd", share=0.5, **stage),
        Stage(optimizer="exact", **stage),
    )
    record = fake.perform(
        request(hyperparameters={}, stages=parts, dtype="float32", tf32=True)
    )
    assert record.error == "stage 2, exact: precision tf32: exact runs in float64 alone"
    assert fake.perform(request(optimizer="exact")).status == "finished"
