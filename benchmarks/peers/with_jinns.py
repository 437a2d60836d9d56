"""jinns, on JAX: its loss, stepped as its `solve` does, with Adam of optax."""

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.peers.cases import LEARNING_RATE, Case


class Jinns:
    """A loss of theirs; what is known on the boundary is given to it as observations."""

    def __init__(self, case: Case, framework: str, optimizer: str) -> None:
        if (framework, optimizer) != ("jax", "adam"):
            raise ValueError(f"jinns: {optimizer} in {framework} is not compared")
        import jax
        import jax.numpy as jnp
        import optax

        equinox, jinns = (import_module(name) for name in ("equinox", "jinns"))
        layers: list[Any] = []
        for width, wide in zip(case.widths, case.widths[1:], strict=False):
            layers += [(equinox.nn.Linear, width, wide), (jax.nn.tanh,)]
        u, initial = jinns.nn.PINN_MLP.create(
            key=jax.random.PRNGKey(0), eqx_list=tuple(layers[:-1]), eq_type="PDEStatio"
        )
        self.params = jinns.parameters.Params(
            nn_params=with_start(initial, case.start()), eq_params={}
        )

        class Poisson(jinns.loss.PDEStatio):
            """Δu + f as jinns's users write it, at a point [d]."""

            def equation(self, x: Any, u: Any, params: Any) -> Any:
                f = case.source(x[None], jnp.sin, lambda columns: columns.prod(1))
                laplacian = jinns.loss.laplacian_rev(x, u, params)
                return jnp.atleast_1d(laplacian + f)

        loss = jinns.loss.LossPDEStatio(
            u=u,
            dynamic_loss=Poisson(),
            loss_weights=jinns.loss.LossWeightsPDEStatio(dyn_loss=0.5, observations=0.5),
            params=self.params,
        )
        interior = jnp.asarray(case.batch()["interior"][0])
        boundary, values = map(jnp.asarray, case.batch()["boundary"])
        observed = {"pinn_in": boundary, "val": values, "eq_params": None}
        batch = jinns.data.PDEStatioBatch(
            domain_batch=interior, border_batch=None, obs_batch_dict=(observed,)
        )
        adam = optax.adam(LEARNING_RATE)
        self.state = adam.init(self.params)

        @jax.jit
        def step(params: Any, state: Any) -> tuple[Any, Any]:
            gradient, _ = jax.grad(loss, has_aux=True)(params, batch)
            updates, state = adam.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        self.step, self.wait = step, jax.block_until_ready
        self.evaluate = jax.jit(lambda params: loss(params, batch)[0])

    def walk(self, steps: int) -> None:
        """Do steps from where it is, and wait for the last."""
        for _ in range(steps):
            self.params, self.state = self.step(self.params, self.state)
        self.wait(self.params)

    def loss(self) -> float:
        """Evaluate the loss where it is."""
        return float(self.evaluate(self.params))


def with_start(initial: Any, start: list[np.ndarray]) -> Any:
    """Put parameters, a matrix [W | b] per layer, into the places of a network's own."""
    import jax
    import jax.numpy as jnp

    arrays = iter([part for matrix in start for part in (matrix[:, :-1], matrix[:, -1])])

    def put(place: Any) -> Any:
        array = jnp.asarray(next(arrays))
        if array.shape != place.shape:
            raise ValueError(f"jinns has a layer {place.shape} in place of {array.shape}")
        return array

    return jax.tree.map(put, initial)
