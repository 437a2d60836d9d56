"""One run from the command line, as a campaign of one case."""

import tomllib
from collections.abc import Iterable
from typing import Any

from optbench.campaign.campaign import Campaign, parse
from optbench.campaign.errors import CampaignError

SOURCE = "command line"  # what errors call it


def campaign(
    *,
    problem: str,
    network: str,
    optimizer: str,
    framework: str,
    settings: Iterable[str],
    seed: int = 0,
    interior: int | None = None,
    boundary: int | None = None,
    points: Iterable[str] = (),
    weights: Iterable[str] = (),
    **fields: Any,
) -> Campaign:
    """Make a campaign of one run.

    `settings` are hyperparameters such as "damping=1e-3", `points` and `weights` those of
    terms, such as "initial=200"; what is empty and other fields of a case that are None are
    left out. Raises CampaignError.
    """
    both = {"interior": interior, "boundary": boundary}
    numbers = {term: number for term, number in both.items() if number is not None}
    numbers |= dict(_named("--points", "term", text) for text in points)
    fields["points"] = numbers or None
    fields["weights"] = dict(_named("--weight", "term", text) for text in weights) or None
    case = {key: value for key, value in fields.items() if value is not None}
    case |= {
        "problem": problem,
        "network": network,
        "seeds": [seed],
        "frameworks": [framework],
        "optimizers": {
            optimizer: dict(_named("--set", "hyperparameter", text) for text in settings)
        },
    }
    return parse({"version": "1.0", "case": [case]}, SOURCE)


def _named(option: str, what: str, text: str) -> tuple[str, Any]:
    """Read a name and its value, written as in TOML; a bare word is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CampaignError(SOURCE, (option,), f"must be <{what}>=<value>", value=text)
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
