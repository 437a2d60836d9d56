"""Launches: programs whose number is known by hand, in each framework."""

import shutil

import pytest
from small import frameworks, needs

from optbench import implementations, problems
from optbench.measure import launches
from optbench.measure.launches import Launches
from optbench.measure.timed import Timed, Work

SINE = problems.get("poisson_sine_2d")
FEW = {"interior": 5, "boundary": 4}


PROGRAM = """HloModule jit_step, is_scheduled=true, entry_computation_layout={(f64[3]{0})}

%fused (param_0: f64[3]) -> f64[3] {
  %param_0 = f64[3]{0} parameter(0)
  %sine = f64[3]{0} sine(%param_0), metadata={op_name="jit(step)/sin = call(x)"}
  ROOT %negate = f64[3]{0} negate(%sine)
}

%body (carried: (s64[], f64[3])) -> (s64[], f64[3]) {
  %carried = (s64[], f64[3]{0}) parameter(0)
  %number = s64[] get-tuple-element(%carried), index=0
  %x = f64[3]{0} get-tuple-element(%carried), index=1
  %next = s64[] add(%number, %number)
  %moved = f64[3]{0} fusion(%x), kind=kLoop, calls=%fused
  ROOT %both = (s64[], f64[3]{0}) tuple(%next, %moved)
}

%condition (carried.1: (s64[], f64[3])) -> pred[] {
  %carried.1 = (s64[], f64[3]{0}) parameter(0)
  %number.1 = s64[] get-tuple-element(%carried.1), index=0
  ROOT %less = pred[] compare(%number.1, %number.1), direction=LT
}

%cheap (given: f64[3]) -> f64[3] {
  ROOT %given = f64[3]{0} parameter(0)
}

%dear (given.1: f64[3]) -> f64[3] {
  %given.1 = f64[3]{0} parameter(0)
  %sorted = f64[3]{0} sort(%given.1), dimensions={0}, to_apply=%condition
  %begun = (f64[3]{0}, f64[3]{0}, u32[]) copy-start(%sorted)
  ROOT %ended = f64[3]{0} copy-done(%begun)
}

ENTRY %main (start: f64[3]) -> f64[3] {
  %start = f64[3]{0} parameter(0)
  %zero = s64[] constant(0)
  %solved = (f64[3]{0}, /*index=1*/s32[]) custom-call(%start), custom_call_target="lapack"
  %column = f64[3,1]{1,0} bitcast(%start)
LINES  ROOT %left = f64[3]{0} call(%start), to_apply=%cheap
}
"""
LOOP = "  %w = (s64[], f64[3]{0}) while(%carried.2), condition=%condition, body=%body"
KNOWN = ', backend_config={"known_induction_variable":{},"known_trip_count":{"n":"7"}}'
EITHER = "  %c = f64[3]{0} conditional(%zero, %start, %start), "
NAMED = EITHER + "branch_computations={%cheap, %dear}"
TWO = EITHER + "true_computation=%dear, false_computation=%cheap"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", Launches(1)),
        (
            "  %p = f64[3,3]{1,0} dot(%column, %start), lhs_contracting_dims={1}",
            Launches(2),
        ),
        ("  %p = f64[3]{0} call(%start), to_apply=%dear", Launches(1 + 2)),
        (LOOP + KNOWN, Launches(1 + 7 * 2)),
        (LOOP, Launches(1 + 1 + 2, open_loops=1)),
        (NAMED, Launches(1 + 2)),
        (TWO, Launches(1 + 2)),
    ],
)
def test_the_launches_of_a_program_are_those_counted_by_hand(line, expected):
    text = PROGRAM.replace("LINES", line and f"{line}\n")
    assert launches.in_program(text) == expected
    # a later version of XLA writes the names without a sign
    assert launches.in_program(text.replace("%", "")) == expected


