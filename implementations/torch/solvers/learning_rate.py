"""Learning rates that change during a run: a linear warm-up, then one of three shapes.

The shapes are constant, along a cosine and exponential.

p goes from 0 to 1 over the length of the schedule, of which w is the warm-up's share: η p /
w where p < w, then η times a shape of (p − w) / (1 − w), which falls from 1 to
`schedule_end`. Step for step what optax and torch.optim give.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from optbench.implementations.protocol import Schedule, Tree
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.parameters import Params

SHAPES = {
    "constant": lambda p, end: torch.ones_like(p),
    "cosine": lambda p, end: end + (1 - end) * (1 + torch.cos(torch.pi * p)) / 2,
    "exponential": lambda p, end: end**p,
}


class Progress(NamedTuple):
    """How far a run is."""

    step: int | Tensor  # steps done
    # of the run's budget that was spent before this step, in the parameters' precision
    share: Tensor


def start(options: Schedule, params: Params) -> Progress | tuple[()]:
    """Begin before the first step; nothing where the learning rate does not change."""
    return Progress(0, params[0].new_zeros(())) if changes(options) else ()


def changes(options: Schedule) -> bool:
    """Say whether the steps' learning rates differ."""
    return options.schedule != "constant" or options.warm_up > 0


def tell(options: Schedule, state: Tree, share: float) -> Tree:
    """Tell the state the spent share of the run's budget, the schedule's length."""
    if not changes(options) or options.schedule_steps is not None:
        return state
    return state._replace(
        progress=state.progress._replace(share=torch.full_like(state.progress.share, share))
    )


def learning_rate(options: Schedule, progress: Progress | tuple[()]) -> float | Tensor:
    """Compute η of the next step."""
    if not progress:
        return options.learning_rate
    w, p = options.warm_up, torch.clip(position(options, progress), max=1)
    rise = torch.clip(p / w, max=1) if w else 1
    fall = SHAPES[options.schedule](
        torch.clip(p - w, min=0) / (1 - w), options.schedule_end
    )
    return options.learning_rate * rise * fall


def position(options: Schedule, progress: Progress) -> Tensor:
    """Compute p, by steps or by the run's budget."""
    if options.schedule_steps is None:
        return progress.share
    return torch.full_like(progress.share, read(progress.step) / options.schedule_steps)


def after(progress: Progress | tuple[()]) -> Progress | tuple[()]:
    """Count one step more."""
    return progress._replace(step=progress.step + 1) if progress else ()
