"""A run's checkpoint: parameters, the optimizer's whole state, steps, clock and history in one `.npz`; never pickle."""

import io
import json
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from pydantic import TypeAdapter, ValidationError

from optbench.records import store
from optbench.records.record import Row

ROWS = TypeAdapter(tuple[Row, ...])


class Checkpoint(NamedTuple):
    """A run as it stood after `steps` steps; its points follow from the seed and the steps."""

    leaves: list[np.ndarray]  # of (params, state), in the order of `trees.leaves`
    resumed: int  # times that the run went on from a checkpoint
    steps: int
    seconds: dict[str, float]  # by section of the clock
    history: tuple[Row, ...]
    stage: int  # the one in hand, from 0 on
    counters: dict[str, int]  # what the optimizers of the stages before it counted


def write(file: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in its place, whole or not at all."""
    told = {
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
        told=np.frombuffer(json.dumps(told).encode(), np.uint8),
        **arrays,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    store.replace(file, content.getvalue())


def read(file: Path, identity: str) -> Checkpoint | None:
    """The checkpoint of a run; None where there is none, or none that is whole and the run's own."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as content:
            told = json.loads(content["told"].tobytes())
            leaves = [content[f"leaf{number}"] for number in range(len(content.files) - 1)]
        rows = ROWS.validate_python(tuple(told["history"]))
        reached = told["stage"], told["counters"]
    except (OSError, BadZipFile, ValueError, KeyError, EOFError, ValidationError):
        return None
    found = Checkpoint(
        leaves, told["resumed"], told["steps"], told["seconds"], rows, *reached
    )
    return found if told["identity"] == identity else None
