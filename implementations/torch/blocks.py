"""A block of steps that are called one after the other without waiting for the device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from optbench.implementations.blocks import Block, Bounds
from optbench.implementations.protocol import Objective, Optimizer, Tree
from optbench.implementations.torch.backend import read
from optbench.implementations.torch.passes.parameters import Params, flatten
from optbench.problems.problem import Batch


def compile_block(
    optimizer: Optimizer, objective: Objective, donate: bool = True
) -> Callable[..., Block]:
    """Make the function that does a block of steps; `donate` is the twin's.

    Its arguments are the parameters, the state, the batch, the share of the budget that is
    spent before each step, the number of steps, and bounds. What every step did is read
    once, at the end; a block that should have ended earlier is done again as far as that.
    """

    @torch.no_grad()
    def run(
        params: Params,
        state: Tree,
        batch: Batch,
        shares: np.ndarray,
        count: int,
        bounds: Bounds,
    ) -> Block:
        start, told = (params, state), []
        before, flat = params, flatten(params)
        losses: Any = None  # a block has a step at least
        for share in shares[:count].tolist():
            before, last = params, flat
            params, state, losses = optimizer.step(
                objective, params, optimizer.progress(state, share), batch
            )
            flat = flatten(params)
            ends = torch.as_tensor(optimizer.ends(state), device=flat.device)
            told.append(torch.stack([losses.total, (flat != last).any(), ends]))
        steps, changed, unchanged, healthy = _read(read(torch.stack(told)), bounds)
        if steps < count:
            return run(*start, batch, shares, steps, bounds)
        return Block(
            params if healthy else before, state, losses, steps, changed, unchanged
        )

    return run


def _read(told: list[list[float]], bounds: Bounds) -> tuple[int, int, int, bool]:
    """Read how far a block goes, its last change, its idle steps, and if its loss is sound.

    Of each step are told the loss before it, whether it changed a parameter, and whether
    its optimizer ends there.
    """
    changed = unchanged = steps = 0
    healthy = True
    for steps, (loss, moved, ends) in enumerate(told, 1):
        healthy = loss < bounds.ceiling
        if healthy and moved:
            changed = steps
        else:
            unchanged += 1
        idle = steps - changed if changed else bounds.idle + steps
        if not healthy or ends or idle >= bounds.most_idle:
            break
    return steps, changed, unchanged, healthy