@needs["jax"]
def test_a_loop_in_jax_has_its_bodys_launches_as_often_as_it_goes_round():
    import jax

    def of(function, *arguments):
        return launches.count("jax", jax.jit(function), *arguments)

    x = jax.numpy.eye(4)

    def repeated(times):
        return of(lambda x: jax.lax.fori_loop(0, times, lambda _, x: x @ x, x), x)

    seven, eight, nine = (repeated(times) for times in (7, 8, 9))
    assert 1 <= eight.number - seven.number == nine.number - eight.number
    assert seven.number >= 7
    assert seven.open_loops == 0
    searched = of(
        lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, x), x
    )
    assert searched.open_loops == 1
    assert 2 <= searched.number < seven.number
    dear = lambda x: x @ x @ x @ x  # noqa: E731
    either = of(lambda x: jax.lax.cond(x[0, 0] < 9, lambda x: x @ x, dear, x), x)
    assert either.number >= of(dear, x).number > of(lambda x: x @ x, x).number


@needs["torch"]
def test_operations_in_torch_are_counted_and_views_are_not():
    import torch

    x = torch.eye(4)

    def views(x):
        flat = x.detach().T.reshape(-1)[1:].unsqueeze(0).expand(3, -1)
        return flat.view(3, 15).split(1), torch.empty(3), torch.empty_like(x), x.tolist()

    def loop(x):
        for _ in range(7):
            x = x.sin()
        return x

    def either(x):
        return x.exp().sin() if x[0, 0] > 9 else x.cos()

    def of(function):
        return launches.count("torch", function, x)

    assert of(lambda x: views(x)) == Launches(1)  # `reshape` copies the transpose
    assert of(lambda x: torch.zeros(2) + 1) == Launches(2)
    assert of(loop) == Launches(7)
    assert of(lambda x: loop(x).neg_()) == Launches(8)
    assert of(either) == Launches(2)  # a comparison, a cosine
    assert of(lambda x: torch.einsum("ij,kj->ik", x, x)) == Launches(1)


@pytest.mark.skipif(
    "torch" not in implementations.installed() or shutil.which("c++") is None,
    reason="Inductor needs a C++ compiler",
)
@pytest.mark.medium
@pytest.mark.filterwarnings("ignore")  # Inductor uses what PyTorch calls deprecated
def test_what_inductor_generates_is_counted_with_what_it_calls():
    import torch

    def passes(x, w):  # product, kernel, product, kernel
        return torch.tanh(torch.tanh(x @ w).T @ w + 1).sum(0) * 2

    options = {"compile_threads": 1}
    compiled = torch.compile(passes, fullgraph=True, dynamic=False, options=options)
    other = torch.compile(lambda x: x.sin().cos(), fullgraph=True, options=options)
    x = torch.eye(8)

    def of(function):
        # as our own programs are made
        with torch.compiler.config.patch(force_disable_caches=True):
            return launches.count("torch-compiled", torch.no_grad()(function), x)

    assert of(lambda x: compiled(x, x)) == Launches(4)
    assert of(lambda x: compiled(x, x) + compiled(x, x).neg()) == Launches(10)
    assert of(lambda x: (compiled(x, x), other(x))) == Launches(5)
    assert of(lambda x: compiled(x, x)) == Launches(4)  # all is as it was


@frameworks
def test_one_launch_more_in_a_step_is_seen(framework):
    timed = Timed(Work(framework, "sgd", SINE.name, "tanh_3", points=FEW))
    before = timed.launches()
    assert timed.launches() == before
    loss, gradient = map(
        timed.launches_of, (timed.objective.loss, timed.objective.gradient)
    )
    assert 0 < loss.number < gradient.number < before.number

    def longer(params, state, batch):
        params, state, losses = timed.optimizer.step(timed.objective, params, state, batch)
        return [params[0] @ params[0].T @ params[0], *params[1:]], state, losses

    timed.step = timed.framework.backend.compile(longer)
    assert timed.launches().number >= before.number + 2
