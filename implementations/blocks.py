"""Steps in blocks: the host starts many, and waits for the device once.

On an accelerator a step may take less time than the host needs to hear that it is done.
"""

from typing import NamedTuple

from optbench.implementations.protocol import Array, Losses, Params, Tree

LONGEST = 1024  # steps in a block


class Block(NamedTuple):
    """What came of a block of steps on one batch."""

    params: Params
    state: Tree
    losses: Losses  # before its last step
    steps: int | Array  # done
    changed: int | Array  # the last of them that changed a parameter, from 1; 0: none did
    unchanged: int | Array  # how many changed none


class Bounds(NamedTuple):
    """Where a block ends before it has done all its steps."""

    ceiling: float  # a loss that is not below has diverged, and its step moves nothing
    idle: int  # steps in a row, just before the block, that changed no parameter
    most_idle: int  # as many of them end it
