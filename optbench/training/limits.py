"""What a run may use, and how often it saves itself."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optbench.campaign.campaign import Campaign
from optbench.records.store import checkpoints


@dataclass(frozen=True)
class Limits:
    """What a run may use, and how often it saves itself."""

    processes: Literal["per-framework", "per-run"] = "per-run"
    threads: int = 1
    seconds: float = math.inf  # of wall-clock time
    memory: float = math.inf  # bytes
    checkpoints: Path | None = None  # their folder
    interval: float = math.inf  # seconds between two of a run's checkpoints
    least_steps: int = 0  # that a budget of seconds must have room for


def of(campaign: Campaign, folder: Path) -> Limits:
    """A campaign's; its checkpoints are kept in its folder of results."""
    return Limits(
        campaign.processes,
        campaign.threads,
        campaign.limit or math.inf,
        1e9 * (campaign.memory or math.inf),
        checkpoints(folder),
        campaign.checkpoint,
        campaign.least_steps or 0,
    )
