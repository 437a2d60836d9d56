"""What a file of the user's own defines, by the name `<path>.py:<name>`: a problem here, an optimizer elsewhere."""

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from optbench.problems.names import InvalidName, UnknownName
from optbench.problems.old_names import answered

_NAME = re.compile(r"(?P<path>.*\.py)(:(?P<member>.*))?", re.DOTALL)


class InvalidFile(InvalidName):
    """A file of the user's own that does not give what is asked of it; the message is one line and names the file."""


class Source(NamedTuple):
    """A file and what was in it when it was read."""

    path: Path
    digest: str  # SHA-256


class Own(NamedTuple):
    """A Python file that has run."""

    source: Source
    module: ModuleType


def is_own(name: str) -> bool:
    """Whether a name is that of a file, and not one of the registry's."""
    return _NAME.fullmatch(name) is not None


def split(name: str) -> tuple[Path, str]:
    """The file, absolute, and what is asked of it, "" where the name does not say."""
    match = _NAME.fullmatch(name)
    if not match:
        raise InvalidFile(f"{name!r} names no file: write <path>.py:<name>")
    return Path(match["path"]).expanduser().absolute(), match["member"] or ""


def located(name: str, folder: Path) -> str:
    """The name with an absolute path, which was relative to `folder`; a name of the registry's stays as it is."""
    match = _NAME.fullmatch(name)
    return str((folder / Path(name).expanduser()).absolute()) if match else name


def bare(name: str) -> str:
    """The name without its folders: what a record says."""
    return Path(name).name if is_own(name) else name


def slug(name: str) -> str:
    """The bare name with nothing in it that a file's name may not have."""
    return re.sub(r"[^\w.-]+", ".", bare(name).replace(".py:", "."))


def members(
    path: Path, kind: str, select: Callable[[ModuleType], Iterable[Any]]
) -> dict[str, Any]:
    """What `select` finds in a file, by each one's `name`, at least one; `kind` is what an error calls them.

    Raises InvalidFile where the file cannot be read or run, or has none or two of one name.
    """
    found: dict[str, Any] = {}
    for member in select(read(path).module):
        if found.setdefault(member.name, member) is not member:
            raise InvalidFile(f"{path} has two {kind}s named {member.name!r}")
    if not found:
        raise InvalidFile(f"{path} has no {kind}")
    return found


def get(name: str, kind: str, select: Callable[[ModuleType], Iterable[Any]]) -> Any:
    """The one of a file's members that `name` asks for: the same object every time. Raises InvalidFile."""
    path, wanted = split(name)
    found = members(path, kind, select)
    if wanted in found:
        return found[wanted]
    if not wanted:
        raise InvalidFile(
            f"{path.name} names a file and no {kind}: write {' or '.join(f'{path.name}:{n}' for n in found)}"
        )
    variable = vars(read(path).module).get(wanted)
    if variable is None:
        raise InvalidFile(f"{path}: {UnknownName(kind, wanted, found)}")
    for known, member in found.items():
        if member is variable:
            raise InvalidFile(
                f"{path}: the {kind} in the variable {wanted} is named {known}: write {path.name}:{known}"
            )
    raise InvalidFile(
        f"{path}: {wanted} is no {kind} but a {type(variable).__name__}; there is {', '.join(found)}"
    )


@cache
def read(path: Path) -> Own:
    """Run a file, once a process: what is hashed is what runs. Raises InvalidFile."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror or error}") from error
    source = Source(path, digest(content))
    module = ModuleType(f"own_{source.digest}_{len(sys.modules)}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look up their module there
    try:
        with answered(path):
            exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise InvalidFile(
            f"{path}{_line(error, path)}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    return Own(source, module)


def digest(content: bytes) -> str:
    """The SHA-256."""
    return hashlib.sha256(content).hexdigest()


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""
