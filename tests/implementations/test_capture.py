"""The passes that "torch-compiled" compiles fit into CUDA graphs: shown without a GPU."""

from functools import partial

import pytest

torch = pytest.importorskip("torch")

import capture  # noqa: E402

from optbench import problems  # noqa: E402
from optbench.implementations.torch.passes import objective as torch_objective  # noqa: E402
from optbench.problems import networks  # noqa: E402


def captured(function, *shapes):
    """Call a function of tensors on a pretended GPU as a CUDA graph would capture it."""
    tensors = [
        torch.empty(shape, dtype=torch.float64, device=capture.DEVICE) for shape in shapes
    ]
    with capture.Captured():
        return function(*tensors)


@pytest.mark.parametrize("name", problems.names())
@pytest.mark.parametrize("passes", ["half_squares", "differentiate", "linearize"])
def test_the_compiled_passes_can_be_captured_in_a_cuda_graph(name, passes):
    problem = problems.get(name)
    network = problem.networks[0]  # its activation and what its first layer sees
    objective = torch_objective.Objective(problem, network)
    like = torch.empty((), dtype=torch.float64, device=capture.DEVICE)
    matrices = networks.shapes(network, problem.inputs, problem.outputs)
    for term in problem.terms.values():
        equation = objective.equation(term, like)
        shapes = [*matrices, (5, problem.dim), (5, term.components)]

        captured(partial(called, getattr(torch_objective, passes), equation), *shapes)


def called(passes, equation, *tensors):
    *params, x, y = tensors
    return passes(equation, params, x, y)


@pytest.mark.parametrize(
    ("why", "function"),
    [
        ("read by the host", lambda x: x.sum().item()),
        ("read by the host", lambda x: x if x.sum() > 0 else -x),
        ("depends on numbers", lambda x: x[x > 0]),
        ("draws numbers", torch.rand_like),
        ("on the host", torch.linalg.eigh),
        ("on the host", torch.linalg.cholesky),
        ("on the cpu", lambda x: x.cpu()),
        ("on the cpu", lambda x: x + torch.ones(3, dtype=x.dtype).to(x.device)),
    ],
)
def test_what_cannot_be_captured_is_found(why, function):
    with pytest.raises(capture.NotCaptured, match=why):
        captured(function, (3, 3))


# PyTorch imports then what it calls deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_a_graph_gives_outlives_its_next_call():
    memory = torch.zeros(2)

    def program(number):
        return {"loss": memory.fill_(number), "name": "a text"}

    kept = torch_objective.kept(program)
    first = kept(1.0)
    kept(2.0)
    assert first["loss"].tolist() == [1.0, 1.0]
    assert first["name"] == "a text"
