"""A block of steps as one compiled loop, whose number of steps is an argument."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from optbench.implementations.blocks import Block, Bounds
from optbench.implementations.jax.passes.parameters import Params, flatten, select
from optbench.implementations.protocol import Losses, Objective, Optimizer, Tree
from optbench.problems.problem import Batch


def compile_block(
    optimizer: Optimizer, objective: Objective, donate: bool = True
) -> Callable[..., Block]:
    """Make the function that does a block of steps; it may overwrite a donated state.

    Its arguments are the parameters, the state, the batch, the share of the budget that is
    spent before each step [LONGEST], the number of steps, and bounds. The path does not
    depend on how many steps a block has: it is the same program. It differs by rounding
    from that of single steps, which are compiled by themselves.
    """

    def run(
        params: Params,
        state: Tree,
        batch: Batch,
        shares: Array,
        count: int | Array,
        bounds: Bounds,
    ) -> Block:
        def one(params: Params, state: Tree, share: Array) -> tuple[Params, Tree, Losses]:
            told = optimizer.progress(state, share)  # type: ignore[arg-type]
            return optimizer.step(objective, params, told, batch)

        def step(carry: tuple[Block, Array]) -> tuple[Block, Array]:
            last, _ = carry
            params, state, losses = one(last.params, last.state, shares[last.steps])
            healthy = losses.total < bounds.ceiling  # which NaN is not
            params = select(healthy, params, last.params)
            steps = last.steps + 1
            moved = (flatten(params) != flatten(last.params)).any()
            changed = jnp.where(moved, steps, last.changed)
            idle = jnp.where(changed == 0, bounds.idle + steps, steps - changed)
            block = Block(params, state, losses, steps, changed, last.unchanged + ~moved)
            ends = ~healthy | (idle >= bounds.most_idle) | optimizer.ends(state)
            return block, ~ends

        _, _, losses = jax.eval_shape(one, params, state, shares[0])
        none = jax.tree.map(lambda loss: jnp.zeros(loss.shape, loss.dtype), losses)
        start = Block(params, state, none, *(jnp.zeros((), int) for _ in range(3)))
        return jax.lax.while_loop(
            lambda carry: (carry[0].steps < count) & carry[1],
            step,
            (start, jnp.array(True)),
        )[0]

    return jax.jit(run, donate_argnums=(1,) if donate else ())
