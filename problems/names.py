"""A wrong name is answered with the nearest right ones."""

from collections.abc import Iterable
from difflib import get_close_matches


class InvalidName(ValueError):
    """A name that is malformed, or whose family has no such member.

    The message is one line that says what is right.
    """


class UnknownName(InvalidName):
    """A name that nothing here has; the message is one line and says what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        near = get_close_matches(name, known, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else f"there are {', '.join(known)}"
        )
        super().__init__(f"unknown {kind} {name!r}: {hint}")
