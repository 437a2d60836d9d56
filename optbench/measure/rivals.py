"""Others' implementations of our methods, and ours, on one objective that counts.

Each is made once for a ground: a problem's objective with a start and points. What is made
is a walk from the start, which asks before or after every step of its own whether that is
enough. Whoever walks, the objective counts: a gradient or a Jacobian is counted where it is
computed, with the loss there. Evaluations of the loss alone are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from optbench import implementations, problems
from optbench.measure import commits
from optbench.problems import networks

if TYPE_CHECKING:
    from optbench.implementations.protocol import Array, Losses, Objective, Params
    from optbench.problems.problem import Batch

Walk = Callable[[Callable[[], bool]], None]  # of a question: is it enough?
Walker = Callable[..., Walk]  # of a ground and the hyperparameters

# SciPy's least_squares takes no tolerance below the rounding of float64
TIGHT = 2.3e-16


class Ground:
    """An objective with the start and the points that a seed gives.

    Where it is counted, `told` has the loss at every gradient and Jacobian so far.
    """

    def __init__(
        self,
        framework: str,
        problem: str,
        network: str,
        points: Mapping[str, int],
        counted: bool,
    ) -> None:
        self.framework = implementations.load(framework)
        self.backend = self.framework.backend
        self.problem, self.network = problems.get(problem), network
        self.points = {**commits.points(self.problem), **points}
        self.told: list[float] = []
        objective = commits.objective(self.framework, self.problem, network)
        self.objective = (
            Counted(objective, TELLS[framework], self.told) if counted else objective
        )
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Take the start and the points of a seed, with nothing counted."""
        self.start: list[np.ndarray] = networks.initial_parameters(
            self.network, commits.inputs(self.problem), self.problem.outputs, seed
        )
        batch = commits.batch(self.problem, seed, self.points)
        self.params = self.backend.from_numpy_tree(self.start)
        self.batch = self.backend.from_numpy_tree(batch)
        self.told.clear()

    def differentiated(self) -> Callable[[Params], tuple[Losses, Params]]:
        """Compile the losses and the gradient, of the parameters alone."""
        gradient = self.backend.compile(self.objective.gradient)
        return lambda params: gradient(params, self.batch)

    def matrices(self, vector: np.ndarray) -> Params:
        """Take parameters out of a vector [D]."""
        ends = np.cumsum([matrix.size for matrix in self.start])[:-1]
        parts = zip(np.split(vector, ends), self.start, strict=True)
        return self.backend.from_numpy_tree([part.reshape(of.shape) for part, of in parts])

    def vector(self, params: Params) -> np.ndarray:
        """Put all parameters side by side [D]."""
        return np.concatenate(
            [matrix.ravel() for matrix in self.backend.to_numpy_tree(params)]
        )


class Counted:
    """An objective that tells the loss wherever a gradient or a Jacobian is computed."""

    def __init__(
        self,
        objective: Objective,
        tell: Callable[[list[float], Array], None],
        told: list[float],
    ) -> None:
        self.objective, self.tell = objective, partial(tell, told)

    def __getattr__(self, name: str) -> Any:
        """Do all else as the objective does."""
        return getattr(self.objective, name)

    def gradient(self, params: Params, batch: Batch) -> tuple[Losses, Params]:
        """Compute losses and gradient, and tell."""
        losses, gradient = self.objective.gradient(params, batch)
        self.tell(losses.total)
        return losses, gradient

    def linearize(self, params: Params, batch: Batch) -> Any:
        """Linearize, and tell."""
        self.tell(self.objective.loss(params, batch))
        return self.objective.linearize(params, batch)

    def linearize_chunks(self, params: Params, batch: Batch) -> Any:
        """Linearize in chunks, and tell."""
        self.tell(self.objective.loss(params, batch))
        return self.objective.linearize_chunks(params, batch)

    def joined_over_points(self, function: Any, params: Params, batch: Batch) -> Any:
        """Make rows of the Jacobian, and tell."""
        self.tell(self.objective.loss(params, batch))
        return self.objective.joined_over_points(function, params, batch)


def _tell_in_torch(told: list[float], loss: Array) -> None:
    told.append(float(loss))


def _tell_in_jax(told: list[float], loss: Array) -> None:
    """Tell from within a compiled step, in the order of its evaluations."""
    from jax.experimental import io_callback

    io_callback(lambda loss: told.append(float(loss)), None, loss, ordered=True)


TELLS = {"torch": _tell_in_torch, "jax": _tell_in_jax}


def ours(ground: Ground, optimizer: str, hyperparameters: Mapping[str, Any]) -> Walk:
    """Make the walk of an optimizer of ours; it ends where that says it has stalled."""
    made = commits.optimizer(ground.framework, optimizer, hyperparameters)
    stalled = commits.stalled()
    step = ground.backend.compile(partial(made.step, ground.objective))

    def walk(enough: Callable[[], bool]) -> None:
        params = ground.params
        state = made.init(ground.objective, params)
        while not enough():
            params, state, _ = step(params, state, ground.batch)
            try:
                made.check(state)
            except stalled:
                break
        ground.backend.wait(params)

    return walk


