"""The mode "torch-compiled": the same numbers from programs that Inductor writes."""

import shutil
from functools import partial

import posed
import pytest
from small import relative, small

from optbench import implementations, problems
from optbench.campaign import campaign, expansion
from optbench.implementations import FrameworkMissing

# a diffusion that is not the identity, and a boundary term of values alone
HEAT = problems.get("heat_sine_1d")
needs_compiler = pytest.mark.skipif(
    "torch" not in implementations.installed() or shutil.which("c++") is None,
    reason="Inductor needs a C++ compiler",
)


@needs_compiler
@pytest.mark.medium
@pytest.mark.filterwarnings("ignore")  # Inductor uses what PyTorch calls deprecated
@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(HEAT, marks=pytest.mark.slow),
        posed.kdv(),
        pytest.param(posed.kovasznay(), marks=pytest.mark.slow),
    ],
    ids=lambda problem: problem.name,
)
# the gradient alone; the linearization and the line search's loss
@pytest.mark.parametrize("optimizer", ["sgd", pytest.param("kfac", marks=pytest.mark.slow)])
def test_compiled_passes_give_the_eager_numbers(problem, optimizer):
    eager, compiled = (small(name, problem) for name in ("torch", "torch-compiled"))
    one, other = (one_step(case, optimizer) for case in (eager, compiled))
    assert all(relative(a, b) <= 1e-13 for a, b in zip(one, other, strict=True))
    assert relative(one, eager.start) > 1e-8  # it moved


def one_step(case, optimizer):
    made = case.framework.OPTIMIZERS[optimizer]()
    step = case.framework.backend.compile(partial(made.step, case.objective))
    return case.numpy(
        step(case.params, made.init(case.objective, case.params), case.batch)[0]
    )


@needs_compiler
def test_the_programs_are_compiled_ones(monkeypatch):
    case = small("torch-compiled", HEAT)
    compiled_names = []
    monkeypatch.setattr(
        case.part("passes.objective"),
        "compiled",
        lambda passes: compiled_names.append(passes.__name__) or passes,
    )
    one_step(case, "sgd"), one_step(case, "kfac"), one_step(case, "engd_woodbury")
    assert set(compiled_names) == {"differentiate", "linearize", "half_squares"}


def test_a_campaign_may_name_the_mode():
    tables = {
        "version": "1.0",
        "description": "",
        "seeds": [0],
        "steps": 1,
        "frameworks": ["torch-compiled"],
        "case": [
            {
                "problem": HEAT.name,
                "network": "tanh_5",
                "optimizers": {"sgd": {"learning_rate": 0.1}},
            }
        ],
    }
    (request,) = expansion.requests(campaign.parse(tables, "made up"), "made_up", "made up")
    assert (request.framework, request.mode) == ("torch-compiled", "inductor")


def test_a_mode_is_missing_with_its_framework(monkeypatch):
    monkeypatch.setattr(
        implementations, "find_spec", lambda name: None if name == "torch" else object()
    )
    assert implementations.installed() == ("jax",)
    with pytest.raises(
        FrameworkMissing,
        match=r"torch is not installed: pip install 'pinn-optbench\[torch\]'",
    ):
        implementations.load("torch-compiled")
