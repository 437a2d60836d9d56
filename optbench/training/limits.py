"""What a run may use, and how often it saves itself."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from optbench.campaign.campaign import Campaign
from optbench.records import store


@dataclass(frozen=True)
class Limits:
    """What surrounds a run and is no part of what it computes."""

    processes: Literal["per-framework", "per-run"] = "per-run"
    threads: int = 1
    seconds: float = math.inf  # of wall-clock time
    memory: float = math.inf  # bytes
    least_steps: int = 0  # that a budget of seconds must have room for
    checkpoints: Path | None = None  # their folder; without one a run does not save itself
    # the class of machine that records are kept under, and the device that their numbers
    # must come from; None: whatever there is
    machine: str | None = None
    device: str | None = None
    interval: float = math.inf  # wall-clock seconds between two of a run's checkpoints

    @classmethod
    def of(cls, campaign: Campaign, folder: Path, device: str | None = None) -> Self:
        """Read a campaign's limits; its checkpoints are kept in its folder of results.

        Where the runs are of one device, the folder has the name of its class of machine.
        """
        return cls(
            processes=campaign.processes,
            threads=campaign.threads,
            seconds=campaign.limit or math.inf,
            memory=1e9 * (campaign.memory or math.inf),
            least_steps=campaign.least_steps or 0,
            checkpoints=store.checkpoints(folder),
            interval=campaign.checkpoint,
            machine=folder.name if device else None,
            device=device,
        )
