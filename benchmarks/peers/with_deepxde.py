"""DeepXDE, with PyTorch or JAX behind it; which one is decided once in a process."""

import os
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.peers.cases import HISTORY, LEARNING_RATE, Case

BACKENDS = {"torch": "pytorch", "jax": "jax"}
ITERATIONS = 10  # of L-BFGS in a step of theirs, which is a call of torch.optim.LBFGS


class DeepXDE:
    """A model of theirs, stepped as its `train` does."""

    def __init__(self, case: Case, framework: str, optimizer: str) -> None:
        os.environ["DDE_BACKEND"] = BACKENDS[framework]
        self.dde: Any = import_module("deepxde")
        self.dde.config.set_default_float("float64")
        self.framework = framework
        interior, (boundary, values) = case.batch()["interior"][0], case.batch()["boundary"]
        d = case.dimension
        data = self.dde.data.PDE(
            self.dde.geometry.Hypercube([0] * d, [1] * d),
            self.residual(case),
            [self.dde.icbc.PointSetBC(boundary, values)],
            num_domain=0,
            num_boundary=0,
            anchors=interior,
        )
        net = self.dde.nn.FNN(case.widths, "tanh", "Glorot normal")
        self.model: Any = self.dde.Model(data, net)
        if optimizer == "adam":
            self.iterations, words, rate = 1, "adam", {"lr": LEARNING_RATE}
        else:
            self.iterations, words, rate = ITERATIONS, "L-BFGS", {}
            self.dde.optimizers.set_LBFGS_options(
                maxcor=HISTORY, ftol=0, gtol=0, maxiter=ITERATIONS
            )
            options = self.dde.optimizers.config.LBFGS_options
            options["iter_per_step"], options["fun_per_step"] = ITERATIONS, 2 * ITERATIONS
        self.model.compile(words, loss_weights=[0.5, 0.5], verbose=0, **rate)
        self.begin(case.start())
        batch = self.model.data.train_next_batch()
        self.model.train_state.set_data_train(*batch)
        self.points = self.model.train_state

    def residual(self, case: Case) -> Any:
        """Write Δu + f as DeepXDE's users do."""
        hessian = self.dde.grad.hessian
        axes = range(case.dimension)
        if self.framework == "torch":
            import torch

            return lambda x, u: (
                sum(hessian(u, x, i=i, j=i) for i in axes)
                + case.source(x, torch.sin, lambda columns: columns.prod(1, keepdim=True))
            )
        import jax.numpy as jnp

        return lambda x, u: (
            sum(hessian(u, x, i=i, j=i)[0] for i in axes)
            + case.source(x, jnp.sin, lambda columns: columns.prod(1, keepdims=True))
        )

    def begin(self, start: list[np.ndarray]) -> None:
        """Take parameters, a matrix [W | b] per layer."""
        layers = [(matrix[:, :-1], matrix[:, -1]) for matrix in start]
        if self.framework == "torch":
            import torch

            with torch.no_grad():
                for linear, (W, b) in zip(self.model.net.linears, layers, strict=True):
                    linear.weight.copy_(torch.from_numpy(W))
                    linear.bias.copy_(torch.from_numpy(b))
            return
        import jax.numpy as jnp

        dense = {
            f"denses_{number}": {"kernel": jnp.asarray(W.T), "bias": jnp.asarray(b)}
            for number, (W, b) in enumerate(layers)
        }
        self.model.net.params = {"params": dense}
        self.model.params = [self.model.net.params, []]
        self.model.opt_state = self.model.opt.init(self.model.params)

    def walk(self, steps: int) -> None:
        """Do steps from where it is, and wait for the last."""
        points = self.points
        for _ in range(steps // self.iterations):
            self.model._train_step(points.X_train, points.y_train, points.train_aux_vars)
        if self.framework == "jax":
            import jax

            jax.block_until_ready(self.model.params)

    def loss(self) -> float:
        """Evaluate the loss where it is."""
        points = self.points
        _, losses = self.model._outputs_losses(
            True, points.X_train, points.y_train, points.train_aux_vars
        )
        return float(np.sum(losses))
