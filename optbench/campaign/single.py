"""One run from the command line, as a campaign of one case."""

import tomllib
from collections.abc import Iterable
from typing import Any

from optbench import problems
from optbench.campaign.campaign import Campaign, parse
from optbench.campaign.errors import CampaignError

SOURCE = "command line"  # what errors call it


def campaign(
    optimizer: str,
    framework: str,
    seed: int,
    settings: Iterable[str],
    interior: int | None,
    boundary: int | None,
    **case: Any,
) -> Campaign:
    """A campaign of one run; `settings` are hyperparameters such as "damping=1e-3". Raises CampaignError."""
    given = {key: value for key, value in case.items() if value is not None}
    if interior is not None or boundary is not None:
        given["points"] = _points(case["problem"], interior, boundary)
    given |= {
        "seeds": [seed],
        "frameworks": [framework],
        "optimizers": {optimizer: dict(map(_setting, settings))},
    }
    return parse({"version": "1.0", "case": [given]}, SOURCE)


def _points(problem: str, interior: int | None, boundary: int | None) -> dict[str, int]:
    default = problems.get(problem)
    return {
        "interior": default.interior_points if interior is None else interior,
        "boundary": default.boundary_points if boundary is None else boundary,
    }


def _setting(text: str) -> tuple[str, Any]:
    """A name and its value, written as in TOML; a bare word is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CampaignError(
            SOURCE, ("--set",), "must be <hyperparameter>=<value>", value=text
        )
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()
