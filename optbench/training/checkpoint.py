"""A run's checkpoint in one `.npz`, never pickle.

It holds the parameters, the optimizer's whole state, steps, clock and history, with a
checksum of all of it.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from optbench.records import files, provenance
from optbench.records.record import SECTIONS, Row

ROWS = TypeAdapter(tuple[Row, ...])


class Unusable(ValueError):
    """A checkpoint that a run cannot go on from; the message says why."""


class Movement(NamedTuple):
    """Which step was the last that changed a parameter, and how many changed none."""

    step: int = 0  # the last that changed one; 0: none has
    seconds: float = 0.0  # of optimizer steps up to it
    stage: int = 0  # that it belongs to, from 0 on
    idle: int = 0  # steps of this stage on these points, in a row, that changed none
    stalls: int = 0  # steps of the whole run that changed none


class Checkpoint(NamedTuple):
    """A run as it stood after `steps` steps; seed and steps say which points it had."""

    leaves: list[np.ndarray]  # of (params, state), in the order of `leaves`
    structure: list[str]  # of the same tree, as `structure` says it
    resumed: int  # times that the run went on from a checkpoint
    steps: int
    seconds: dict[str, float]  # by section of the clock
    history: tuple[Row, ...]
    stage: int  # the one in hand, from 0 on
    counters: dict[str, int]  # what the optimizers of the stages before it counted
    stalled: dict[str, str]  # by number, why stages before it ended early
    movement: Movement


def write(file: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in its place, whole or not at all."""
    told = checkpoint._asdict() | {
        "identity": identity,
        "packages": provenance.versions(),
        "history": ROWS.dump_python(checkpoint.history, mode="json"),
    }
    del told["leaves"]
    text = json.dumps(told).encode()
    content = io.BytesIO()
    arrays = {f"leaf{number}": leaf for number, leaf in enumerate(checkpoint.leaves)}
    np.savez(
        content,
        allow_pickle=False,
        told=np.frombuffer(text, np.uint8),
        checksum=np.frombuffer(_checksum(text, checkpoint.leaves), np.uint8),
        **arrays,
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, content.getvalue())


def read(file: Path, identity: str) -> Checkpoint | None:
    """Read a run's checkpoint; None where there is none.

    Raises:
        Unusable: it is torn or changed, another run's, or of other versions.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as parts:
            text = parts["told"].tobytes()
            checksum = parts["checksum"].tobytes() if "checksum" in parts else None
            arrays = [parts[name] for name in parts.files if name.startswith("leaf")]
    except Exception as error:  # of torn bytes zipfile and NumPy raise whatever they like
        raise Unusable("is torn") from error
    if checksum is None:
        raise Unusable("has no checksum: an earlier version wrote it")
    if checksum != _checksum(text, arrays):
        raise Unusable("is not what its checksum says")
    told = json.loads(text)
    if told.pop("identity") != identity:
        raise Unusable("is another run's")
    here, there = provenance.versions(), told.pop("packages")
    if others := [f"{name} {there[name]}" for name in there if there[name] != here[name]]:
        raise Unusable(f"was written with {', '.join(others)}")
    try:
        history = ROWS.validate_python(tuple(told.pop("history")))
        movement = Movement(*told.pop("movement"))
        reached = Checkpoint(leaves=arrays, history=history, movement=movement, **told)
    except (ValueError, TypeError, KeyError) as error:
        raise Unusable("has other fields: another version wrote it") from error
    if not reached.seconds.keys() <= set(SECTIONS):
        raise Unusable("has other sections of the clock: another version wrote it")
    return reached


def _checksum(text: bytes, leaves: list[np.ndarray]) -> bytes:
    """Compute the SHA-256 of what a checkpoint tells and of its arrays' numbers."""
    digest = hashlib.sha256(text)
    for leaf in leaves:
        digest.update(leaf.tobytes())
    return digest.digest()


def leaves(tree: Any) -> list[Any]:
    """Take the arrays and numbers out of lists, tuples, named tuples and dictionaries."""
    if (parts := _parts(tree)) is None:
        return [tree]
    return [leaf for part in parts.values() for leaf in leaves(part)]


def structure(tree: Any, arrays: list[np.ndarray]) -> list[str]:
    """Say where every leaf stands in a tree, and its type and shape.

    Two of one shape are told apart by the names that they have in named tuples and
    dictionaries.
    """
    return [
        f"{place} {array.dtype} {list(array.shape)}"
        for place, array in zip(_places(tree), arrays, strict=True)
    ]


def _places(tree: Any) -> list[str]:
    if (parts := _parts(tree)) is None:
        return [""]
    return [f".{name}{place}" for name, part in parts.items() for place in _places(part)]


def like(tree: Any, values: list[Any]) -> Any:
    """Put other leaves into a tree of this shape; empties `values`."""
    if (parts := _parts(tree)) is None:
        return values.pop(0)
    new = {name: like(part, values) for name, part in parts.items()}
    if isinstance(tree, dict):
        return {name: new[name] for name in tree}
    kind: Any = type(tree)
    return kind(*new.values()) if hasattr(kind, "_fields") else kind(new.values())


def _parts(tree: Any) -> dict[Any, Any] | None:
    """Give the parts of a tree by name or number; None for a leaf."""
    if isinstance(tree, dict):
        # what JAX compiles gives dictionaries back in the order of their names
        return {name: tree[name] for name in sorted(tree)}
    if isinstance(tree, list | tuple):
        names = getattr(tree, "_fields", range(len(tree)))
        return dict(zip(names, tree, strict=True))
    return None
