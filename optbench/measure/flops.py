"""Flops by formula: a run's lower bound, and those of a step's phases.

Counted are the floating-point operations of matrix products and factorisations. Left out
are activations, the operator, the parameters' update and everything else that is
elementwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from optbench import problems
from optbench.measure.timed import Work
from optbench.problems import input_maps, networks
from optbench.problems.problem import INTERIOR, Problem, Term
from optbench.records.record import Record, Request

EVALUATED = 10  # evaluation points for each interior one, as `seeds.evaluation_points` has


@dataclass(frozen=True)
class Passes:
    """The matrix products of passes with the jets of some points through a network."""

    maps: list[tuple[int, int]]  # outputs and inputs of what comes before the first layer
    layers: list[tuple[int, int]]  # of every layer
    points: int
    channels: int  # S
    # channels that the first matrix is multiplied by: of a jet in closed form the value's
    # alone, since the others are columns of that matrix
    first: int

    def counts(self) -> list[int]:
        """Count the channels that every map and every layer is applied to."""
        others = len(self.maps) + len(self.layers) - 1
        return [self.first] + [self.channels] * others

    def forward(self) -> float:
        """Give the flops of a forward pass: its maps', and its layers' as below."""
        return self._products(self.maps) + self.weights()

    def weights(self) -> float:
        """Give the flops of one product for each layer, point and channel.

        That is 2 out in: as many as in a forward pass, in ∇L from all layers' cotangents,
        in J v, and in Jᵀ w.
        """
        return self._products(self.layers, after=len(self.maps))

    def backward(self) -> float:
        """Give the flops of ∇L's way back.

        They are those of its cotangents, which are not needed below the first layer, and of
        the weights' gradient.
        """
        _, *above = self.layers
        return self._products(above, after=len(self.maps) + 1) + self.weights()

    def factors(self, components: int) -> float:
        """Give the flops of full Kronecker factors: 2 h² for each row of h numbers."""
        inputs = [(columns, columns) for _, columns in self.layers]
        outputs = sum(2.0 * rows**2 for rows, _ in self.layers)
        cotangents = self.points * self.channels * components * outputs
        return self._products(inputs, after=len(self.maps)) + cotangents

    def _products(self, matrices: list[tuple[int, int]], after: int = 0) -> float:
        """Give 2 n s (rows · columns) of these, which stand after so many others."""
        counts = self.counts()[after : after + len(matrices)]
        return sum(
            2.0 * self.points * channels * rows * columns
            for (rows, columns), channels in zip(matrices, counts, strict=True)
        )


def run(record: Record) -> float:
    """Give the flops of a run's steps, at least."""
    return record.steps * step(record.request)


def step(request: Request) -> float:
    """Give the flops of one step, at least: those of the loss's gradient on one batch.

    Every optimizer needs it in every step; its way back is at least one more product for
    every layer. Curvature, line searches and inner iterations are left out.
    """
    passes = _terms(problems.get(request.problem), request.network, request.points)
    return sum(term.forward() + term.weights() for term in passes.values())


def row(request: Request) -> float:
    """Give the flops of a row of the history: the losses, and u where errors are taken."""
    problem = problems.get(request.problem)
    maps, layers = _network(problem, request.network)
    points = EVALUATED * problem.points[INTERIOR]
    evaluation = Passes(maps, layers, points, channels=1, first=1)
    terms = _terms(problem, request.network, request.points)
    return sum(term.forward() for term in terms.values()) + evaluation.forward()


def phases(
    work: Work, evaluations: int, products: int = 0, rank: int = 0, interval: int = 1
) -> dict[str, float]:
    """Give the flops of a step's phases.

    `evaluations` are those of the loss in its line search, `products` those G v, each a
    product with J and one with its transpose; those with the Hessian have no formula. A
    sketch of this rank p, made once in an interval, has p such products, and costs D p² (4
    + 2 + 1 + 6) + 20 p³ besides: an orthogonal factor, a product, a triangular solve, the
    singular vectors. A pair of Kronecker factors costs n³ (1/3 + 2 + 9 + 1): Cholesky, two
    triangular solves, the eigenvectors, one solve more.
    """
    problem = problems.get(work.problem)
    terms = _terms(problem, work.network, {**problem.points, **work.points})
    forward = sum(term.forward() for term in terms.values())
    counted = {
        "forward": forward,
        "backward": sum(term.backward() for term in terms.values()),
        "line search": evaluations * forward,
    }
    if work.hyperparameters.get("curvature") != "hessian":
        product = 2 * sum(term.weights() for term in terms.values())
        if products:
            counted["products"] = products * product
        if rank:
            D = networks.parameter_count(work.network, problem.inputs, problem.outputs)
            p = min(rank, D)
            counted["sketch"] = (p * product + 13.0 * D * p**2 + 20.0 * p**3) / interval
    if work.optimizer in ("kfac", "kfac_star"):
        counted["factors"] = sum(
            term.factors(problem.terms[name].components) for name, term in terms.items()
        )
        shapes = networks.shapes(work.network, problem.inputs, problem.outputs)
        counted["inverses"] = sum(
            (37 / 3) * float(out**3 + columns**3) for out, columns in shapes
        )
    return counted


def _terms(problem: Problem, network: str, points: Mapping[str, int]) -> dict[str, Passes]:
    """Describe the passes of every term."""
    maps, layers = _network(problem, network)

    def passes(term: Term, points: int) -> Passes:
        channels = term.operator.channels
        closed = term.operator.diffusion is not None
        return Passes(maps, layers, points, channels, first=1 if closed else channels)

    return {name: passes(term, points[name]) for name, term in problem.terms.items()}


def _network(
    problem: Problem, network: str
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Give the outputs and inputs of every map and every layer; no seed changes them."""
    maps = [made.matrix.shape for made in input_maps.of(problem, network, seed=0)]
    layers = networks.shapes(network, problem.inputs, problem.outputs)
    return _without_bias(maps), _without_bias(layers)


def _without_bias(shapes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(rows, columns - 1) for rows, columns in shapes]