def torch_sgd(ground: Ground, learning_rate: float, momentum: float) -> Walk:
    """torch.optim.SGD."""
    import torch

    return _in_torch(ground, partial(torch.optim.SGD, lr=learning_rate, momentum=momentum))


def torch_adam(ground: Ground, learning_rate: float) -> Walk:
    """torch.optim.Adam."""
    import torch

    return _in_torch(ground, partial(torch.optim.Adam, lr=learning_rate))


def torch_lbfgs(ground: Ground, history_size: int) -> Walk:
    """torch.optim.LBFGS as well as it can be set: strong Wolfe, without tolerances.

    Its steps are long, because each evaluates once more where the last one ended.
    """
    import torch

    return _in_torch(
        ground,
        partial(
            torch.optim.LBFGS,
            history_size=history_size,
            max_iter=100,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        ),
    )


def torch_lbfgs_by_default(ground: Ground, history_size: int) -> Walk:
    """torch.optim.LBFGS as people use it: strong Wolfe, all else by default."""
    import torch

    return _in_torch(
        ground,
        partial(
            torch.optim.LBFGS, history_size=history_size, line_search_fn="strong_wolfe"
        ),
    )


def torch_muon(ground: Ground, learning_rate: float, adam_learning_rate: float) -> Walk:
    """torch.optim.Muon for the weights between the outer layers, Adam for the rest."""
    import torch

    class Both:
        def __init__(self, leaves: list[torch.Tensor]) -> None:
            between, rest = leaves[2:-2:2], [*leaves[:2], *leaves[3:-2:2], *leaves[-2:]]
            self.parts = (
                torch.optim.Muon(between, lr=learning_rate, weight_decay=0.0),
                torch.optim.Adam(rest, lr=adam_learning_rate),
            )

        def step(self, closure: Callable[[], Any]) -> None:
            closure()
            for part in self.parts:
                part.step()

    def apart(params: Params) -> Params:
        halves = ((matrix[:, :-1], matrix[:, -1]) for matrix in params)
        return [part.contiguous() for pair in halves for part in pair]

    def joined(leaves: Params) -> Params:
        pairs = zip(leaves[::2], leaves[1::2], strict=True)
        return [torch.cat([W, b[:, None]], 1) for W, b in pairs]

    return _in_torch(ground, Both, apart, joined)


def pytorch_optimizer_soap(ground: Ground, learning_rate: float) -> Walk:
    """pytorch_optimizer.SOAP, without weight decay, which ours does not have."""
    from pytorch_optimizer import SOAP

    return _in_torch(ground, partial(SOAP, lr=learning_rate, weight_decay=0.0))


def _in_torch(
    ground: Ground,
    optimizer: Callable[[list[Any]], Any],
    apart: Callable[[Params], Params] = list,
    joined: Callable[[Params], Params] = list,
) -> Walk:
    """Walk with an optimizer in torch.optim's manner, whose leaves may be other parts."""
    gradient = ground.differentiated()

    def walk(enough: Callable[[], bool]) -> None:
        leaves = [leaf.clone() for leaf in apart(ground.params)]
        made = optimizer(leaves)

        def closure() -> Any:
            losses, entries = gradient(joined(leaves))
            for leaf, part in zip(leaves, apart(entries), strict=True):
                leaf.grad = part
            return losses.total

        while not enough():
            made.step(closure)

    return walk


def optax_sgd(ground: Ground, learning_rate: float, momentum: float) -> Walk:
    """optax.sgd."""
    import optax

    return _in_optax(ground, optax.sgd(learning_rate, momentum=momentum))


def optax_adam(ground: Ground, learning_rate: float) -> Walk:
    """optax.adam."""
    import optax

    return _in_optax(ground, optax.adam(learning_rate))


def optax_muon(ground: Ground, learning_rate: float, adam_learning_rate: float) -> Walk:
    """optax.contrib.muon for the weights between the outer layers, optax.adam for the rest.

    Its own Adam is another method: it has Nesterov's momentum where Muon has.
    """
    import jax.numpy as jnp
    import optax

    layers = range(len(ground.start))
    weights = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
    muon = optax.contrib.muon(
        learning_rate, muon_weight_dimension_numbers=lambda _: [weights for _ in layers]
    )
    between = layers[1:-1]
    labels = [("muon" if layer in between else "adam", "adam") for layer in layers]
    method = optax.multi_transform(
        {"muon": muon, "adam": optax.adam(adam_learning_rate)}, labels
    )

    def apart(params: Params) -> list[tuple[Array, Array]]:
        return [(matrix[:, :-1], matrix[:, -1]) for matrix in params]

    def joined(pairs: list[tuple[Array, Array]]) -> Params:
        return [jnp.concatenate([W, b[:, None]], 1) for W, b in pairs]

    return _in_optax(ground, method, apart, joined)


