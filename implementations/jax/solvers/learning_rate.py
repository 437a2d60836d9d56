"""Learning rates that change during a run: a linear warm-up, then one of three shapes.

The shapes are constant, along a cosine and exponential.

p goes from 0 to 1 over the length of the schedule, of which w is the warm-up's share: η p /
w where p < w, then η times a shape of (p − w) / (1 − w), which falls from 1 to
`schedule_end`. Step for step what optax and torch.optim give.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from optbench.implementations.jax.passes.parameters import Params
from optbench.implementations.protocol import Schedule, Tree

SHAPES = {
    "constant": lambda p, end: jnp.ones_like(p),
    "cosine": lambda p, end: end + (1 - end) * (1 + jnp.cos(jnp.pi * p)) / 2,
    "exponential": lambda p, end: end**p,
}


class Progress(NamedTuple):
    """How far a run is."""

    step: Array  # steps done
    # of the run's budget that was spent before this step, in the parameters' precision
    share: Array


def start(options: Schedule, params: Params) -> Progress | tuple[()]:
    """Begin before the first step; nothing where the learning rate does not change."""
    return (
        Progress(jnp.zeros((), int), jnp.zeros((), params[0].dtype))
        if changes(options)
        else ()
    )


def changes(options: Schedule) -> bool:
    """Say whether the steps' learning rates differ."""
    return options.schedule != "constant" or options.warm_up > 0


def tell(options: Schedule, state: Tree, share: float) -> Tree:
    """Tell the state the spent share of the run's budget, the schedule's length."""
    if not changes(options) or options.schedule_steps is not None:
        return state
    return state._replace(
        progress=state.progress._replace(share=jnp.full_like(state.progress.share, share))
    )


def learning_rate(options: Schedule, progress: Progress | tuple[()]) -> float | Array:
    """Compute η of the next step."""
    if not progress:
        return options.learning_rate
    w, p = options.warm_up, jnp.clip(position(options, progress), max=1)
    rise = jnp.clip(p / w, max=1) if w else 1
    fall = SHAPES[options.schedule](jnp.clip(p - w, min=0) / (1 - w), options.schedule_end)
    return options.learning_rate * rise * fall


def position(options: Schedule, progress: Progress) -> Array:
    """Compute p, by steps or by the run's budget."""
    if options.schedule_steps is None:
        return progress.share
    return (progress.step / options.schedule_steps).astype(progress.share.dtype)


def after(progress: Progress | tuple[()]) -> Progress | tuple[()]:
    """Count one step more."""
    return progress._replace(step=progress.step + 1) if progress else ()
