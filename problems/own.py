"""What a file of the user's own defines, by the name `<path>.py:<name>`.

It is a problem, or for other modules an optimizer.
"""

import hashlib
import io
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from optbench.problems.names import InvalidName, UnknownName
from optbench.problems.old_names import answered

LONGEST = 300  # characters of a file's own words in a line

_NAME = re.compile(r"(?P<path>.*\.py)(:(?P<member>.*))?", re.DOTALL)


class InvalidFile(InvalidName):
    """A file of the user's own that does not define what a name says.

    The message is one line and names the file.
    """


class Source(NamedTuple):
    """A file and what was in it when it was read."""

    path: Path
    digest: str  # SHA-256


class Own(NamedTuple):
    """A Python file that has run."""

    source: Source
    module: ModuleType
    printed: str  # what it said meanwhile, in words that continue its name; else ""


class Overheard(io.StringIO):
    """Takes what a file prints, which may close it."""

    def close(self) -> None:
        """Stay open: a command's own output does."""


def is_own(name: str) -> bool:
    """Say whether a name is that of a file, and not one of the registry's."""
    return _NAME.fullmatch(name) is not None


def split(name: str) -> tuple[Path, str]:
    """Split a name into the file, absolute, and the member, "" where there is none.

    Raises:
        InvalidFile: it is no name of a file.
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise InvalidFile(f"{name!r} names no file: write <path>.py:<name>")
    return Path(match["path"]).expanduser().absolute(), match["member"] or ""


def located(name: str, folder: Path) -> str:
    """Make the path of a name, which is relative to `folder`, absolute.

    A name of the registry's stays as it is.
    """
    match = _NAME.fullmatch(name)
    return str((folder / Path(name).expanduser()).absolute()) if match else name


def bare(name: str) -> str:
    """Strip a name of its folders, as a record has it."""
    return Path(name).name if is_own(name) else name


def slug(name: str) -> str:
    """Replace whatever a file's name may not have in the bare name."""
    return re.sub(r"[^\w.-]+", ".", bare(name).replace(".py:", "."))


def members(
    path: Path, kind: str, select: Callable[[ModuleType], Iterable[Any]]
) -> dict[str, Any]:
    """Collect what `select` takes from a file, by name; `kind` is what an error calls it.

    Raises InvalidFile where the file cannot be read or run, or has none or two of one name.
    """
    by_name: dict[str, Any] = {}
    for member in select(read(path).module):
        if by_name.setdefault(member.name, member) is not member:
            raise InvalidFile(f"{path} has two {kind}s named {member.name!r}")
    if not by_name:
        raise InvalidFile(f"{path} has no {kind}")
    return by_name


def get(name: str, kind: str, select: Callable[[ModuleType], Iterable[Any]]) -> Any:
    """Look up a member of a file by its name: the same object every time.

    Raises:
        InvalidFile: the file does not define it.
    """
    path, wanted = split(name)
    known = members(path, kind, select)
    if wanted in known:
        return known[wanted]
    if not wanted:
        choices = " or ".join(f"{path.name}:{name}" for name in known)
        raise InvalidFile(f"{path.name} names a file and no {kind}: write {choices}")
    variable = vars(read(path).module).get(wanted)
    if variable is None:
        raise InvalidFile(f"{path}: {UnknownName(kind, wanted, known)}")
    for member_name, member in known.items():
        if member is variable:
            raise InvalidFile(
                f"{path}: the {kind} in the variable {wanted} is named {member_name}: "
                f"write {path.name}:{member_name}"
            )
    is_a = "class" if isinstance(variable, type) else type(variable).__name__
    raise InvalidFile(
        f"{path}: {wanted} is no {kind} but a {is_a}; there is {', '.join(known)}"
    )


@cache
def read(path: Path) -> Own:
    """Run a file, once per process: what is hashed is what runs.

    Raises:
        InvalidFile: the file cannot be read or run.
    """
    try:
        # a pipe or a device may never end
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InvalidFile(f"{path}: is no regular file")
        content = path.read_bytes()
    except OSError as error:
        raise InvalidFile(f"{path}: {error.strerror or error}") from error
    source = Source(path, digest(content))
    module = ModuleType(f"own_{source.digest}_{len(sys.modules)}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look up their module there
    said = Overheard()
    try:
        with (
            answered(path),
            warnings.catch_warnings(),  # its filters are its own
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            exec(compile(content, str(path), "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise InvalidFile(f"{path}{_line(error, path)}: {in_a_line(error)}") from error
    printed = _printed(said.getvalue())
    if printed and parent_process() is None:  # once, and not by every process of a run
        print(f"optbench: {path} {printed}", file=sys.stderr)
    return Own(source, module, printed)


def in_a_line(error: BaseException) -> str:
    """Put an exception into one line that is not long."""
    text = shortened(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _printed(text: str) -> str:
    """Say that a file prints: the first of its lines, and how many more there are."""
    lines = text.strip().splitlines()
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return f"prints: {shortened(lines[0])}{more}" if lines else ""


def shortened(text: str) -> str:
    """Put the beginning of a text into a line."""
    line = " ".join(text[: 10 * LONGEST].split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def digest(content: bytes) -> str:
    """Compute the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def _line(error: BaseException, path: Path) -> str:
    """Say in which line of the file it went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""
