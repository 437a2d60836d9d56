"""A problem's residuals, losses and derivatives at a network's parameters."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from optbench.implementations.protocol import Linearization, Losses, Tree
from optbench.implementations.shape_checks import check_shapes
from optbench.implementations.torch.passes.activations import ACTIVATIONS
from optbench.implementations.torch.passes.chunks import (
    Chunks,
    apply,
    join,
    mean,
    most_channels,
    split,
)
from optbench.implementations.torch.passes.collapsed import Collapsed, diffusing
from optbench.implementations.torch.passes.network import (
    Architecture,
    InputMap,
    Jets,
    Pass,
    backward,
    forward,
)
from optbench.implementations.torch.passes.parameters import Params, add, scale
from optbench.implementations.torch.passes.taylor import Taylor, constant_matrices
from optbench.problems import input_maps, jets, networks
from optbench.problems.names import UnknownName
from optbench.problems.problem import Batch, Operator, Problem, Term

MOST_PROGRAMS = (
    256  # a process may hold, of each pass: one per term, network and number of points
)


class Equation(NamedTuple):
    """A term of a problem as the passes read it, for one network."""

    operator: Operator
    network: Architecture
    weight: float
    # ∇z ↦ A ∇z of the short form, made before Inductor looks: it cannot read A's numbers
    diffuse: Callable[[Tensor], Tensor] | None
    matrices: tuple[Tensor | None, ...]  # A of every trace of the long one

    def jets(self, x: Tensor) -> Jets:
        """Make the kind of jet that the operator reads, at the points x [n, d]."""
        if self.diffuse is not None:
            return Collapsed(self.diffuse, x)
        return Taylor(self.operator.layout, x, self.matrices)


@dataclass(frozen=True)
class Objective:
    """L = Σ_k w_k/(2 n_k) Σ_n ‖r_k(x_{k,n})‖² for networks of one name.

    The seed is that of the name's random frequencies; the widths are the parameters' own.
    `compiled` has Inductor compile the passes through the network (the mode
    "torch-compiled").

    Raises:
        InvalidName: the network's name is malformed.
        UnknownName: no activation has that name.
    """

    problem: Problem
    network: str = "tanh_64"
    seed: int = 0
    compiled: bool = False

    def __post_init__(self) -> None:
        activation = networks.parse(self.network).activation
        if activation not in ACTIVATIONS:
            raise UnknownName("activation", activation, ACTIVATIONS)

    @cached_property
    def architectures(self) -> dict[tuple[torch.dtype, torch.device], Architecture]:
        """The network but for its parameters, in the types and on the devices asked for."""
        return {}

    def architecture(self, like: Tensor) -> Architecture:
        """Give the network but for its parameters, for points of an array's type."""
        key = like.dtype, like.device
        if key not in self.architectures:
            maps = input_maps.of(self.problem, self.network, self.seed)
            self.architectures[key] = Architecture(
                networks.parse(self.network).activation,
                tuple(
                    InputMap(
                        torch.as_tensor(made.matrix, dtype=like.dtype, device=like.device),
                        torch.as_tensor(made.waves, device=like.device),
                    )
                    for made in maps
                ),
            )
        return self.architectures[key]

    def equation(self, term: Term, like: Tensor) -> Equation:
        """Prepare a term for points of an array's type."""
        operator = term.operator
        diffuse = (
            None
            if operator.diffusion is None
            else diffusing(operator, like.dtype, like.device)
        )
        matrices = constant_matrices(operator, like.dtype, like.device)
        return Equation(operator, self.architecture(like), term.weight, diffuse, matrices)

    def predict(self, params: Params, x: Tensor) -> Tensor:
        """Evaluate u [n, m] at the points x [n, d]."""
        value = Taylor(jets.layout({}), x)
        return forward(self.architecture(x), params, value).outputs[-1][0]

    def residuals(self, params: Params, batch: Batch) -> dict[str, Tensor]:
        """Evaluate every term's r [n, r]."""
        evaluations = self._whole(evaluate, params, batch)
        return {name: term.residual for name, term in evaluations.items()}

    def losses(self, params: Params, batch: Batch) -> Losses:
        """Evaluate every term of the loss."""
        return self.weighted_losses(self._over_points(mean, half_squares, params, batch))

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Evaluate L, the sum of the terms."""
        return self.losses(params, batch).total

    def loss_of_each(self, many: Params, batch: Batch) -> Tensor:
        """Evaluate L [k] of k sets of parameters [k, out, in + 1] in one pass."""
        return self._of_each(lambda eager, params: eager.loss(params, batch), many)

    def residuals_of_each(self, many: Params, batch: Batch) -> dict[str, Tensor]:
        """Evaluate every term's r [k, n, r] of k sets of parameters in one pass."""

        def residuals(eager: Objective, params: Params) -> dict[str, Tensor]:
            chunks = eager._over_points(
                apply, evaluate, params, batch, lambda term: term.residual
            )
            return {name: join(parts) for name, parts in chunks.items()}

        return self._of_each(residuals, many)

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """Compute the losses and ∇L, one matrix per layer, by two passes per term."""
        terms = self._over_points(mean, differentiate, params, batch)
        losses = self.weighted_losses({name: loss for name, (loss, _) in terms.items()})
        return losses, self.weighted_sum({name: part for name, (_, part) in terms.items()})

    def hessian_product(self, params: Params, batch: Batch, directions: Params) -> Params:
        """Multiply ∇²L, the gradient's Jacobian, which is symmetric, by a direction."""
        # Inductor's programs cannot be differentiated
        eager = replace(self, compiled=False)

        def gradient(params: Params) -> Params:
            return eager.gradient(params, batch)[1]

        return torch.func.vjp(gradient, params)[1](directions)[0]

    def linearize(self, params: Params, batch: Batch) -> dict[str, Linearization]:
        """Compute every term's residual with the factors of its Jacobian."""
        return self._whole(self._fastest(linearize), params, batch)

    def linearize_chunks(self, params: Params, batch: Batch) -> dict[str, Chunks]:
        """Compute the same, one chunk of the points at a time."""
        return self._over_points(apply, linearize, params, batch)

    def mean_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Average a function of linearizations over each term's points.

        The function gives means over the points of a linearization, without the weight.
        """
        return self._over_points(mean, linearize, params, batch, function)

    def joined_over_points(
        self, function: Callable[[Linearization], Tree], params: Params, batch: Batch
    ) -> dict[str, Tree]:
        """Join, for each term, arrays [n, …] that a function of linearizations gives."""
        chunks = self._over_points(apply, linearize, params, batch, function)
        return {name: join(parts) for name, parts in chunks.items()}

    def weighted_losses(self, halves: dict[str, Tensor]) -> Losses:
        """Weigh the terms' half mean squares 1/(2n) Σ r²."""
        # not by `scale`, which cannot be batched as `loss_of_each` asks
        return Losses(
            {
                name: halves[name] if weight == 1 else weight * halves[name]
                for name, weight in self.problem.weights.items()
            }
        )

    def weighted_sum(self, parts: dict[str, Params]) -> Params:
        """Sum the terms' parts of ∇L, or other matrices, with their weights."""
        (first, weight), *others = self.problem.weights.items()
        total = scale(parts[first], weight)
        for name, weight in others:
            total = add(total, parts[name], weight)
        return total

    def _over_points(
        self,
        over: Callable,
        passes: Callable,
        params: Params,
        batch: Batch,
        function: Callable[[Tree], Tree] = lambda result: result,
    ) -> dict[str, Tree]:
        """Take what passes give of each term's chunks, and a function of it, together."""
        widest = max(len(matrix) for matrix in params)
        passes = self._fastest(passes)

        def of(equation: Equation, params: Params, *points: Tensor) -> Tree:
            most = most_channels(points[0].device, widest)
            parts = split(points, most // equation.operator.channels)
            return over(lambda part: function(passes(equation, params, *part)), parts)

        return self._whole(of, params, batch)

    def _of_each(self, function: Callable, many: Params) -> Tree:
        """Take a function of an objective and parameters of each of k sets of them."""
        # Inductor's programs know no such axis
        eager = replace(self, compiled=False)
        with warnings.catch_warnings():
            # of addcmul_, done one by one, as it rounds less than a sum and a product
            warnings.filterwarnings("ignore", "There is a performance drop")
            return torch.func.vmap(lambda params: function(eager, params))(many)

    def _fastest(self, passes: Callable) -> Callable:
        return compiled(passes) if self.compiled else passes

    def _whole(self, passes: Callable, params: Params, batch: Batch) -> dict[str, Tree]:
        """Take what passes give of each term's points."""
        check_shapes(self.problem, self.network, params, batch)
        return {
            name: passes(self.equation(term, params[0]), params, *batch[name])
            for name, term in self.problem.terms.items()
        }


@lru_cache
def compiled(passes: Callable) -> Callable:
    """Compile the passes, to one program for each equation and shape, at the first call.

    On a GPU the kernels of a program are one CUDA graph, which is launched at once.
    """
    graphs = torch.cuda.is_available()
    torch._dynamo.config.recompile_limit = MOST_PROGRAMS
    torch.compiler.config.force_disable_caches = (
        True  # what is kept on disk would hide what compiling costs
    )
    warnings.filterwarnings("ignore", "dynamo_pgo force disabled")
    program = torch.compile(
        passes,
        fullgraph=True,
        dynamic=False,
        options={"compile_threads": 1, "triton.cudagraphs": graphs},
    )
    return kept(program) if graphs else program


def kept(program: Callable) -> Callable:
    """Copy what a program of CUDA graphs gives, since its next call writes there again."""

    def call(*arguments: Tree) -> Tree:
        # what earlier calls gave is copied: the graphs may use all of their memory again
        torch.compiler.cudagraph_mark_step_begin()
        return pytree.tree_map_only(Tensor, Tensor.clone, program(*arguments))

    return call


class Evaluation(NamedTuple):
    """A term at one point of parameter space, ready to be differentiated."""

    forward_pass: Pass
    jets: Jets
    residual: Tensor  # r [n, r]
    # from a cotangent of r to that of the network's output channels
    pull: Callable[[Tensor], tuple[Tensor]]


def evaluate(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Evaluation:
    """Push the points' jets through the network and the operator."""
    kind, operator = equation.jets(x), equation.operator
    forward_pass = forward(equation.network, params, kind)

    def read(channels: Tensor) -> Tensor:
        return operator.apply(operator.jet(channels), x, y, torch.cat)

    residual, pull, *_ = torch.func.vjp(read, forward_pass.outputs[-1])
    return Evaluation(forward_pass, kind, residual, pull)


def half_squares(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Tensor:
    """Compute a term's half mean square."""
    return half_mean_square(evaluate(equation, params, x, y).residual)


def differentiate(
    equation: Equation, params: Params, x: Tensor, y: Tensor
) -> tuple[Tensor, Params]:
    """Compute a term's half mean square and its gradient, Σ_n Σ_c r_{n,c} ∂r_{n,c}/n."""
    at = evaluate(equation, params, x, y)
    cotangent = at.pull(at.residual / len(x))[0]
    cotangents = backward(
        equation.network, params, at.forward_pass, cotangent[None], at.jets
    )
    return half_mean_square(at.residual), [
        a.weigh(q[0]) for q, a in zip(cotangents, at.forward_pass.inputs, strict=True)
    ]


def linearize(equation: Equation, params: Params, x: Tensor, y: Tensor) -> Linearization:
    """Compute a term's residual, layer inputs and cotangents of each residual component."""
    at = evaluate(equation, params, x, y)
    components = torch.eye(at.residual.shape[1], dtype=x.dtype, device=x.device)
    output_cotangents = torch.stack(
        [at.pull(component.expand_as(at.residual))[0] for component in components]
    )
    return Linearization(
        at.residual,
        at.forward_pass.inputs,
        backward(equation.network, params, at.forward_pass, output_cotangents, at.jets),
    )


def half_mean_square(residual: Tensor) -> Tensor:
    """Compute 1/(2n) Σ r² over the n points; components are summed."""
    return (residual * residual).sum() / (2 * len(residual))
