"""A run's checkpoint in one `.npz`, never pickle.

It holds the parameters, the optimizer's whole state, steps, clock and history.
"""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from pydantic import TypeAdapter, ValidationError

from optbench.records import files
from optbench.records.record import Row

ROWS = TypeAdapter(tuple[Row, ...])


class Checkpoint(NamedTuple):
    """A run as it stood after `steps` steps; seed and steps say which points it had."""

    leaves: list[np.ndarray]  # of (params, state), in the order of `leaves`
    resumed: int  # times that the run went on from a checkpoint
    steps: int
    seconds: dict[str, float]  # by section of the clock
    history: tuple[Row, ...]
    stage: int  # the one in hand, from 0 on
    counters: dict[str, int]  # what the optimizers of the stages before it counted


def write(file: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in its place, whole or not at all."""
    progress = {
        "identity": identity,
        "resumed": checkpoint.resumed,
        "steps": checkpoint.steps,
        "seconds": checkpoint.seconds,
        "history": ROWS.dump_python(checkpoint.history, mode="json"),
        "stage": checkpoint.stage,
        "counters": checkpoint.counters,
    }
    content = io.BytesIO()
    arrays = {f"leaf{number}": leaf for number, leaf in enumerate(checkpoint.leaves)}
    np.savez(
        content,
        allow_pickle=False,
        told=np.frombuffer(json.dumps(progress).encode(), np.uint8),
        **arrays,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, content.getvalue())


def read(file: Path, identity: str) -> Checkpoint | None:
    """Read a run's checkpoint; None where there is none that is whole and the run's own."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as content:
            progress = json.loads(content["told"].tobytes())
            arrays = [content[f"leaf{number}"] for number in range(len(content.files) - 1)]
        checkpoint = Checkpoint(
            leaves=arrays,
            resumed=progress["resumed"],
            steps=progress["steps"],
            seconds=progress["seconds"],
            history=ROWS.validate_python(tuple(progress["history"])),
            stage=progress["stage"],
            counters=progress["counters"],
        )
        return checkpoint if progress["identity"] == identity else None
    except (OSError, BadZipFile, ValueError, KeyError, EOFError, ValidationError):
        return None


def leaves(tree: Any) -> list[Any]:
    """Take the arrays and numbers out of lists, tuples and named tuples, in order."""
    if not isinstance(tree, list | tuple):
        return [tree]
    return [leaf for part in tree for leaf in leaves(part)]


def like(tree: Any, values: list[Any]) -> Any:
    """Put other leaves into a tree of this shape; empties `values`."""
    if not isinstance(tree, list | tuple):
        return values.pop(0)
    parts = [like(part, values) for part in tree]
    kind: Any = type(tree)
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
