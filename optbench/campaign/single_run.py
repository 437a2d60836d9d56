"""One run from the command line, as a campaign of one case."""

import tomllib
from collections.abc import Iterable
from typing import Any

from optbench import problems
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
    **fields: Any,
) -> Campaign:
    """Make a campaign of one run.

    `settings` are hyperparameters such as "damping=1e-3"; other fields of a case that are
    None are left out. Raises CampaignError.
    """
    case = {key: value for key, value in fields.items() if value is not None}
    if interior is not None or boundary is not None:
        case["points"] = _points(problem, interior, boundary)
    case |= {
        "problem": problem,
        "network": network,
        "seeds": [seed],
        "frameworks": [framework],
        "optimizers": {optimizer: dict(map(_setting, settings))},
    }
    return parse({"version": "1.0", "case": [case]}, SOURCE)


def _points(problem: str, interior: int | None, boundary: int | None) -> dict[str, int]:
    """Give the numbers of points of a batch, the problem's where none is given."""
    default = problems.get(problem)
    return {
        "interior": default.interior_points if interior is None else interior,
        "boundary": default.boundary_points if boundary is None else boundary,
    }


def _setting(text: str) -> tuple[str, Any]:
    """Read a name and its value, written as in TOML; a bare word is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CampaignError(
            SOURCE, ("--set",), "must be <hyperparameter>=<value>", value=text
        )
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