def _in_optax(
    ground: Ground,
    method: Any,
    apart: Callable[[Params], Any] = list,
    joined: Callable[[Any], Params] = list,
) -> Walk:
    """Walk with a transformation of gradients, its step compiled as ours are."""
    import optax

    @ground.backend.compile
    def step(params: Any, state: Any, batch: Batch) -> tuple[Any, Any]:
        _, gradient = ground.objective.gradient(joined(params), batch)
        updates, state = method.update(apart(gradient), state, params)
        return optax.apply_updates(params, updates), state

    def walk(enough: Callable[[], bool]) -> None:
        params = apart(ground.params)
        state = method.init(params)
        while not enough():
            params, state = step(params, state, ground.batch)
        ground.backend.wait(params)

    return walk


def optax_lbfgs(ground: Ground, history_size: int) -> Walk:
    """optax.lbfgs with its own search, whose last gradient the next step begins with."""
    import jax
    import optax

    method = optax.lbfgs(memory_size=history_size)

    @ground.backend.compile
    def step(params: Any, state: Any, batch: Batch) -> tuple[Any, Any]:
        @jax.custom_vjp
        def loss(params: Params) -> Array:
            return ground.objective.loss(params, batch)

        def forwards(params: Params) -> tuple[Array, Params]:
            losses, gradient = ground.objective.gradient(params, batch)
            return losses.total, gradient

        def backwards(gradient: Params, cotangent: Array) -> tuple[Params]:
            return ([cotangent * matrix for matrix in gradient],)

        loss.defvjp(forwards, backwards)
        value, gradient = optax.value_and_grad_from_state(loss)(params, state=state)
        updates, state = method.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        return optax.apply_updates(params, updates), state

    def walk(enough: Callable[[], bool]) -> None:
        params, state = ground.params, method.init(ground.params)
        while not enough():
            params, state = step(params, state, ground.batch)
        ground.backend.wait(params)

    return walk


def scipy_lbfgsb(ground: Ground, history_size: int) -> Walk:
    """SciPy's L-BFGS-B, without tolerances."""
    options = {"maxcor": history_size, "ftol": 0, "gtol": 0, "maxfun": 10**9}
    return _minimize(ground, "L-BFGS-B", options)


def scipy_bfgs(ground: Ground) -> Walk:
    """SciPy's BFGS, without tolerances."""
    return _minimize(ground, "BFGS", {"gtol": 0})


def _minimize(ground: Ground, method: str, options: dict[str, Any]) -> Walk:
    from scipy.optimize import minimize

    gradient = ground.differentiated()

    def value(vector: np.ndarray) -> tuple[float, np.ndarray]:
        losses, matrices = gradient(ground.matrices(vector))
        return float(losses.total), ground.vector(matrices)

    def walk(enough: Callable[[], bool]) -> None:
        def callback(intermediate_result: Any) -> None:
            if enough():
                raise StopIteration

        minimize(
            value,
            ground.vector(ground.params),
            jac=True,
            method=method,
            callback=callback,
            options={"maxiter": 10**9, **options},
        )

    return walk


def scipy_lm(ground: Ground) -> Walk:
    """SciPy's least_squares(method="lm"), which is MINPACK's, as tight as it can be set."""
    from scipy.optimize import least_squares

    solve: Any = least_squares  # its stubs know a Jacobian by name alone
    kernel = import_module(f"{ground.backend.__package__}.passes.kernel")
    made: Any = ground.framework.OPTIMIZERS["levenberg_marquardt"]()

    def scaled(params: Params, batch: Batch) -> Array:
        counts = kernel.row_counts(ground.objective, batch)
        return kernel.scaled(counts, ground.objective.residuals(params, batch))

    residuals = ground.backend.compile(scaled)
    rows = ground.backend.compile(partial(made.jacobian, ground.objective))

    def residual(vector: np.ndarray) -> np.ndarray:
        return ground.backend.to_numpy(residuals(ground.matrices(vector), ground.batch))

    def walk(enough: Callable[[], bool]) -> None:
        def jacobian(vector: np.ndarray) -> np.ndarray:
            if enough():
                raise _Enough
            _, J, _ = rows(ground.matrices(vector), ground.batch)
            return ground.backend.to_numpy(J)

        try:
            solve(
                residual,
                ground.vector(ground.params),
                jacobian,
                method="lm",
                x_scale="jac",
                ftol=TIGHT,
                xtol=TIGHT,
                gtol=TIGHT,
                max_nfev=10**9,
            )
        except _Enough:
            return

    return walk


class _Enough(Exception):
    """Ends a search that asks nobody whether it is enough."""
