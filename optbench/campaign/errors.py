"""A campaign's mistakes in one line: the file, the key, the value, what is allowed."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

# keys from the file's top: ("case", 0, "optimizers", "kfac", "damping")
Where = tuple[str | int, ...]

ALLOWED = {
    "greater_than_equal": "must be ≥ {ge:g}",
    "greater_than": "must be > {gt:g}",
    "less_than_equal": "must be ≤ {le:g}",
    "less_than": "must be < {lt:g}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "too_short": "must have at least {min_length} entry",
}
LONGEST = 200  # characters of a value that are shown
UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


class CampaignError(ValueError):
    """One line that names the file, the key, its value and what is allowed."""

    def __init__(self, source: str, where: Where, allowed: str, **value: Any) -> None:
        shown = "".join(f" = {_toml(content)}" for content in value.values())
        super().__init__(
            _in_a_line(
                f"{source}: {dotted(where)}{shown}: {allowed}"
                if where
                else f"{source}: {allowed}"
            )
        )


def explain(
    source: str, error: ValidationError, known: Iterable[str], above: Where = ()
) -> CampaignError:
    """Put pydantic's first complaint into one line.

    `above` is where its tables are in the file, `known` the keys that they may have.
    """
    first = error.errors(include_url=False)[0]
    where = (*above, *first["loc"])
    if first["type"] in UNKNOWN_KEY:
        return CampaignError(
            source, where, unknown_key(str(where[-1]), known), value=first["input"]
        )
    message = first["msg"].removeprefix("Value error, ")
    allowed = ALLOWED.get(first["type"], message.replace("Input should be", "must be"))
    allowed = allowed.format(**first.get("ctx", {}))
    return (
        CampaignError(source, where, allowed)
        if first["type"] == "missing"
        else CampaignError(source, where, allowed, value=first["input"])
    )


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say that there is no such key, and which one may be meant."""
    known = sorted(known)
    near = get_close_matches(key, known, n=1)
    return (
        f"unknown key: did you mean {near[0]}?"
        if near
        else f"unknown key: there are {', '.join(known)}"
    )


def keys(model: type[BaseModel]) -> set[str]:
    """List the keys that a model's table may have."""
    return {field.alias or name for name, field in model.model_fields.items()}


def dotted(where: Where) -> str:
    """Write where a key is: "case[0].optimizers.kfac"."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in where]
    # a list of stages is usually written without this key
    return "".join(parts).removeprefix(".").replace(".stages[", "[")


def _toml(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _in_a_line(text: str) -> str:
    """Write out what would end the line, or change how it looks."""
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode()
        for character in text
    )
